"""Matrices that are the right factor of one product after another: the weights of a recurrent network.

A BLAS brings both factors into an order of its own before it multiplies; of few rows and a large matrix that takes as
long as to multiply. MKL keeps what it has made of a matrix, if it is asked to. For the others one that is transposed is
laid out in rows once.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from typing import Any

import numpy as np
from numpy import ndarray

from minpy.runtime import blas
from minpy.runtime.cblas import SHARE, address, layout
from minpy.runtime.conditions import ALL, are_known, forget, met
from minpy.runtime.fuse.state import ignores_underflow

MOST = 64  # rows of the left factor
# Multiplications from which a product is worth it, and from which threads may share it, each with a part of its own.
_LEAST, _SHARED = 1 << 18, 2 * SHARE
_ROW_MAJOR, _RIGHT, _PLAIN, _PACKED = 101, 162, 111, 151
_ALIGNED = 64  # bytes
_AGAIN = 3  # products with a matrix before it is packed
_TRIED = 32, 64, 128  # extents of a product by which a library is tried


def pays(x: ndarray, y: ndarray) -> bool:
    """Whether ``x @ y`` is better made by a `Factor`, if there are more of the kind; dtypes and shapes must fit."""
    return len(x) <= MOST and _LEAST <= x.size * y.shape[1] < _SHARED and x.flags.c_contiguous


class Factor:
    """A matrix that is multiplied from the left by many others, of so many rows each, and does not change meanwhile.

    Parameters
    ----------
    y : numpy.ndarray
        Of float64 or float32.
    rows : int
    """

    __slots__ = ("_compute", "_gate", "_head", "_matrix", "_memory", "_notes", "_tail", "rows")

    def __init__(self, y: ndarray, rows: int) -> None:
        self.rows, self._matrix, self._compute, self._notes = rows, y, None, None
        library, lies = blas.present(), layout(y)
        if library is not None and library.name == "mkl" and lies is not None:
            self._pack(library, lies)
        elif not y.flags.c_contiguous:
            self._matrix = np.ascontiguousarray(y)

    def _pack(self, library: Any, lies: tuple[int, int]) -> None:
        (inner, columns), char = self._matrix.shape, self._matrix.dtype.char
        letter, number = ("d", ctypes.c_double) if char == "d" else ("s", ctypes.c_float)
        whole, place = ctypes.c_int, ctypes.c_void_p
        try:
            size, pack, compute = [
                getattr(library.library, f"cblas_{letter}gemm_{name}")
                for name in ("pack_get_size", "pack", "compute")
            ]
        except AttributeError:
            return
        size.restype, size.argtypes = ctypes.c_size_t, [whole] * 4
        pack.restype, pack.argtypes = None, [*[whole] * 6, number, place, whole, place]
        compute.restype = None
        compute.argtypes = [*[whole] * 6, place, whole, place, whole, number, place, whole]
        memory = np.empty(size(_RIGHT, self.rows, columns, inner) + _ALIGNED, np.uint8)
        where = -(-address(memory) // _ALIGNED) * _ALIGNED
        self._gate, self._memory = library.gate or nullcontext(), memory
        with self._gate:
            pack(
                _ROW_MAJOR, _RIGHT, lies[0], self.rows, columns, inner, 1.0, address(self._matrix), lies[1],
                where,
            )  # fmt: skip
        self._compute = compute
        self._head = _ROW_MAJOR, _PLAIN, _PACKED, self.rows, columns, inner
        self._tail = inner, where, columns, 0.0

    def product(self, x: ndarray) -> ndarray:
        """``x @ y``."""
        if self._compute is None or len(x) != self.rows or not x.flags.c_contiguous:
            return blas.dot(x, self._matrix)
        columns = self._matrix.shape[1]
        out = np.empty((self.rows, columns), x.dtype)
        with self._gate:
            self._compute(*self._head, address(x), *self._tail, address(out), columns)
        return out

    def finite(self, x: ndarray) -> ndarray | None:
        """``x @ y`` if NumPy would say nothing about it, else None."""
        notes = self._notes
        if notes is None:
            notes = self._notes = self._compute is not None and _are_noted(x.dtype)
        if notes:
            forget(ALL)
            found = self.product(x)
            if not met(ALL):
                return found
        else:
            found = self.product(x)
        return found if ignores_underflow() and blas.is_finite(found) else None


@cache
def _are_noted(dtype: np.dtype) -> bool:
    """Whether the processor notes in this thread what a product with a packed matrix meets: not so in another one."""
    if not are_known:
        return False
    noted = []
    least, most = np.finfo(dtype).tiny, np.finfo(dtype).max
    for value, other in ((1.0, 1.0), (most, 2.0), (np.inf, 0.0), (least, 1e-3)):
        x, factor = np.full(_TRIED[:2], value, dtype), Factor(np.full(_TRIED[1:], other, dtype), _TRIED[0])
        forget(ALL)
        factor.product(x)
        noted.append(met(ALL) != 0)
    return noted == [False, True, True, True]


class Factors:
    """Matrices that are factors again and again while nothing writes to them, packed from the third time on.

    Parameters
    ----------
    multiply : callable
        What is made with a `Factor` and what is to its left: `Factor.product` or `Factor.finite`.
    transposed : bool
        Whether what is multiplied with is the transpose of each.
    """

    __slots__ = ("_known", "_multiply", "_transposed")

    def __init__(self, multiply: Callable[[Factor, ndarray], ndarray | None], transposed: bool) -> None:
        self._multiply, self._transposed = multiply, transposed
        self._known: dict[
            int, list[Any]
        ] = {}  # by identity: the matrix, and how often it was met, or a `Factor`

    def product(self, x: ndarray, y: ndarray, operand: Any, stays: Callable[[Any], bool]) -> ndarray | None:
        """``x @ y`` or ``x @ y.T``; None if that is not for it.

        `y` is what `operand` holds, and ``stays(operand)`` says whether it is the same from now on.
        """
        found = self._known.get(id(y))
        if found is None or found[0] is not y:
            if not stays(operand) or not pays(x, y.T if self._transposed else y):
                return None
            found = self._known[id(y)] = [y, 0]
        factor = found[1]
        if type(factor) is int:
            found[1] += 1
            if found[1] < _AGAIN:
                return None
            factor = found[1] = Factor(y.T if self._transposed else y, len(x))
        return self._multiply(factor, x)

    def written(self, memory: ndarray) -> None:
        """Forget what is made of `memory`, which is about to be written to."""
        for key, (y, _) in list(self._known.items()):
            if np.may_share_memory(memory, y):
                del self._known[key]
