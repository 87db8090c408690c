"""Cotangents of matrices that are factors of many products with few rows: the weights of a recurrent network.

Each is a sum of products ``left.T @ right`` of a few rows, each as large as the matrix. The rows are put together, and
multiplied out when there are many: that is one product instead of many, and one addition.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.runtime import blas

# Measured: by BLAS alone a product of 32 rows is as fast as a part of a longer one until the matrix has some 30,000
# elements, one of 8 rows never is.
_FEW, _SOME = 8, 64  # rows of a product that is put off, and of one that is put off for a large matrix
_LEAST, _LARGE = 1 << 10, 1 << 15  # elements of a matrix for which that pays
_HELD = 1 << 17  # elements that may wait for one matrix, if twice its own are not more


def pays(rows: int, matrix: np.ndarray) -> bool:
    """Whether a product of so many rows is put off."""
    size = matrix.size
    held = rows * sum(matrix.shape)
    few = rows <= _FEW or (rows <= _SOME and size >= _LARGE) or 4 * held <= size
    return size >= _LEAST and few and 2 * held <= _room(matrix)


def _room(matrix: np.ndarray) -> int:
    return max(2 * matrix.size, _HELD)


class Sum:
    """A sum of products that belongs to the cotangent of one matrix.

    Attributes
    ----------
    operand : Array
        The matrix.
    """

    __slots__ = ("_left", "_right", "_used", "operand")

    def __init__(self, operand: Any) -> None:
        self.operand = operand
        matrix = operand.window
        rows = _room(matrix) // sum(matrix.shape)
        # Copies, since the sweep overwrites what products are made of; memory that is not reached is not touched.
        self._left = np.empty((rows, matrix.shape[0]), matrix.dtype)
        self._right = np.empty((rows, matrix.shape[1]), matrix.dtype)
        self._used = 0

    def add(self, left: np.ndarray, right: np.ndarray) -> np.ndarray | None:
        """Add ``left.T @ right``; what must be added to the cotangent now, if there is no more room."""
        rows = left.shape[0] if left.ndim == 2 else 1
        due = self.take() if self._used + rows > len(self._left) else None
        end = self._used + rows
        self._left[self._used : end] = left
        self._right[self._used : end] = right
        self._used = end
        return due

    def take(self) -> np.ndarray:
        """The sum of all that was added since the last time."""
        used, self._used = self._used, 0
        return blas.dot(self._left[:used].T, self._right[:used])
