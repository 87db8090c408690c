"""Elements of given ranks of long lanes, compiled: medians and percentiles.

A lane is copied and divided again and again, at pivots that are drawn for the rank; an element moves without a branch,
since which way numbers in no order go nobody can foretell. Nothing is asked but the elements that the result is made
of, and these are put together by NumPy.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from minpy.runtime.fuse import kernels
from minpy.runtime.fuse.ir import Irregular
from minpy.runtime.fuse.lanes import FLOATS, less_than

_SAMPLE = 16  # elements that a pivot is drawn from
_MOST_PASSES, _MOST_PLACES = 200, 64
_LONGEST = 1 << 24  # elements of a lane: more are copied for nothing if there is no memory


class _Ranked:
    """Elements of some ranks along axes, for one geometry.

    Raises
    ------
    Irregular
        The array holds what is not compiled here, or is laid out in a way that is not.
    """

    def __init__(self, array: np.ndarray, axes: tuple[int, ...], keepdims: bool, places: list[int]) -> None:
        dtype = array.dtype
        if dtype.char not in FLOATS and dtype.kind not in "iu":
            raise Irregular
        kept = [k for k in range(array.ndim) if k not in axes]
        self.dtype = dtype
        self.lanes = tuple(array.shape[k] for k in kept)
        self.shape = tuple(
            1 if k in axes else n for k, n in enumerate(array.shape) if keepdims or k not in axes
        )
        self.places = sorted(set(places))
        geometry = kernels.geometry(self.lanes, tuple(array.strides[k] for k in kept), dtype.itemsize)
        inner = kernels.merged([(array.shape[k], array.strides[k]) for k in axes])
        self.length = 1
        for extent, _ in inner:
            self.length *= extent
        if geometry is None or len(inner) > 2 or self.length > _LONGEST or len(self.places) > _MOST_PLACES:
            raise Irregular
        inner = [*[(1, 0)] * (2 - len(inner)), *inner]
        self.text = _text(dtype.char)
        (outer, far), (count, step) = inner
        self.words = np.array(
            [*geometry, self.length, outer, far, count, step, 0, len(self.places), *self.places], np.int64
        )

    def found(self, kernel: kernels.Kernel, array: np.ndarray) -> np.ndarray:
        """The elements, those of a lane along the last axis."""
        words = self.words.copy()
        room = np.empty(self.length, self.dtype)
        words[13] = room.ctypes.data
        result = np.empty((*self.lanes, len(self.places)), self.dtype)
        kernel.run(array, result, words)
        return result


class Medians(_Ranked):
    """``median``."""

    def __init__(self, array: np.ndarray, axes: tuple[int, ...], keepdims: bool) -> None:
        length = int(np.prod([array.shape[k] for k in axes]))
        super().__init__(array, axes, keepdims, [(length - 1) // 2, length // 2])

    def run(self, kernel: kernels.Kernel, array: np.ndarray) -> Any:
        """Find them."""
        found = np.mean(self.found(kernel, array), axis=-1)
        return found.reshape(self.shape) if self.shape else found


class Quantiles(_Ranked):
    """``quantile`` between neighbours in proportion; `q` as an array of floats."""

    def __init__(self, array: np.ndarray, axes: tuple[int, ...], keepdims: bool, q: np.ndarray) -> None:
        length = int(np.prod([array.shape[k] for k in axes]))
        if length < 2 or not all(0 <= each <= 1 for each in q.flat):
            raise Irregular
        where = (length - 1) * q
        # NumPy counts from the end where there is no next one, which gives another weight (of a difference of zero).
        before = np.where(where >= length - 1, -1, np.floor(where))
        after = np.where(where >= length - 1, -1, before + 1)
        below, above = (each.astype(int) % length for each in (before, after))
        super().__init__(array, axes, keepdims, [*map(int, below.flat), *map(int, above.flat)])
        self.below, self.above = (np.searchsorted(self.places, each) for each in (below, above))
        self.weight = np.asarray(where - before).reshape(q.shape + (1,) * len(self.lanes))
        self.late = self.weight >= 0.5
        self.every = q.shape

    def run(self, kernel: kernels.Kernel, array: np.ndarray) -> Any:
        """Find them."""
        found = np.moveaxis(self.found(kernel, array), -1, 0)
        low, high = found[self.below], found[self.above]
        difference = np.subtract(high, low)
        weight = self.weight
        result = np.asarray(np.add(low, difference * weight))
        if self.late.any():
            other = np.subtract(high, difference * (1 - weight))
            result = np.where(self.late, other, result)
        shape = (*self.every, *self.shape)
        return result.reshape(shape) if shape else result[()]


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

    def extreme(name: str, test: str) -> str:
        return f"""
define internal {kind} @{name}(ptr %x, i64 %n) noinline {{
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
define internal i64 @divide(ptr %x, i64 %lo, i64 %hi, {kind} %pivot, i1 %equal) noinline {{
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

define internal {kind} @pivot(ptr %x, i64 %lo, i64 %count, i64 %k, ptr %sample) noinline {{
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %placed ]
  %scaled = mul i64 %count, %i
  %from = udiv i64 %scaled, {_SAMPLE}
  %place = add i64 %from, %lo
  %p = {element} %x, i64 %place
  %v = load {kind}, ptr %p
  br label %down
down:
  %j = phi i64 [ %i, %head ], [ %before, %shift ]
  %none = icmp eq i64 %j, 0
  br i1 %none, label %placed, label %compare
compare:
  %before = sub i64 %j, 1
  %bp = {element} %sample, i64 %before
  %b = load {kind}, ptr %bp
  %greater = {less} %v, %b
  br i1 %greater, label %shift, label %placed
shift:
  %up = {element} %sample, i64 %j
  store {kind} %b, ptr %up
  br label %down
placed:
  %own = {element} %sample, i64 %j
  store {kind} %v, ptr %own
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, {_SAMPLE}
  br i1 %more, label %head, label %done
done:
  %rank = sub i64 %k, %lo
  %wanted = mul i64 %rank, {_SAMPLE}
  %index = udiv i64 %wanted, %count
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

define internal i64 @copy(ptr %from, ptr noalias %to, i64 %n, i64 %stride) noinline {{
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %head ]
  %bad = phi i64 [ 0, %entry ], [ %worse, %head ]
  %moved = mul i64 %i, %stride
  %p = getelementptr i8, ptr %from, i64 %moved
  %x = load {kind}, ptr %p, align {size}
  %q = {element} %to, i64 %i
  store {kind} %x, ptr %q, align {size}
{check}  %worse = or i64 %bad, %word
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %head, label %done
done:
  ret i64 %worse
}}

define internal i64 @lane(ptr %x, ptr %y, ptr %words) noinline {{
entry:
  %sample = alloca [{_SAMPLE} x {kind}]
  %bounds = alloca [{_MOST_PASSES * _MOST_PLACES + 2} x i64]
  %n = load i64, ptr %words
  %outerp = getelementptr i64, ptr %words, i64 1
  %outer = load i64, ptr %outerp
  %farp = getelementptr i64, ptr %words, i64 2
  %far = load i64, ptr %farp
  %innerp = getelementptr i64, ptr %words, i64 3
  %inner = load i64, ptr %innerp
  %stridep = getelementptr i64, ptr %words, i64 4
  %stride = load i64, ptr %stridep
  %roomp = getelementptr i64, ptr %words, i64 5
  %room = load ptr, ptr %roomp
  %countp = getelementptr i64, ptr %words, i64 6
  %count = load i64, ptr %countp
  %last = sub i64 %n, 1
  %packed = icmp eq i64 %stride, {size}
  br label %rows
rows:
  %o = phi i64 [ 0, %entry ], [ %onext, %copied ]
  %bad = phi i64 [ 0, %entry ], [ %worse, %copied ]
  %oat = mul i64 %o, %far
  %source = getelementptr i8, ptr %x, i64 %oat
  %tat = mul i64 %o, %inner
  %target = {element} %room, i64 %tat
  br i1 %packed, label %quick, label %slow
quick:
  %c0 = call i64 @copy(ptr %source, ptr %target, i64 %inner, i64 {size})
  br label %copied
slow:
  %c1 = call i64 @copy(ptr %source, ptr %target, i64 %inner, i64 %stride)
  br label %copied
copied:
  %c = phi i64 [ %c0, %quick ], [ %c1, %slow ]
  %worse = or i64 %bad, %c
  %onext = add i64 %o, 1
  %omore = icmp slt i64 %onext, %outer
  br i1 %omore, label %rows, label %checked
checked:
  %wrong = icmp ne i64 %worse, 0
  br i1 %wrong, label %fail, label %start
start:
  store i64 %n, ptr %bounds
  br label %head
head:
  %i = phi i64 [ 0, %start ], [ %next, %store ]
  %from = phi i64 [ 0, %start ], [ %behind, %store ]
  %number = phi i64 [ 1, %start ], [ %held, %store ]
  %kat = add i64 %i, 7
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

define internal i64 @row(ptr %x, ptr %y, ptr %words, i64 %n, i64 %stride) {{
entry:
  %countp = getelementptr i64, ptr %words, i64 6
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
    return kernels.over_rows(row, size, times=6)
