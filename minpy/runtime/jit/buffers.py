"""The memory of arrays that a compiled loop makes, and what becomes of them when the loop hands back to Python.

A place of the code that makes an array has two words: the buffer that it made last, and a small one that it made
before and that is used again once nothing else holds it. A buffer begins with a header of 64-bit words: how many
variables and places of the code hold it, its capacity, its neighbours in the list of all buffers, and the identity of
the array that lies in it. Whatever way the loop is left, the list says what must be freed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

HEADER = 64
SMALLEST = 65535  # owners up to here are numbers of arrays that came in, above addresses of buffers
IDENT = 32
_MANY = 4
SPARE = 1 << 16  # bytes: so large a buffer may wait, beside the last one, for the place that made it

DECLARATIONS = ("declare ptr @at_malloc(i64)", "declare void @at_free(ptr)")
TEXT = f"""
define internal void @hold(i64 %owner) {{
  %ours = icmp sgt i64 %owner, {SMALLEST}
  br i1 %ours, label %go, label %out
go:
  %b = inttoptr i64 %owner to ptr
  %n = load i64, ptr %b
  %m = add i64 %n, 1
  store i64 %m, ptr %b
  br label %out
out:
  ret void
}}

define internal void @drop(i64 %owner, ptr %head) {{
  %ours = icmp sgt i64 %owner, {SMALLEST}
  br i1 %ours, label %go, label %out
go:
  call void @leave(i64 %owner, ptr %head)
  br label %out
out:
  ret void
}}

define internal void @leave(i64 %owner, ptr %head) noinline {{
  %b = inttoptr i64 %owner to ptr
  %n = load i64, ptr %b
  %m = sub i64 %n, 1
  store i64 %m, ptr %b
  %last = icmp eq i64 %m, 0
  br i1 %last, label %unlink, label %out
unlink:
  %prevp = getelementptr i8, ptr %b, i64 16
  %nextp = getelementptr i8, ptr %b, i64 24
  %prev = load ptr, ptr %prevp
  %next = load ptr, ptr %nextp
  %first = icmp eq ptr %prev, null
  %after = getelementptr i8, ptr %prev, i64 24
  %link = select i1 %first, ptr %head, ptr %after
  store ptr %next, ptr %link
  %end = icmp eq ptr %next, null
  br i1 %end, label %free, label %relink
relink:
  %before = getelementptr i8, ptr %next, i64 16
  store ptr %prev, ptr %before
  br label %free
free:
  call void @at_free(ptr %b)
  br label %out
out:
  ret void
}}

define internal i64 @make(ptr %cell, i64 %bytes, ptr %head) {{
  %old = load i64, ptr %cell
  %none = icmp eq i64 %old, 0
  br i1 %none, label %other, label %look
look:
  %o = inttoptr i64 %old to ptr
  %held = load i64, ptr %o
  %capp = getelementptr i8, ptr %o, i64 8
  %cap = load i64, ptr %capp
  %alone = icmp eq i64 %held, 1
  %large = icmp sge i64 %cap, %bytes
  %again = and i1 %alone, %large
  br i1 %again, label %reuse, label %other
reuse:
  %was = getelementptr i8, ptr %o, i64 32
  store i64 0, ptr %was
  ret i64 %old
other:
  ; A variable holds what was made here last: what was made before that is free by now, where it is set in each round.
  %sparep = getelementptr i8, ptr %cell, i64 8
  %spare = load i64, ptr %sparep
  %nospare = icmp eq i64 %spare, 0
  br i1 %nospare, label %fresh, label %lookagain
lookagain:
  %s = inttoptr i64 %spare to ptr
  %sheld = load i64, ptr %s
  %scapp = getelementptr i8, ptr %s, i64 8
  %scap = load i64, ptr %scapp
  %salone = icmp eq i64 %sheld, 1
  %slarge = icmp sge i64 %scap, %bytes
  %sagain = and i1 %salone, %slarge
  br i1 %sagain, label %swap, label %fresh
swap:
  store i64 %spare, ptr %cell
  store i64 %old, ptr %sparep
  %swas = getelementptr i8, ptr %s, i64 {IDENT}
  store i64 0, ptr %swas
  ret i64 %spare
fresh:
  %new = call i64 @change(ptr %cell, i64 %bytes, ptr %head)
  ret i64 %new
}}

define internal i64 @change(ptr %cell, i64 %bytes, ptr %head) noinline {{
  %old = load i64, ptr %cell
  %none = icmp eq i64 %old, 0
  br i1 %none, label %new, label %let
let:
  store i64 0, ptr %cell
  %sparep = getelementptr i8, ptr %cell, i64 8
  %o = inttoptr i64 %old to ptr
  %capp = getelementptr i8, ptr %o, i64 8
  %cap = load i64, ptr %capp
  %little = icmp sle i64 %cap, {SPARE}
  br i1 %little, label %keep, label %letgo
keep:
  %before_that = load i64, ptr %sparep
  store i64 %old, ptr %sparep
  call void @drop(i64 %before_that, ptr %head)
  br label %new
letgo:
  call void @drop(i64 %old, ptr %head)
  br label %new
new:
  %wanted = add i64 %bytes, {HEADER}
  %b = call ptr @at_malloc(i64 %wanted)
  %bad = icmp eq ptr %b, null
  br i1 %bad, label %failed, label %got
failed:
  ret i64 0
got:
  store i64 1, ptr %b
  %c = getelementptr i8, ptr %b, i64 8
  store i64 %bytes, ptr %c
  %p = getelementptr i8, ptr %b, i64 16
  store ptr null, ptr %p
  %n = getelementptr i8, ptr %b, i64 24
  %next = load ptr, ptr %head
  store ptr %next, ptr %n
  store ptr %b, ptr %head
  %i = getelementptr i8, ptr %b, i64 {IDENT}
  store i64 0, ptr %i
  %end = icmp eq ptr %next, null
  br i1 %end, label %out, label %relink
relink:
  %before = getelementptr i8, ptr %next, i64 16
  store ptr %b, ptr %before
  br label %out
out:
  %x = ptrtoint ptr %b to i64
  store i64 %x, ptr %cell
  ret i64 %x
}}
"""


def text(places: int) -> str:
    """The functions, for code with so many places that make arrays.

    Where these are many, to write the functions out at each takes a quarter of the compiler's time.
    """
    if places < _MANY:
        return TEXT
    return "\n".join(
        line.replace(") {", ") noinline {") if line.startswith("define") and "noinline" not in line else line
        for line in TEXT.split("\n")
    )


def owner_of(array: np.ndarray) -> np.ndarray | None:
    """The array whose memory an array shows, in C order; None if it is not that simple."""
    while type(array.base) is np.ndarray:
        array = array.base
    if array.flags.c_contiguous:
        return array
    return array.T if array.flags.f_contiguous else None


class Objects:
    """The arrays that variables of a loop stand for when it hands back: those that came in, views, and new ones."""

    def __init__(self, entered: Sequence[np.ndarray]) -> None:
        self._entered = entered
        self._made: dict[int, np.ndarray] = {}
        self._buffers: dict[int, np.ndarray] = {}

    def get(self, dtype: np.dtype, ndim: int, words: Any) -> np.ndarray:
        """The array for the words of a variable: identity, address, owner, shape, strides."""
        ident, address, owner = (int(each) for each in words[:3])
        if 0 <= ident < len(self._entered):
            return self._entered[ident]
        found = self._made.get(ident)
        if found is None:
            shape = tuple(map(int, words[3 : 3 + ndim]))
            strides = tuple(map(int, words[3 + ndim : 3 + 2 * ndim]))
            make: Callable[..., np.ndarray] = self._new if owner > SMALLEST else self._view
            found = self._made[ident] = make(dtype, shape, strides, ident, address, owner)
        return found

    def is_part(self, words: Any) -> bool:
        """Whether a variable holds a part of a new array; the new arrays themselves come before their parts."""
        ident, _, owner = (int(each) for each in words[:3])
        return owner > SMALLEST and ctypes.c_int64.from_address(owner + IDENT).value != ident

    def _view(self, dtype: Any, shape: Any, strides: Any, ident: int, address: int, owner: int) -> np.ndarray:
        came = self._entered[owner]
        whole = owner_of(came)
        assert whole is not None  # the kernel has looked
        closed = (
            came.flags.writeable and not whole.flags.writeable
        )  # which it became after the view was taken
        if closed:
            whole.flags.writeable = True
        try:
            found = np.ndarray(shape, dtype, whole, address - whole.ctypes.data, strides)
        finally:
            if closed:
                whole.flags.writeable = False
        if not came.flags.writeable:
            found.flags.writeable = False
        return found

    def _new(self, dtype: Any, shape: Any, strides: Any, ident: int, address: int, owner: int) -> np.ndarray:
        data = owner + HEADER
        if ctypes.c_int64.from_address(owner + IDENT).value == ident:
            whole = np.empty(shape, dtype)
            if strides != whole.strides and len(shape) == 2 and min(shape) > 1:
                whole = np.empty(shape, dtype, "F")
            ctypes.memmove(whole.ctypes.data, data, whole.nbytes)
            self._buffers[owner] = whole
            return whole
        whole = self._buffers.get(owner)
        if whole is None:
            capacity = ctypes.c_int64.from_address(owner + 8).value
            whole = np.empty(capacity, np.uint8)
            ctypes.memmove(whole.ctypes.data, data, capacity)
            self._buffers[owner] = whole
        return np.ndarray(shape, dtype, whole, address - data, strides)


@cache
def free() -> Callable[[int], None]:
    """The C library's function of that name."""
    found = ctypes.CDLL(None).free
    found.argtypes, found.restype = [ctypes.c_void_p], None
    return found


def free_all(first: int) -> None:
    """Give back the buffers of a list."""
    while first:
        following = ctypes.c_int64.from_address(first + 24).value
        free()(first)
        first = following
