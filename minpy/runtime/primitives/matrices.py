"""What the rows of linear algebra share: stacks of matrices, and matrices for tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.runtime import blas

LAPACK = "LAPACK on the host reports singular matrices; MXNet does not"


def transposed(x: Any) -> Any:
    """The matrices of a stack, transposed."""
    return np.swapaxes(x, -1, -2)


def crossed(x: Any, g: Any) -> Any:
    """``x.T @ g`` of matrices."""
    if (
        type(x) is np.ndarray is type(g)
        and 2 <= g.shape[1] <= _NARROW
        and x.nbytes >= _LARGE
        and len(x) >= 2 * _ROWS
        and g.shape[1] * 4 <= x.shape[1]
        and x.flags.c_contiguous
        and x.dtype is g.dtype
        and x.dtype.char in "fd"
    ):
        # BLAS goes through all of x several times if g is narrow: by parts that stay in the cache it does so once.
        step = max(_TILE // (x.shape[1] * x.itemsize), _ROWS)
        total = blas.dot(g[:step].T, x[:step])
        for i in range(step, len(x), step):
            total += blas.dot(g[i : i + step].T, x[i : i + step])
        return np.ascontiguousarray(total.T)
    return blas.dot(transposed(x), g)


_NARROW = 32  # columns
_LARGE = 1 << 20  # bytes of x
_TILE = 1 << 19
_ROWS = 64


def conj(x: Any) -> Any:
    """The complex conjugate; a real array as it is."""
    return np.conj(x) if np.iscomplexobj(x) else x


def adjoint(x: Any) -> Any:
    """The matrices of a stack, transposed and conjugated."""
    return conj(transposed(x))


def inverse(x: Any) -> Any:
    """1/x, zero where x is zero."""
    zero = x == 0
    return np.where(zero, 0.0, 1.0 / np.where(zero, 1.0, x))


def diagonals(d: Any) -> Any:
    """Diagonal matrices of the last axis."""
    return np.expand_dims(d, -1) * np.eye(np.shape(d)[-1])


def square(a: Any) -> Any:
    """A regular matrix."""
    n = np.eye(3)
    return a(3, 3) + (3 * n).astype(a.dtype)


def definite(a: Any, *lead: int) -> Any:
    """A Hermitian positive definite matrix, or a stack of them."""
    x = a(*lead, 3, 3)
    return (x @ np.conj(np.swapaxes(x, -1, -2)) + 3 * np.eye(3)).astype(a.dtype)


def hermitian(a: Any, *lead: int) -> Any:
    """A Hermitian matrix with eigenvalues apart, or a stack of them."""
    x = a(*lead, 3, 3)
    return (x + np.conj(np.swapaxes(x, -1, -2)) + np.diag([0, 7, 15])).astype(a.dtype)
