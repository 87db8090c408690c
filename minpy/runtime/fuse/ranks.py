"""Elements of given ranks of long lanes, compiled: what ``partition`` does for medians and percentiles.

NumPy's own function runs, on an array whose `partition` is compiled: what is interpolated between, and how, is NumPy's.
A lane is copied and divided again and again, at pivots that are drawn for the rank; an element moves without a branch,
since which way numbers in no order go nobody can foretell.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from minpy.runtime.fuse import kernels
from minpy.runtime.fuse.ir import Irregular
from minpy.runtime.fuse.lanes import FLOATS, exchanges, less_than

_SAMPLE = 16  # elements that a pivot is drawn from
_MOST_PASSES, _MOST_PLACES = 200, 64
_LONGEST = 1 << 24  # elements of a lane: more are copied for nothing if there is no memory


class Ranked:
    """``median``, ``percentile`` or ``quantile`` of one array, for one geometry.

    Raises
    ------
    Irregular
        It holds what is not compiled here.
    """

    def __init__(self, function: Callable[[np.ndarray], Any], dtype: np.dtype) -> None:
        if dtype.char not in FLOATS and dtype.kind not in "iu":
            raise Irregular
        self.function = function
        self.text = _text(dtype.char)

    def run(self, kernel: kernels.Kernel, array: np.ndarray) -> Any:
        """Make the call."""
        given = array.view(_Selecting)
        given.kernel = kernel
        found = self.function(given)
        if isinstance(found, _Selecting):
            found = found.view(np.ndarray)
            return found if found.ndim else found[()]
        return found


class _Selecting(np.ndarray):
    """An array whose copies are divided by compiled code, at the places that are asked for only."""

    kernel: Any = None

    def __array_finalize__(self, other: Any) -> None:
        self.kernel = getattr(other, "kernel", None)

    def partition(self, kth: Any, axis: int = -1, kind: str = "introselect", order: Any = None) -> None:
        plain = self.view(np.ndarray)
        lanes = np.moveaxis(plain, axis, 0)
        length = len(lanes)
        places = sorted({operator.index(k) % length for k in np.ravel(kth)})
        rest = lanes.shape[1:]
        geometry = kernels.geometry(rest, lanes.strides[1:], plain.itemsize)
        dense = plain.flags.c_contiguous or plain.flags.f_contiguous or _is_dense(plain)
        if geometry is None or not dense or length > _LONGEST or len(places) > _MOST_PLACES:
            raise Irregular
        room = np.empty(length, plain.dtype)
        found = np.empty((*rest, len(places)), plain.dtype)
        count = len(places)
        # (A lane gives as many elements as there are places; so a row's geometry has one more axis than its lanes.)
        words = [*geometry, plain.size, length, lanes.strides[0], room.ctypes.data, count, *places]
        self.kernel.run(plain, found, np.array(words, np.int64))
        for k, place in enumerate(places):
            lanes[place] = found[..., k]


def _is_dense(array: np.ndarray) -> bool:
    """Whether an array's elements lie one after the other, in whatever order."""
    reach = sum((n - 1) * abs(step) for n, step in zip(array.shape, array.strides, strict=True))
    return all(step > 0 for step in array.strides) and reach == (array.size - 1) * array.itemsize


@lru_cache(maxsize=16)
def _text(char: str) -> str:
    dtype = np.dtype(char)
    size = dtype.itemsize
    floating = char in FLOATS
    kind, bits = FLOATS[char] if floating else (f"i{8 * size}", 8 * size)
    less = less_than(dtype, kind)
    if floating:
        # Neither NaNs nor negative zeros are there by then.
        compare, choose = f"fcmp nnan nsz olt {kind}", "select nnan nsz i1"
        check = (
            f"  %pattern = bitcast {kind} %x to i{bits}\n"
            f"  %nan = fcmp uno {kind} %x, %x\n"
            f"  %negative = icmp eq i{bits} %pattern, {-(1 << (bits - 1))}\n"
            "  %this = or i1 %nan, %negative\n  %word = zext i1 %this to i64\n"
        )
    else:
        compare, choose = less, "select i1"
        check = "  %word = add i64 0, 0\n"
    element = f"getelementptr {kind}, ptr"
    loaded = "".join(
        f"  %n{k} = mul i64 %count, {k}\n  %m{k} = udiv i64 %n{k}, {_SAMPLE}\n  %o{k} = add i64 %m{k}, %lo\n"
        f"  %q{k} = {element} %x, i64 %o{k}\n  %v{k} = load {kind}, ptr %q{k}\n"
        for k in range(_SAMPLE)
    )
    values = [f"%v{k}" for k in range(_SAMPLE)]
    network = []
    for number, (i, j) in enumerate(exchanges(_SAMPLE)):
        a, b = values[i], values[j]
        network.append(
            f"  %c{number} = {less} {b}, {a}\n"
            f"  %l{number} = select i1 %c{number}, {kind} {b}, {kind} {a}\n"
            f"  %h{number} = select i1 %c{number}, {kind} {a}, {kind} {b}\n"
        )
        values[i], values[j] = f"%l{number}", f"%h{number}"
    stored = "".join(
        f"  %s{k} = {element} %sample, i64 {k}\n  store {kind} {value}, ptr %s{k}\n"
        for k, value in enumerate(values)
    )

    def extreme(name: str, test: str) -> str:
        return f"""
define internal {kind} @{name}(ptr %x, i64 %n) {{
entry:
  %first = load {kind}, ptr %x
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %head ]
  %best = phi {kind} [ %first, %entry ], [ %better, %head ]
  %p = {element} %x, i64 %i
  %v = load {kind}, ptr %p
  %is = {compare} {test}
  %better = {choose} %is, {kind} %v, {kind} %best
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %head, label %done
done:
  ret {kind} %better
}}
"""

    row = f"""
{extreme("smallest", "%v, %best")}{extreme("largest", "%best, %v")}
define internal i64 @divide(ptr %x, i64 %lo, i64 %hi, {kind} %pivot, i1 %equal) {{
entry:
  br label %head
head:
  %i = phi i64 [ %lo, %entry ], [ %next, %head ]
  %s = phi i64 [ %lo, %entry ], [ %after, %head ]
  %ip = {element} %x, i64 %i
  %sp = {element} %x, i64 %s
  %a = load {kind}, ptr %ip
  %b = load {kind}, ptr %sp
  store {kind} %b, ptr %ip
  store {kind} %a, ptr %sp
  %less = {less} %a, %pivot
  %greater = {less} %pivot, %a
  %notgreater = xor i1 %greater, true
  %here = select i1 %equal, i1 %notgreater, i1 %less
  %one = zext i1 %here to i64
  %after = add i64 %s, %one
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %hi
  br i1 %more, label %head, label %out
out:
  ret i64 %after
}}

define internal {kind} @pivot(ptr %x, i64 %lo, i64 %count, i64 %k, ptr %sample) {{
{loaded}{"".join(network)}{stored}
  %rank = sub i64 %k, %lo
  %scaled = mul i64 %rank, {_SAMPLE}
  %index = udiv i64 %scaled, %count
  %at = {element} %sample, i64 %index
  %found = load {kind}, ptr %at
  ret {kind} %found
}}

; Puts the element of rank %k in its place among those from %from on, all before which are not greater; %bounds are
; places, the nearest last, all before which are not greater than all behind. How many there are then; 0 if it takes
; long.
define internal i64 @find(ptr %x, i64 %from, i64 %k, ptr %bounds, i64 %number, ptr %sample) {{
entry:
  br label %near
near:
  %m = phi i64 [ %number, %entry ], [ %fewer, %near ]
  %fewer = sub i64 %m, 1
  %np = getelementptr i64, ptr %bounds, i64 %fewer
  %bound = load i64, ptr %np
  %past = icmp sle i64 %bound, %k
  br i1 %past, label %near, label %begin
begin:
  br label %head
head:
  %lo = phi i64 [ %from, %begin ], [ %lo, %left ], [ %second, %right ]
  %hi = phi i64 [ %bound, %begin ], [ %first, %left ], [ %hi, %right ]
  %held = phi i64 [ %m, %begin ], [ %heldleft, %left ], [ %held, %right ]
  %passes = phi i64 [ 0, %begin ], [ %passed, %left ], [ %passed, %right ]
  %passed = add i64 %passes, 1
  %count = sub i64 %hi, %lo
  %few = icmp sle i64 %count, 1
  br i1 %few, label %done, label %look
look:
  %long = icmp sgt i64 %passes, {_MOST_PASSES}
  br i1 %long, label %fail, label %pick
pick:
  %pivot = call {kind} @pivot(ptr %x, i64 %lo, i64 %count, i64 %k, ptr %sample)
  %first = call i64 @divide(ptr %x, i64 %lo, i64 %hi, {kind} %pivot, i1 false)
  %isleft = icmp slt i64 %k, %first
  br i1 %isleft, label %left, label %equals
left:
  %place = getelementptr i64, ptr %bounds, i64 %held
  store i64 %first, ptr %place
  %heldleft = add i64 %held, 1
  br label %head
equals:
  %second = call i64 @divide(ptr %x, i64 %first, i64 %hi, {kind} %pivot, i1 true)
  %found = icmp slt i64 %k, %second
  br i1 %found, label %done, label %right
right:
  br label %head
done:
  ret i64 %held
fail:
  ret i64 0
}}

define internal i64 @copy(ptr %from, ptr noalias %to, i64 %n, i64 %stride) {{
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %head ]
  %moved = mul i64 %i, %stride
  %p = getelementptr i8, ptr %from, i64 %moved
  %x = load {kind}, ptr %p, align {size}
  %q = {element} %to, i64 %i
  store {kind} %x, ptr %q, align {size}
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %head, label %done
done:
  ret i64 0
}}

define internal i64 @lane(ptr %x, ptr %y, ptr %words) {{
entry:
  %sample = alloca [{_SAMPLE} x {kind}]
  %bounds = alloca [{_MOST_PASSES * _MOST_PLACES + 2} x i64]
  %np = getelementptr i64, ptr %words, i64 1
  %n = load i64, ptr %np
  %stridep = getelementptr i64, ptr %words, i64 2
  %stride = load i64, ptr %stridep
  %roomp = getelementptr i64, ptr %words, i64 3
  %room = load ptr, ptr %roomp
  %countp = getelementptr i64, ptr %words, i64 4
  %count = load i64, ptr %countp
  %last = sub i64 %n, 1
  %packed = icmp eq i64 %stride, {size}
  br i1 %packed, label %quick, label %slow
quick:
  %c0 = call i64 @copy(ptr %x, ptr %room, i64 %n, i64 {size})
  br label %start
slow:
  %c1 = call i64 @copy(ptr %x, ptr %room, i64 %n, i64 %stride)
  br label %start
start:
  store i64 %n, ptr %bounds
  br label %head
head:
  %i = phi i64 [ 0, %start ], [ %next, %store ]
  %from = phi i64 [ 0, %start ], [ %behind, %store ]
  %number = phi i64 [ 1, %start ], [ %held, %store ]
  %kat = add i64 %i, 5
  %kp = getelementptr i64, ptr %words, i64 %kat
  %k = load i64, ptr %kp
  %isfirst = icmp eq i64 %k, 0
  br i1 %isfirst, label %least, label %other
least:
  %low = call {kind} @smallest(ptr %room, i64 %n)
  br label %store
other:
  %islast = icmp eq i64 %k, %last
  br i1 %islast, label %most, label %middle
most:
  %begin = {element} %room, i64 %from
  %left = sub i64 %n, %from
  %high = call {kind} @largest(ptr %begin, i64 %left)
  br label %store
middle:
  %bounded = call i64 @find(ptr %room, i64 %from, i64 %k, ptr %bounds, i64 %number, ptr %sample)
  %failed = icmp eq i64 %bounded, 0
  br i1 %failed, label %fail, label %there
there:
  %at = {element} %room, i64 %k
  %rank = load {kind}, ptr %at
  br label %store
store:
  %value = phi {kind} [ %low, %least ], [ %high, %most ], [ %rank, %there ]
  %held = phi i64 [ %number, %least ], [ %number, %most ], [ %bounded, %there ]
  %behind = phi i64 [ %from, %least ], [ %from, %most ], [ %k, %there ]
  %out = {element} %y, i64 %i
  store {kind} %value, ptr %out
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %count
  br i1 %more, label %head, label %done
done:
  ret i64 0
fail:
  ret i64 1
}}

define internal i64 @first(ptr %all, ptr %words) {{
entry:
  %n = load i64, ptr %words
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %head ]
  %bad = phi i64 [ 0, %entry ], [ %worse, %head ]
  %p = {element} %all, i64 %i
  %x = load {kind}, ptr %p
{check}  %worse = or i64 %bad, %word
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %head, label %done
done:
  ret i64 %worse
}}

define internal i64 @row(ptr %x, ptr %y, ptr %words, i64 %n, i64 %stride) {{
entry:
  %countp = getelementptr i64, ptr %words, i64 4
  %count = load i64, ptr %countp
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %bad = phi i64 [ 0, %entry ], [ %worse, %body ]
  %moved = mul i64 %i, %stride
  %p = getelementptr i8, ptr %x, i64 %moved
  %elements = mul i64 %i, %count
  %q = {element} %y, i64 %elements
  %wrong = icmp ne i64 %bad, 0
  br i1 %wrong, label %done, label %body
body:
  %worse = call i64 @lane(ptr %p, ptr %q, ptr %words)
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %head, label %done
done:
  %result = phi i64 [ %bad, %head ], [ %worse, %body ]
  ret i64 %result
}}
"""
    return kernels.over_rows(row, size, times=4, looks_first=floating)
