"""What a round of the outermost loop stores over is kept until the round is over: then it can be left in its middle.

    for i in range(n):
        for j in range(m):
            table[i + 1, j + 1] = table[i, j] + 1 if a[i] == b[j] else max(table[i, j + 1], table[i + 1, j])

If the loop is left in a round, the elements that it has stored get back what they held, and Python runs the round as
written. Nothing has to be copied before the loop. It is so where each round stores into other elements, a row or some
numbers, of arrays that came in. Elsewhere (a grid that each round goes over) the arrays are copied before, once.

The log is a buffer with entries, each of them the elements and then in words: how many bytes there are from one to the
next where they were, if the entry is not one element alone; where the first was; and in the last word how many there
are, whether it is that, and how many bytes one has. The newest are put back first, so that an element that was stored
twice gets what it held at first.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager

from minpy.runtime.jit.buffers import HEADER
from minpy.runtime.jit.ir import Writer
from minpy.runtime.jit.stepping import degree
from minpy.runtime.jit.values import Ref

# Of a store: it is not kept, so that the arrays must be copied; it is kept when it happens; it has been already.
NOT, NOW, BEFORE = "", "now", "before"
LEAST = 1 << 16  # bytes that are stored into in all: copies of less are made in no time

_TRAILER, _TRAILER_OF_ONE = 24, 16
_ROW = 128  # in an entry's last word
_ROOM = 8192  # bytes that there are at first
# The log: its buffer, where the next entry will be, where its room ends, where the first entry is.
_LOG = "[4 x i64]"

DECLARATIONS = ("declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)",)
TEXT = f"""
define internal i64 @room_for(ptr %log, i64 %bytes, ptr %head) noinline {{
  %topp = getelementptr i64, ptr %log, i64 1
  %endp = getelementptr i64, ptr %log, i64 2
  %basep = getelementptr i64, ptr %log, i64 3
  %old = load i64, ptr %log
  %top = load i64, ptr %topp
  %end = load i64, ptr %endp
  %base = load i64, ptr %basep
  %used = sub i64 %top, %base
  %had = sub i64 %end, %base
  %twice = mul i64 %had, 2
  %sum = add i64 %twice, %bytes
  %wanted = add i64 %sum, {_ROOM}
  %cell = alloca [2 x i64]
  store [2 x i64] zeroinitializer, ptr %cell
  %new = call i64 @change(ptr %cell, i64 %wanted, ptr %head)
  %none = icmp eq i64 %new, 0
  br i1 %none, label %failed, label %got
failed:
  ret i64 0
got:
  %first = add i64 %new, {HEADER}
  %next = add i64 %first, %used
  %last = add i64 %first, %wanted
  %to = inttoptr i64 %first to ptr
  %from = inttoptr i64 %base to ptr
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %used, i1 false)
  call void @drop(i64 %old, ptr %head)
  store i64 %new, ptr %log
  store i64 %next, ptr %topp
  store i64 %last, ptr %endp
  store i64 %first, ptr %basep
  ret i64 %next
}}

define internal i1 @keep_old(ptr %log, ptr %head, ptr %from, i64 %stride, i64 %count, i64 %size) {{
  %data = mul i64 %count, %size
  %padded = add i64 %data, 7
  %length = and i64 %padded, -8
  %bytes = add i64 %length, {_TRAILER}
  %topp = getelementptr i64, ptr %log, i64 1
  %endp = getelementptr i64, ptr %log, i64 2
  %top = load i64, ptr %topp
  %end = load i64, ptr %endp
  %after = add i64 %top, %bytes
  %fits = icmp ule i64 %after, %end
  br i1 %fits, label %there, label %more
more:
  %new = call i64 @room_for(ptr %log, i64 %bytes, ptr %head)
  %none = icmp eq i64 %new, 0
  br i1 %none, label %failed, label %there
failed:
  ret i1 false
there:
  %at = phi i64 [ %top, %0 ], [ %new, %more ]
  %next = add i64 %at, %bytes
  store i64 %next, ptr %topp
  %place = inttoptr i64 %at to ptr
  %notes = getelementptr i8, ptr %place, i64 %length
  %address = ptrtoint ptr %from to i64
  store i64 %stride, ptr %notes
  %n1 = getelementptr i64, ptr %notes, i64 1
  store i64 %address, ptr %n1
  %n2 = getelementptr i64, ptr %notes, i64 2
  %many = shl i64 %count, 8
  %row = or i64 %many, {_ROW}
  %what = or i64 %row, %size
  store i64 %what, ptr %n2
  call void @move_old(ptr %place, i64 %size, ptr %from, i64 %stride, i64 %count, i64 %size)
  ret i1 true
}}

define internal void @move_old(ptr %to, i64 %step, ptr %from, i64 %stride, i64 %count, i64 %size) {{
  %close = icmp eq i64 %step, %stride
  br i1 %close, label %all, label %apart
all:
  %bytes = mul i64 %count, %size
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %bytes, i1 false)
  ret void
apart:
  %eight = icmp eq i64 %size, 8
  br i1 %eight, label %words, label %each
words:
  %n = phi i64 [ 0, %apart ], [ %after, %word ]
  %more = icmp slt i64 %n, %count
  br i1 %more, label %word, label %out
word:
  %thither = mul i64 %n, %step
  %hither = mul i64 %n, %stride
  %c = getelementptr i8, ptr %to, i64 %thither
  %d = getelementptr i8, ptr %from, i64 %hither
  %x = load i64, ptr %d, align 1
  store i64 %x, ptr %c, align 1
  %after = add i64 %n, 1
  br label %words
each:
  %k = phi i64 [ 0, %apart ], [ %following, %one ]
  %left = icmp slt i64 %k, %count
  br i1 %left, label %one, label %out
one:
  %there = mul i64 %k, %step
  %here = mul i64 %k, %stride
  %a = getelementptr i8, ptr %to, i64 %there
  %b = getelementptr i8, ptr %from, i64 %here
  call void @llvm.memcpy.p0.p0.i64(ptr %a, ptr %b, i64 %size, i1 false)
  %following = add i64 %k, 1
  br label %each
out:
  ret void
}}

define internal void @put_back(ptr %log) noinline {{
  %topp = getelementptr i64, ptr %log, i64 1
  %basep = getelementptr i64, ptr %log, i64 3
  %base = load i64, ptr %basep
  %start = load i64, ptr %topp
  br label %look
look:
  %top = phi i64 [ %start, %0 ], [ %at, %one ]
  %left = icmp ugt i64 %top, %base
  br i1 %left, label %one, label %out
one:
  %end = inttoptr i64 %top to ptr
  %whatp = getelementptr i64, ptr %end, i64 -1
  %placep = getelementptr i64, ptr %end, i64 -2
  %stridep = getelementptr i64, ptr %end, i64 -3
  %what = load i64, ptr %whatp
  %place = load ptr, ptr %placep
  %size = and i64 %what, {_ROW - 1}
  %row = and i64 %what, {_ROW}
  %alone = icmp eq i64 %row, 0
  %count = lshr i64 %what, 8
  %said = load i64, ptr %stridep
  %stride = select i1 %alone, i64 %size, i64 %said
  %words = select i1 %alone, i64 {_TRAILER_OF_ONE}, i64 {_TRAILER}
  %data = mul i64 %count, %size
  %padded = add i64 %data, 7
  %length = and i64 %padded, -8
  %notes = sub i64 %top, %words
  %at = sub i64 %notes, %length
  %kept = inttoptr i64 %at to ptr
  call void @move_old(ptr %place, i64 %stride, ptr %kept, i64 %size, i64 %count, i64 %size)
  br label %look
out:
  ret void
}}
"""


class Undo:
    """The log of a round; `minpy.runtime.jit.lower` decides whether there is one."""

    w: Writer
    head: str
    made: bool
    flag: str
    retry: str
    inner: int
    counters: list[str]

    def __init__(self) -> None:
        self.logging = False  # whether there is a log
        self.loggable = True  # whether there could be one
        self.keeping = NOW  # what becomes of stores here: those of statements are kept, if `Ref.log` says so
        self._log = ""

    def guard(self, condition: str, reason: str) -> None:
        """Go on only if `condition` holds."""
        raise NotImplementedError

    def at_once(self) -> None:
        """What follows must not run where a guard before it should have left the loop."""
        raise NotImplementedError

    @contextmanager
    def kept_as(self, how: str) -> Iterator[None]:
        """Write code whose stores are kept so."""
        around, self.keeping = self.keeping, how
        try:
            yield
        finally:
            self.keeping = around

    def begin_log(self) -> None:
        """Give the log its place."""
        self._log = self.w.cell("log", _LOG)

    def begin_round(self) -> None:
        """Nothing has been stored yet."""
        first = self.w.op(f"load i64, ptr {self._word_of_log(3)}")
        self.w.put(f"store i64 {first}, ptr {self._word_of_log(1)}")

    def put_back(self) -> None:
        """All that the round has stored into gets back what it held."""
        self.w.put(f"call void @put_back(ptr {self._log})")

    def _word_of_log(self, number: int) -> str:
        return self.w.op(f"getelementptr i64, ptr {self._log}, i64 {number}")

    def is_kept(self, target: ast.Subscript, axes: int) -> bool:
        """Whether what a statement stores into, with so many axes, is kept.

        It pays where each round of the loops around stores into other elements.
        """
        if not self.inner and not axes:
            return True
        if len(self.counters) != self.inner + 1:
            return False
        nodes = target.slice.elts if isinstance(target.slice, ast.Tuple) else [target.slice]
        return all(any(_moves(node, name) for node in nodes) for name in self.counters)

    def keep_element(self, ref: Ref, type_: str, size: int) -> None:
        """Before a store into an element."""
        if self.keeping == BEFORE or ref.log == BEFORE:
            return
        if self.keeping == NOT or ref.log == NOT:
            self.loggable = False
        if not self._may_log():
            return
        top = self.w.op(f"load i64, ptr {self._word_of_log(1)}")
        length = -(-size // 8) * 8
        after = self.w.op(f"add i64 {top}, {length + _TRAILER_OF_ONE}")
        end, place = self.w.op(f"load i64, ptr {self._word_of_log(2)}"), self.w.alloca("i64", "entry")
        self.w.put(f"store i64 {top}, ptr {place}")
        more, there = self.w.fresh("more"), self.w.fresh("there")
        self.w.branch(self.w.op(f"icmp ule i64 {after}, {end}"), there, more, expected=True)
        self.w.place(more)
        room = f"call i64 @room_for(ptr {self._log}, i64 {length + _TRAILER_OF_ONE}, ptr {self.head})"
        new = self.w.op(room)
        self.guard(self.w.op(f"icmp ne i64 {new}, 0"), "there is no memory")
        self.w.put(f"store i64 {new}, ptr {place}")
        self.w.jump(there)
        self.w.place(there)
        at = self.w.op(f"load i64, ptr {place}")
        entry = self.w.op(f"inttoptr i64 {at} to ptr")
        old = self.w.op(f"load {type_}, ptr {ref.pointer}, align {min(size, 8)}")
        self.w.put(f"store {type_} {old}, ptr {entry}, align 8")
        words = (f"ptr {ref.pointer}", f"i64 {1 << 8 | size}")
        for number, word in enumerate(words, length // 8):
            self.w.put(f"store {word}, ptr {self.w.op(f'getelementptr i64, ptr {entry}, i64 {number}')}")
        self.w.put(
            f"store i64 {self.w.op(f'add i64 {at}, {length + _TRAILER_OF_ONE}')}, ptr {self._word_of_log(1)}"
        )

    def keep_view(self, ref: Ref, size: int) -> None:
        """Before a store into all elements of a view."""
        if self.keeping == BEFORE:
            return
        if self.keeping == NOT or ref.log != NOW or not ref.dims:
            self.loggable = False
        elif self.logging:
            self._keep_rows(ref.pointer, ref.dims, ref.strides, size)

    def _keep_rows(self, pointer: str, dims: tuple[str, ...], strides: tuple[str, ...], size: int) -> None:
        if len(dims) == 1:
            self.keep(pointer, strides[0], dims[0], size)
            return
        with self.w.rounds("0", dims[0], 1) as k:
            offset = self.w.op(f"mul i64 {k}, {strides[0]}")
            row = self.w.op(f"getelementptr i8, ptr {pointer}, i64 {offset}")
            self._keep_rows(row, dims[1:], strides[1:], size)

    def keep(self, pointer: str, stride: str, count: str, size: int) -> None:
        """Keep so many elements, so many bytes from each other."""
        if not self._may_log():
            return
        where = f"ptr {pointer}, i64 {stride}, i64 {count}, i64 {size}"
        found = self.w.op(f"call i1 @keep_old(ptr {self._log}, ptr {self.head}, {where})")
        self.guard(found, "there is no memory")

    def _may_log(self) -> bool:
        """Whether an entry of the log is to be written here."""
        if not self.logging or not self.loggable:
            return False
        self.at_once()
        if self.flag or self.retry:
            self.loggable = False  # nothing could be done if there were no memory
            return False
        self.made = True
        return True


def _moves(node: ast.expr, name: str) -> bool:
    """Whether an index steps as a variable does, or a slice between two such does."""
    if isinstance(node, ast.Slice):
        ends = (node.lower, node.upper)
        return node.step is None and all(end is not None and degree(end, name, set()) == 1 for end in ends)
    return degree(node, name, set()) == 1


__all__ = ["BEFORE", "DECLARATIONS", "LEAST", "NOT", "NOW", "TEXT", "Undo"]
