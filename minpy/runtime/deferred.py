"""Cotangents of matrices that are factors of many products with few rows: the weights of a recurrent network.

Each is a sum of products ``left.T @ right`` of a few rows, each as large as the matrix. The rows are put together, and
multiplied out when there are many: that is one product instead of many, and one addition. Where several matrices have
the same rows to the right (the cotangent of ``x @ w + h @ u + b``), these are put down once. What is added to all rows,
`b`, has ones to the left.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minpy.runtime import blas

# Measured: by BLAS alone a product of 32 rows is as fast as a part of a longer one until the matrix has some 30,000
# elements, one of 8 rows never is; with what a call costs, and what the cotangent's memory does, it is not from 8,000.
_FEW, _SOME = 8, 64  # rows of a product that is put off, and of one that is put off for a large matrix
_LEAST, _LARGE = 1 << 10, 1 << 13  # elements of a matrix for which that pays
_HELD = 1 << 17  # elements that may wait on one side, if twice those of the matrix are not more
_LEAST_SUM = 1 << 11  # elements of rows that are to be added up for which it pays


def pays(rows: int, matrix: np.ndarray) -> bool:
    """Whether a product of so many rows is put off."""
    size = matrix.size
    held = rows * sum(matrix.shape)
    few = rows <= _FEW or (rows <= _SOME and size >= _LARGE) or 4 * held <= size
    return size >= _LEAST and few and 2 * held <= max(2 * size, _HELD)


def sum_pays(rows: np.ndarray) -> bool:
    """Whether adding up so many rows is put off."""
    return len(rows) <= _SOME and _LEAST_SUM <= rows.size <= _HELD // 4


class _Member:
    """What belongs to the cotangent of one matrix, or of a vector that is added to all rows."""

    __slots__ = ("filled", "left", "operand", "total")

    def __init__(self, operand: Any, left: np.ndarray) -> None:
        self.operand, self.left, self.filled = operand, left, 0
        self.total: Any = None


class Sum:
    """Sums of products that have what stands to the right in common.

    Parameters
    ----------
    right : numpy.ndarray
        The first of what stands there: rows, or one.
    """

    __slots__ = ("_last", "_members", "_now", "_right", "_start", "_used")

    def __init__(self, right: np.ndarray) -> None:
        columns = right.shape[-1]
        rows = right.size // columns
        # Copies, since the sweep overwrites what products are made of; memory that is not reached is not touched.
        self._right = np.empty((max(_HELD // columns, 4 * rows), columns), right.dtype)
        self._used = self._start = 0
        self._last: Any = None  # what was put down last
        self._now: set[Any] = set()  # for whom
        self._members: dict[Any, _Member] = {}

    def takes(self, key: Any, right: np.ndarray) -> bool:
        """Whether `right` is what was put down last, and not yet for this one."""
        return right is self._last and key not in self._now

    def add(self, key: Any, operand: Any, left: np.ndarray | None, right: np.ndarray) -> None:
        """Add ``left.T @ right`` to the cotangent of `operand`; the sum of the rows of `right` if `left` is None.

        The sweep never changes a cotangent that several records hand on, so what was put down last is still the same.
        """
        if right is not self._last or key in self._now:
            rows = right.shape[0] if right.ndim == 2 else 1
            if self._used + rows > len(self._right):
                self._multiply()
            self._start = self._used
            self._used += rows
            self._right[self._start : self._used] = right
            self._last = right
            self._now = set()
        self._now.add(key)
        member = self._members.get(key)
        if member is None:
            extent = len(self._right)
            held = (
                np.ones((extent, 1), right.dtype)
                if left is None
                else np.empty((extent, left.shape[-1]), left.dtype)
            )
            member = self._members[key] = _Member(operand, held)
        if member.filled < self._start:
            member.left[member.filled : self._start] = 0  # rows of others
        member.left[self._start : self._used] = 1 if left is None else left
        member.filled = self._used

    def _multiply(self) -> None:
        """Add what waits to the totals."""
        for member in self._members.values():
            if not member.filled:
                continue
            left, right = member.left[: member.filled], self._right[: member.filled]
            if left.shape[1] == 1:
                found = blas.summed(right, left.T)
                member.total = found if member.total is None else member.total + found
            elif member.total is None:
                member.total = blas.dot(left.T, right)
            else:
                blas.add_dot(left.T, right, member.total)
            member.filled = 0
        self._used = self._start = 0
        self._last = None

    def take(self) -> Iterator[tuple[Any, np.ndarray]]:
        """Each operand, and its sum of all that was added."""
        self._multiply()
        for member in self._members.values():
            yield member.operand, member.total
