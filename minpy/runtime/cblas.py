"""A loaded BLAS that is not NumPy's: its products of matrices, made in parts by MinPy's threads where it has none.

How a product is made follows from its geometry alone, and from how many threads there may be: see `_Cut`. What follows
is kept, so that a product of the same geometry only fills in addresses.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from minpy.runtime.gate import Gate

# Multiplications for each thread at least, of a library that has no threads of its own.
SHARE = 1 << 22
# Geometries of products that are remembered.
_KNOWN = 256
# Rows or columns of its parts are a multiple of this.
_BLOCK = 16
# MKL packs a matrix of doubles slowly whose rows are whole pages apart, and so share their places in the cache: a
# product of so many rows takes so many terms at a time, a quarter less time in all.
_PAGE, _FEW_ROWS, _TERMS = 4096, (64, 256), 256
_ROW_MAJOR, _PLAIN, _TRANSPOSED = 101, 111, 112
# What limits the threads of a BLAS, beside what limits all others'.
_LIMITS = ("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

# How BLAS is told of a matrix.
Layout = tuple[int, int]
# What is to be done to a part of a result: the result, rows and columns of the part, and the bytes before it.
Then = Callable[[ndarray, int, int, int], None]
# Adds the second of two matrices in C order to the first, with whatever else; False if it has done nothing.
Add = Callable[[ndarray, ndarray], bool]


class Foreign(NamedTuple):
    """A library's product, for compiled code: its address, LLVM's name of its whole numbers, and the gate around it."""

    address: int
    whole: str
    gate: Gate


class _Cut(NamedTuple):
    """How a product is made: two halves of its terms apart or not, each in so many parts, by so many threads."""

    halves: bool
    parts: int
    threads: int


class _Call(NamedTuple):
    """One of the calls that make up a product.

    Attributes
    ----------
    head : tuple
        What comes before the places: the order, how the factors lie, rows, columns, terms, and 1.
    left, right, place : int
        Bytes from the beginning of the factors and of the result to where this call's are.
    left_step, right_step, step : int
        Elements from one row to the next.
    kept : float or None
        What the result is multiplied by before; None for what was asked for.
    apart : bool
        Whether the result is that of the second half of the terms, which is kept apart.
    """

    head: tuple[Any, ...]
    left: int
    left_step: int
    right: int
    right_step: int
    kept: float | None
    place: int
    step: int
    apart: bool

    @property
    def region(self) -> tuple[int, int, int]:
        """Rows and columns of the result, and where they begin in it."""
        return self.head[3], self.head[4], self.place


class _Plan(NamedTuple):
    """The calls of a product, those of one part after the other; by one thread if `threads` is below 2."""

    columns: int
    threads: int
    halves: bool
    parts: list[list[_Call]]


_WHOLE = _Cut(False, 1, 1)


class Library:
    """A loaded BLAS that is not the one NumPy uses.

    Parameters
    ----------
    name : str
        That of its source.
    library : ctypes.CDLL
    bare : bool
        Whether it has no threads of its own, and minds no forks: MinPy's threads share its large products.

    Raises
    ------
    AttributeError
        It has no products.
    """

    def __init__(self, name: str, library: Any, bare: bool = False) -> None:
        self.name = name
        self.gate = Gate() if bare else None
        self._entered: Any = self.gate or nullcontext()
        self._plans: dict[Any, _Plan] = {}  # by geometry, and by how many threads there may be
        self._most = _limit()
        self.library = library  # else it is unloaded
        prefix, suffix = _spelling(library)
        whole = ctypes.c_int64 if suffix else ctypes.c_int32
        self._whole_kind = f"i{8 * ctypes.sizeof(whole)}"
        self._multiply, self._dot = {}, {}
        for char, letter, number in (("f", "s", ctypes.c_float), ("d", "d", ctypes.c_double)):
            function = getattr(library, f"{prefix}cblas_{letter}gemm{suffix}")
            function.restype = None
            place = ctypes.c_void_p
            function.argtypes = (
                *[ctypes.c_int] * 3, *[whole] * 3, number, place, whole, place, whole, number, place, whole,
            )  # fmt: skip
            self._multiply[char] = function
            function = getattr(library, f"{prefix}cblas_{letter}dot{suffix}", None)
            if bare and function is not None:  # others have threads for it
                function.restype, function.argtypes = number, (whole, place, whole, place, whole)
                self._dot[char] = function

    def product(
        self, x: ndarray, y: ndarray, out: ndarray | None, kept: float = 0.0, then: Then | None = None,
        add: Add | None = None,
    ) -> ndarray | None:  # fmt: skip
        """``x @ y``, to which `kept` times `out` is added; None if their layout is not one that BLAS takes.

        `then` is called for each part of the result, by the thread that has made it. `add` is asked to add the second
        half of the terms to the first, where they are apart.
        """
        char, work = x.dtype.char, x.size * y.shape[1]
        width = _pool().width() if self.gate is not None and work >= 2 * SHARE else 1
        key = x.shape, x.strides, y.shape, y.strides, char, width
        plan = self._plans.get(key)
        if plan is None:
            plan = self._planned(x, y, width)
            if plan is None:
                return None
            if len(self._plans) >= _KNOWN:
                self._plans.clear()
            self._plans[key] = plan
        columns, threads, halves, parts = plan
        multiply = self._multiply[char]
        if out is None:
            out = np.empty((x.shape[0], columns), x.dtype)
        other = np.empty((x.shape[0], columns), x.dtype) if halves else out
        left, right, place, beside = address(x), address(y), address(out), address(other)
        calls = [
            [
                (
                    *each.head, left + each.left, each.left_step, right + each.right, each.right_step,
                    kept if each.kept is None else each.kept, (beside if each.apart else place) + each.place, each.step,
                )
                for each in part
            ]
            for part in parts
        ]  # fmt: skip
        last = None if halves else then
        with self._entered:
            if threads > 1:

                def some(number: int) -> None:
                    for each in calls[number]:
                        multiply(*each)
                    if last is not None:
                        last(out, *parts[number][0].region)

                _pool().run(some, len(calls))
            else:
                for part in calls:
                    for each in part:
                        multiply(*each)
            if halves and (add is None or not add(out, other)):
                np.add(out, other, out)
        if then is not None and (halves or threads < 2):
            then(out, x.shape[0], columns, 0)
        return out

    def squares(self, x: ndarray) -> float | None:
        """The sum of the squares of a matrix in C order with nothing between rows; None if that is not for it."""
        function = self._dot.get(x.dtype.char)
        if function is None:
            return None
        place = address(x)
        with self._entered:
            return function(x.size, place, 1, place, 1)

    def repeated(self, x: ndarray, y: ndarray) -> tuple[Any, Any, Any] | None:
        """What `blas.Repeated` needs; None if such products are made in parts, or not at all."""
        width = _pool().width() if self.gate is not None else 1
        plan = self._planned(x, y, width)
        if plan is None or plan.halves or len(plan.parts) > 1 or len(plan.parts[0]) > 1:
            return None
        (call,) = plan.parts[0]
        return (
            self._multiply[x.dtype.char],
            self._entered,
            (call.head, call.left_step, call.right_step, call.step),
        )

    def foreign(self, x: ndarray, y: ndarray) -> Foreign | None:
        """What compiled code needs that makes ``x @ y`` itself, of matrices in C order with nothing between rows.

        None if such products are cut, or the library has threads of its own.
        """
        (rows, inner), second = x.shape, layout(y)
        if self.gate is None or second is None or self._terms(x.dtype.char, second, rows, inner) < inner:
            return None
        if self._cut(x, y.shape[1], _pool().width()).halves:
            return None
        function = self._multiply[x.dtype.char]
        return Foreign(ctypes.cast(function, ctypes.c_void_p).value or 0, self._whole_kind, self.gate)

    def _cut(self, x: ndarray, columns: int, width: int) -> _Cut:
        """How a product is made; in halves whatever the number of threads, for their bits are others.

        Its longest extent is cut. Weights are so cut in the same way in the products of a layer, forward and back, and
        by the rule that follows their gradient: each thread finds in its cache what it has left there, and does not
        wait for what another one has written.
        """
        (rows, inner), work = x.shape, x.size * columns
        if self.gate is None or work < 2 * SHARE:
            return _WHOLE
        halves = inner > max(rows, columns)
        threads = min(self._most, width, work // SHARE)
        if halves:
            return _Cut(True, threads // 2 if threads > 1 else 1, min(threads, 2 * (threads // 2) or 1))
        threads = min(threads, max(rows, columns) // _BLOCK)
        return _Cut(False, threads, threads)

    def _planned(self, x: ndarray, y: ndarray, width: int) -> _Plan | None:
        """How a product is made where there may be `width` threads; None if its layout is not one that BLAS takes."""
        first, second = layout(x), layout(y)
        if first is None or second is None:
            return None
        (rows, inner), columns, size = x.shape, y.shape[1], x.itemsize
        cut = self._cut(x, columns, width)
        by_rows = rows >= columns
        extent = rows if by_rows else columns
        pieces = [(0, extent)] if cut.parts < 2 else _pool().cuts(extent, cut.parts, _BLOCK)
        spans = [(0, inner)]
        if cut.halves:
            half = -(-inner // (2 * _BLOCK)) * _BLOCK
            spans = [(0, half), (half, inner - half)]
        x_move, y_move, move = (x.strides[0], 0, columns * size) if by_rows else (0, y.strides[1], size)
        parts = [
            self._calls(
                x.dtype.char, first, second, (length, columns) if by_rows else (rows, length), terms,
                (begin * x.strides[1] + start * x_move, begin * y.strides[0] + start * y_move, start * move),
                columns, begin > 0,
            )
            for begin, terms in spans
            for start, length in pieces
        ]  # fmt: skip
        return _Plan(columns, cut.threads, cut.halves, parts)

    def _calls(
        self, char: str, first: Layout, second: Layout, extents: tuple[int, int], inner: int,
        places: tuple[int, int, int], distance: int, apart: bool,
    ) -> list[_Call]:  # fmt: skip
        """A part of a product: rows and columns of it, of so many terms, from places on that are given in bytes."""
        (rows, columns), (left, right, place) = extents, places
        step, size = self._terms(char, second, rows, inner), 8 if char == "d" else 4
        left_move = step * size * (1 if first[0] == _PLAIN else first[1])
        right_move = step * size * (second[1] if second[0] == _PLAIN else 1)
        calls = []
        for number in range(-(-inner // step)):
            head = _ROW_MAJOR, first[0], second[0], rows, columns, min(step, inner - number * step), 1.0
            kept = 1.0 if number else 0.0 if apart else None
            here = left + number * left_move, first[1], right + number * right_move, second[1]
            calls.append(_Call(head, *here, kept, place, distance, apart))
        return calls

    def _terms(self, char: str, second: Layout, rows: int, inner: int) -> int:
        """How many terms of a product are taken at a time."""
        few = (
            self.name == "mkl"
            and char == "d"
            and second[0] == _PLAIN
            and second[1] * 8 % _PAGE == 0
            and _FEW_ROWS[0] <= rows <= _FEW_ROWS[1]
            and inner >= 3 * _TERMS
        )
        return _TERMS if few else inner


def _spelling(library: Any) -> tuple[str, str]:
    """What stands before and after the names of a library's functions."""
    for prefix in ("", "scipy_"):
        for suffix in ("64_", "_64", ""):  # the first two take indices of 64 bits
            if hasattr(library, f"{prefix}cblas_dgemm{suffix}"):
                return prefix, suffix
    raise AttributeError("it has no products")


_threads: Any = None


def _pool() -> Any:
    """The threads that share a product, imported where there is one."""
    global _threads
    if _threads is None:
        from minpy.runtime.fuse import pool

        _threads = pool
    return _threads


def _limit() -> int:
    """How many the environment lets a BLAS have; as theirs, it is read when the library is loaded."""
    texts = [os.environ.get(name, "") for name in _LIMITS]
    return min([max(1, int(text)) for text in texts if text.isdecimal()], default=1 << 16)


def _address_asked(x: ndarray) -> int:
    return x.__array_interface__["data"][0]


def _address_read(x: ndarray) -> int:
    return _place(id(x) + _DATA).value or 0


def _address_of() -> Callable[[ndarray], int]:
    """What gives the address of an array's first element: its object is looked into, a fifth of the time of asking."""
    probes = [np.zeros(n)[n // 2 :] for n in (1, 2, 30)]
    known = sys.implementation.name == "cpython" and all(
        _address_read(each) == _address_asked(each) for each in probes
    )
    return _address_read if known else _address_asked


_place = ctypes.c_void_p.from_address
_DATA = object.__basicsize__  # where it stands in an array's object: first
# The address of an array's first element.
address = _address_of()


def layout(x: ndarray) -> Layout | None:
    """How BLAS is told of a matrix: as it is or transposed, and the elements from one row to the next."""
    (rows, columns), (down, right), size = x.shape, x.strides, x.itemsize
    if right == size and down >= columns * size and down % size == 0:
        return _PLAIN, down // size
    if down == size and right >= rows * size and right % size == 0:
        return _TRANSPOSED, right // size
    return None
