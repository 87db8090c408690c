"""Matrices that are the right factor of one product after another: the weights of a recurrent network in the sweep.

A BLAS brings both factors into an order of its own before it multiplies; of few rows and a large matrix that takes as
long as to multiply. MKL keeps what it has made of a matrix, if it is asked to. For the others one that is transposed is
laid out in rows once.
"""

from __future__ import annotations

import ctypes
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy import ndarray

from minpy.runtime import blas
from minpy.runtime.cblas import SHARE, address, layout

MOST = 64  # rows of the left factor
# Multiplications from which a product is worth it, and from which threads may share it, each with a part of its own.
_LEAST, _SHARED = 1 << 18, 2 * SHARE
_ROW_MAJOR, _RIGHT, _PLAIN, _PACKED = 101, 162, 111, 151
_ALIGNED = 64  # bytes


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

    __slots__ = ("_compute", "_gate", "_head", "_matrix", "_memory", "_tail", "rows")

    def __init__(self, y: ndarray, rows: int) -> None:
        self.rows, self._matrix, self._compute = rows, y, None
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
