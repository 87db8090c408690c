"""Products of matrices whose last bits are MinPy's to choose: those of the sweep, and of the library's layers.

A program's own products must have NumPy's bits and stay with NumPy's BLAS. For the others the best library takes its
place that there is: MKL (extra ``mkl``), a newer OpenBLAS (extra ``blas``), a copy of NumPy's own that knows the
processor, where NumPy's does not. Under ``--fast-math`` it makes the program's as well, while a tape is open.

Nothing is measured, so that the same machine gives the same bits every time, with as many threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from math import isfinite
from time import perf_counter
from typing import Any

import numpy as np
from numpy import ndarray

from minpy.runtime import mkl, openblas
from minpy.runtime.cblas import Add, Foreign, Library, Then, address
from minpy.runtime.fuse.state import ignores_underflow

# Multiplications from which it pays. NumPy's OpenBLAS has its threads take part in larger ones, and they then look for
# more work for 30 ms, on the processors that MinPy's threads are to have.
_LEAST_WORK = 1 << 18
# Elements of a matrix whose rows are added up, from which the same goes for its product with a vector.
_LEAST_SUM = 1 << 13
# Rows and columns of the product by which a library is tried: more than a block of any kernel has.
_LARGE = 450
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


def dot_then(x: ndarray, y: ndarray, then: Then) -> ndarray:
    """``np.dot(x, y)``, of two matrices of one dtype, of which each part goes through `then` when it is made.

    Parameters
    ----------
    x, y : numpy.ndarray
    then : callable
        ``then(result, rows, columns, place)`` changes so many rows and columns of the result, in C order, from `place`
        bytes after its beginning on; perhaps in another thread.
    """
    found = _product(x, y, None, 0.0, then)
    if found is None:
        found = np.dot(x, y)
        then(found, *found.shape, 0)
    return found


def dot_adding(x: ndarray, y: ndarray, add: Add) -> ndarray:
    """``np.dot(x, y)``; where it is made in two halves, `add` is asked to add them up."""
    found = _product(x, y, None, 0.0, None, add)
    return np.dot(x, y) if found is None else found


def loose(x: ndarray, y: ndarray) -> ndarray | None:
    """``x @ y`` of a program's own matrices under ``--fast-math``; None if NumPy is to make it, with its warnings."""
    if not _is_for_libraries(x, y) or not ignores_underflow():
        return None
    found = _product(x, y, None, 0.0)
    return found if found is not None and is_finite(found) else None


def is_finite(found: ndarray) -> bool:
    """Whether each element of a library's product is finite: where one is not, NumPy is to say what it says."""
    library = present()
    squares = None if library is None else library.squares(found)
    if squares is None:
        flat = found.ravel()
        squares = flat.dot(flat)
    # The sum of squares is finite as a rule; it costs a small part of looking at each.
    return isfinite(squares) or bool(np.isfinite(found).all())


def add_dot(x: ndarray, y: ndarray, out: ndarray) -> None:
    """``out += np.dot(x, y)``, of matrices of one dtype; `out` as for `dot`."""
    if _product(x, y, out, 1.0) is None:
        out += np.dot(x, y)


def summed(x: ndarray, weights: ndarray | None = None) -> ndarray:
    """The sum of a matrix's rows: a product, which is several times as fast as a reduction.

    With `weights`, a matrix of one row, each row counts as often as they say.
    """
    ones = _ones(len(x), x.dtype) if weights is None else weights
    if x.size >= _LEAST_SUM and x.dtype.char in "fd" and x.dtype.isnative:
        library = present()
        found = None if library is None else library.product(ones, x, None)
        if found is not None:
            return found[0]
    return ones[0].dot(x)


@lru_cache(maxsize=16)
def _ones(count: int, dtype: np.dtype) -> ndarray:
    """A row of ones, the same for all sums of so many rows."""
    ones = np.ones((1, count), dtype)
    ones.flags.writeable = False
    return ones


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


def _product(
    x: Any, y: Any, out: Any, kept: float, then: Then | None = None, add: Add | None = None
) -> ndarray | None:
    """The product of two matrices by the library, to which `kept` times `out` is added; None if it is not for it."""
    if _is_for_libraries(x, y):
        library = present()
        if library is not None:
            return library.product(x, y, out, kept, then, add)
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
