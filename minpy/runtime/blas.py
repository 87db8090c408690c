"""Products of matrices whose last bits are MinPy's to choose: those of the sweep, and of the library's layers.

A program's own products must have NumPy's bits and stay with NumPy's BLAS. For the others the best library takes its
place that there is: MKL (extra ``mkl``), a newer OpenBLAS (extra ``blas``), a copy of NumPy's own that knows the
processor, where NumPy's does not. Under ``--fast-math`` it makes the program's as well, while a tape is open.

Nothing is measured, so that the same machine gives the same bits every time, with as many threads.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from math import isfinite
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from minpy.runtime import mkl, openblas
from minpy.runtime.gate import Gate

# Multiplications from which it pays. NumPy's OpenBLAS has its threads take part in larger ones, and they then look for
# more work for 30 ms, on the processors that MinPy's threads are to have.
_LEAST_WORK = 1 << 18
# Elements of a matrix whose rows are added up, from which the same goes for its product with a vector.
_LEAST_SUM = 1 << 13
# Multiplications for each thread at least, of a library that has no threads of its own.
SHARE = 1 << 22
# Geometries of products that are remembered.
_KNOWN = 256
# Rows or columns of its parts are a multiple of this.
_BLOCK = 16
# MKL packs a matrix of doubles slowly whose rows are whole pages apart, and so share their places in the cache: a
# product of so many rows takes so many terms at a time, a quarter less time in all.
_PAGE, _FEW_ROWS, _TERMS = 4096, (64, 256), 256
# Rows and columns of the product by which a library is tried: more than a block of any kernel has.
_LARGE = 450
_ROW_MAJOR, _PLAIN, _TRANSPOSED = 101, 111, 112
# What limits the threads of a BLAS, beside what limits all others'.
_LIMITS = ("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

# How BLAS is told of a matrix.
Layout = tuple[int, int]
# In the order in which they are preferred: by which name they are known, and whether they are bare.
_SOURCES: tuple[tuple[str, Callable[[], Any], bool], ...] = (
    ("mkl", mkl.load, True),
    ("blas", openblas.load_newer, False),
    ("copy", openblas.load_copy, False),
)

_lock = threading.Lock()
_unknown = object()
_library: Any = _unknown
# Why libraries that are installed are not used, by their names in `_SOURCES`.
_failures: dict[str, str] = {}


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
        self._gate = Gate() if bare else None
        self._known: dict[Any, Any] = {}  # by geometry, what `repeated` gives
        self._most = _limit()
        self.library = library  # else it is unloaded
        prefix, suffix = _spelling(library)
        whole = ctypes.c_int64 if suffix else ctypes.c_int32
        self._whole_kind = f"i{8 * ctypes.sizeof(whole)}"
        self._multiply = {}
        for char, letter, number in (("f", "s", ctypes.c_float), ("d", "d", ctypes.c_double)):
            function = getattr(library, f"{prefix}cblas_{letter}gemm{suffix}")
            function.restype = None
            place = ctypes.c_void_p
            function.argtypes = (
                *[ctypes.c_int] * 3, *[whole] * 3, number, place, whole, place, whole, number, place, whole,
            )  # fmt: skip
            self._multiply[char] = function

    def product(self, x: ndarray, y: ndarray, out: ndarray | None, kept: float = 0.0) -> ndarray | None:
        """``x @ y``, to which `kept` times `out` is added; None if their layout is not one that BLAS takes."""
        key = x.shape, x.strides, y.shape, y.strides, x.dtype.char
        known = self._known.get(key)
        if known is not None:
            multiply, gate, (head, first_step, second_step, columns) = known
            if out is None:
                out = np.empty((x.shape[0], columns), x.dtype)
            with gate:
                multiply(*head, address(x), first_step, address(y), second_step, kept, address(out), columns)
            return out
        first, second = layout(x), layout(y)
        if first is None or second is None:
            return None
        rows, columns = x.shape[0], y.shape[1]
        if out is None:
            out = np.empty((rows, columns), x.dtype)
        cut = self._cut(x, columns)
        if cut == _WHOLE and x.size * columns < 2 * SHARE:  # with any number of threads
            found = self.repeated(x, y)
            if found is not None:
                if len(self._known) >= _KNOWN:
                    self._known.clear()
                self._known[key] = found
        if self._gate is None:
            self._run(self._parts(x, y, out, kept, first, second, cut), x.dtype.char, 1)
            return out
        with self._gate:
            if cut.halves:
                other = np.empty((rows, columns), x.dtype)
                self._run(self._parts(x, y, out, kept, first, second, cut, other), x.dtype.char, cut.threads)
                np.add(out, other, out)
            else:
                self._run(self._parts(x, y, out, kept, first, second, cut), x.dtype.char, cut.threads)
        return out

    def repeated(self, x: ndarray, y: ndarray) -> tuple[Any, Any, Any] | None:
        """What `Repeated` needs; None if such products are made in parts, or not at all."""
        first, second = layout(x), layout(y)
        (rows, inner), columns = x.shape, y.shape[1]
        if first is None or second is None or self._cut(x, columns) != _WHOLE:
            return None
        if self._terms(x.dtype.char, second, rows, inner) < inner:
            return None
        head = _ROW_MAJOR, first[0], second[0], rows, columns, inner, 1.0
        return self._multiply[x.dtype.char], self._gate or nullcontext(), (head, first[1], second[1], columns)

    def foreign(self, x: ndarray, y: ndarray) -> Foreign | None:
        """What compiled code needs that makes ``x @ y`` itself, of matrices in C order with nothing between rows.

        None if such products are cut, or the library has threads of its own.
        """
        (rows, inner), second = x.shape, layout(y)
        if self._gate is None or second is None or self._terms(x.dtype.char, second, rows, inner) < inner:
            return None
        if self._cut(x, y.shape[1]).halves:
            return None
        function = self._multiply[x.dtype.char]
        return Foreign(ctypes.cast(function, ctypes.c_void_p).value or 0, self._whole_kind, self._gate)

    def _cut(self, x: ndarray, columns: int) -> _Cut:
        """How a product is made; in halves whatever the number of threads, for their bits are others.

        Its longest extent is cut. Weights are so cut in the same way in the products of a layer, forward and back, and
        by the rule that follows their gradient: each thread finds in its cache what it has left there, and does not
        wait for what another one has written.
        """
        (rows, inner), work = x.shape, x.size * columns
        if self._gate is None or work < 2 * SHARE:
            return _WHOLE
        halves = inner > max(rows, columns)
        threads = min(self._most, _pool().width(), work // SHARE)
        if halves:
            return _Cut(True, threads // 2 if threads > 1 else 1, min(threads, 2 * (threads // 2) or 1))
        threads = min(threads, max(rows, columns) // _BLOCK)
        return _Cut(False, threads, threads)

    def _parts(
        self, x: ndarray, y: ndarray, out: ndarray, kept: float, first: Layout, second: Layout, cut: _Cut,
        other: ndarray | None = None,
    ) -> list[list[tuple[Any, ...]]]:  # fmt: skip
        """The arguments of the calls that make up a product, those of one part after the other."""
        (rows, inner), columns, size = x.shape, y.shape[1], x.itemsize
        by_rows = rows >= columns
        extent = rows if by_rows else columns
        pieces = [(0, extent)] if cut.parts < 2 else _pool().cuts(extent, cut.parts, _BLOCK)
        left, right, place = map(address, (x, y, out))
        spans = [(left, right, place, inner, kept)]
        if other is not None:
            half = -(-inner // (2 * _BLOCK)) * _BLOCK
            spans = [
                (left, right, place, half, kept),
                (left + half * x.strides[1], right + half * y.strides[0], address(other), inner - half, 0.0),
            ]
        x_move, y_move, move = (x.strides[0], 0, columns * size) if by_rows else (0, y.strides[1], size)
        parts = []
        for left, right, place, terms, kept in spans:
            for start, length in pieces:
                extents = (length, columns) if by_rows else (rows, length)
                parts.append(
                    self._calls(
                        x.dtype.char, first, second, (*extents, terms),
                        left + start * x_move, right + start * y_move, kept, place + start * move, columns,
                    )
                )  # fmt: skip
        return parts

    def _calls(
        self, char: str, first: Layout, second: Layout, extents: tuple[int, int, int],
        left: int, right: int, kept: float, result: int, distance: int,
    ) -> list[tuple[Any, ...]]:  # fmt: skip
        """A product of rows by inner elements with these by columns, all given by their addresses."""
        rows, columns, inner = extents
        step, size = self._terms(char, second, rows, inner), 8 if char == "d" else 4
        left_move = step * size * (1 if first[0] == _PLAIN else first[1])
        right_move = step * size * (second[1] if second[0] == _PLAIN else 1)
        return [
            (
                _ROW_MAJOR, first[0], second[0], rows, columns, min(step, inner - number * step), 1.0,
                left + number * left_move, first[1], right + number * right_move, second[1],
                1.0 if number else kept, result, distance,
            )
            for number in range(-(-inner // step))
        ]  # fmt: skip

    def _run(self, parts: list[list[tuple[Any, ...]]], char: str, threads: int) -> None:
        """Make the calls of all parts."""
        multiply = self._multiply[char]

        def work(number: int) -> None:
            for each in parts[number]:
                multiply(*each)

        if threads < 2:
            for number in range(len(parts)):
                work(number)
        else:
            _pool().run(work, len(parts))

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


def _pool() -> Any:
    """The threads that share a product, imported where there is one."""
    from minpy.runtime.fuse import pool

    return pool


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
address = _address_of()


def layout(x: ndarray) -> Layout | None:
    """How BLAS is told of a matrix: as it is or transposed, and the elements from one row to the next."""
    (rows, columns), (down, right), size = x.shape, x.strides, x.itemsize
    if right == size and down >= columns * size and down % size == 0:
        return _PLAIN, down // size
    if down == size and right >= rows * size and right % size == 0:
        return _TRANSPOSED, right // size
    return None


def dot(x: Any, y: Any, out: Any = None) -> Any:
    """``np.dot(x, y)``, of two matrices by whichever BLAS knows the processor.

    Parameters
    ----------
    x, y : array
        Anything that ``np.dot`` takes.
    out : numpy.ndarray, optional
        C-contiguous, of the result's shape and dtype, apart from `x` and `y`.
    """
    found = _product(x, y, out, 0.0)
    if found is not None:
        return found
    return np.dot(x, y) if out is None else np.dot(x, y, out)


def loose(x: ndarray, y: ndarray) -> ndarray | None:
    """``x @ y`` of a program's own matrices under ``--fast-math``; None if NumPy is to make it, with its warnings."""
    if not _is_for_libraries(x, y) or np.geterr()["under"] != "ignore":
        return None
    found = _product(x, y, None, 0.0)
    if found is None:
        return None
    flat = found.ravel()
    # A sum of squares is finite as a rule; it costs a quarter of looking at each.
    return found if isfinite(flat.dot(flat)) or np.isfinite(found).all() else None


def add_dot(x: ndarray, y: ndarray, out: ndarray) -> None:
    """``out += np.dot(x, y)``, of matrices of one dtype; `out` as for `dot`."""
    if _product(x, y, out, 1.0) is None:
        out += np.dot(x, y)


def summed(x: ndarray, weights: ndarray | None = None) -> ndarray:
    """The sum of a matrix's rows: a product, which is several times as fast as a reduction.

    With `weights`, a matrix of one row, each row counts as often as they say.
    """
    ones = np.ones((1, len(x)), x.dtype) if weights is None else weights
    if x.size >= _LEAST_SUM and x.dtype.char in "fd" and x.dtype.isnative:
        library = present()
        found = None if library is None else library.product(ones, x, None)
        if found is not None:
            return found[0]
    return ones[0].dot(x)


class Repeated:
    """``np.dot(x, y, out)`` again and again, of arrays with the geometry of those given here.

    Called as `dot` is, with `out`: which library multiplies, and how, is found out once.

    Parameters
    ----------
    x, y : numpy.ndarray
    out : numpy.ndarray
        As for `dot`.
    """

    __slots__ = ("_arguments", "_gate", "_multiply")

    def __init__(self, x: ndarray, y: ndarray, out: ndarray) -> None:
        self._multiply = None
        library = present() if _is_for_libraries(x, y) else None
        if library is not None:
            found = library.repeated(x, y)
            if found is not None:
                self._multiply, self._gate, self._arguments = found

    def __call__(self, x: ndarray, y: ndarray, out: ndarray) -> None:
        if self._multiply is None:
            dot(x, y, out)
            return
        head, first, second, columns = self._arguments
        with self._gate:
            self._multiply(*head, address(x), first, address(y), second, 0.0, address(out), columns)


def foreign(x: ndarray, y: ndarray) -> Foreign | None:
    """The library's product of such matrices for compiled code, if they are worth it; see `Library.foreign`."""
    library = present() if _is_for_libraries(x, y) else None
    return None if library is None else library.foreign(x, y)


def _is_for_libraries(x: Any, y: Any) -> bool:
    """Whether these are matrices whose product pays."""
    return (
        type(x) is ndarray
        and type(y) is ndarray
        and x.ndim == 2
        and y.ndim == 2
        and x.dtype is y.dtype
        and x.dtype.char in "fd"
        and x.shape[1] == y.shape[0]
        and x.size * y.shape[1] >= _LEAST_WORK
    )


def _product(x: Any, y: Any, out: Any, kept: float) -> ndarray | None:
    """The product of two matrices by the library, to which `kept` times `out` is added; None if it is not for it."""
    if _is_for_libraries(x, y):
        library = present()
        if library is not None:
            return library.product(x, y, out, kept)
    return None


def present() -> Library | None:
    """What `find` gives, without its lock once that is known."""
    return _library if _library is not _unknown else find()


def find() -> Library | None:
    """The library that multiplies here; None where NumPy's does. The first call loads it."""
    global _library
    with _lock:
        if _library is _unknown:
            _library = _load()
    return _library


def kernels() -> tuple[str | None, str | None]:
    """Which kernels NumPy's OpenBLAS has chosen, and better ones that it has; None where there is no such library."""
    return openblas.kernels()


def used() -> str | None:
    """What multiplies here, in words; None where NumPy's BLAS does."""
    library = find()
    if library is None:
        return None
    if library.name == "mkl":
        return f"the extra mkl, {mkl.version(library.library)}"
    kernels = openblas.chosen(library.library)
    if library.name == "blas":
        return f"the extra blas, with its kernels for {kernels}"
    return f"a copy with the kernels for {kernels}"


def failures() -> dict[str, str]:
    """Why libraries that are installed are not used: by the extra's name, or ``copy`` for that of NumPy's own."""
    find()
    return dict(_failures)


def seconds() -> tuple[float, float] | None:
    """What a product of middling size takes with NumPy's kernels, and with the library's; None where there is none."""
    library = find()
    if library is None:
        return None
    x = np.arange(_LARGE * _LARGE, dtype=float).reshape(_LARGE, _LARGE) % 7
    return _least_time(lambda: np.dot(x, x)), _least_time(lambda: library.product(x, x, None))


def _least_time(work: Callable[[], Any]) -> float:
    times = []
    for _ in range(5):
        began = perf_counter()
        work()
        times.append(perf_counter() - began)
    return min(times)


def _load() -> Library | None:
    """The first library that is there, and right."""
    for name, load, bare in _SOURCES:
        try:
            found = load()
            if found is None:
                continue
            library = Library(name, found, bare)
            if _is_right(library):
                return library
            _failures[name] = "its products are wrong"
        except (OSError, AttributeError, ValueError) as error:
            _failures[name] = str(error)
    return None


def _is_right(library: Library) -> bool:
    """Whether its products are right: small ones, and one that is cut into the blocks that caches ask for."""
    whole = np.arange(35 * 38, dtype=float).reshape(35, 38) % 11
    order = np.random.RandomState(0).permutation(_LARGE)
    for dtype in (np.float32, np.float64):
        x = whole.astype(dtype)
        for left, right in ((x, x.T), (x.T, x), (x[:, :35], x), (x.T, x.T.copy().T)):
            found = library.product(left, right, None)
            if found is None or not np.array_equal(found, np.dot(left, right)):  # whole numbers: exact
                return False
        large = (np.arange(_LARGE * _LARGE) % 127).reshape(_LARGE, _LARGE).astype(dtype)
        moves = np.zeros((_LARGE, _LARGE), dtype)
        moves[order, np.arange(_LARGE)] = 1
        found = library.product(large, moves, None)
        if found is None or not np.array_equal(found, large[:, order]):
            return False
    return True
