"""Memory that a compiled loop adds entries to, and that grows as they come: the logs of `appends`, `stacks`.

The first of its words is its address. Two more say how many entries there are, and for how many there is room.
"""

from __future__ import annotations

_MORE_ROOM = 64

DECLARATIONS = ("declare ptr @at_realloc(ptr, i64)",)
# The place of one more entry of so many bytes; null if there is no memory.
TEXT = f"""
define internal ptr @one_more(ptr %words, i64 %count_at, i64 %room_at, i64 %size) {{
  %countp = getelementptr i64, ptr %words, i64 %count_at
  %roomp = getelementptr i64, ptr %words, i64 %room_at
  %count = load i64, ptr %countp
  %room = load i64, ptr %roomp
  %data = load ptr, ptr %words
  %full = icmp sge i64 %count, %room
  br i1 %full, label %grow, label %put
grow:
  %twice = mul i64 %room, 2
  %more = add i64 %twice, {_MORE_ROOM}
  %bytes = mul i64 %more, %size
  %new = call ptr @at_realloc(ptr %data, i64 %bytes)
  %none = icmp eq ptr %new, null
  br i1 %none, label %failed, label %moved
failed:
  ret ptr null
moved:
  store ptr %new, ptr %words
  store i64 %more, ptr %roomp
  br label %put
put:
  %at = phi ptr [ %data, %0 ], [ %new, %moved ]
  %offset = mul i64 %count, %size
  %entry = getelementptr i8, ptr %at, i64 %offset
  %next = add i64 %count, 1
  store i64 %next, ptr %countp
  ret ptr %entry
}}
"""
