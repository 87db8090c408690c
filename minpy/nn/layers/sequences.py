"""Layers on sequences (N, T, …) that look at each step alone."""

from __future__ import annotations

from typing import Any

import numpy

import minpy.numpy as np
from minpy.nn import checks


def temporal_affine(x: Any, w: Any, b: Any) -> Any:
    """``x · w + b`` at each step of a sequence.

    Parameters
    ----------
    x : array
        Shape (N, T, D).
    w : array
        Shape (D, M).
    b : array
        Shape (M,).

    Returns
    -------
    array
        Shape (N, T, M).
    """
    n, t, d = checks.shape_of("temporal_affine", "x", x, ("N", "T", "D"))
    _, m = checks.shape_of("temporal_affine", "w", w, ("D", "M"), D=d)
    checks.shape_of("temporal_affine", "b", b, ("M",), M=m)
    return np.reshape(np.dot(np.reshape(x, (n * t, d)), w) + b, (n, t, m))


def embedding(x: Any, w: Any) -> Any:
    """The rows of `w` that `x` names.

    Parameters
    ----------
    x : array of int
        Numbers of words, any shape.
    w : array
        Shape (V, D), a row for each word.

    Returns
    -------
    array
        Shape of `x` and D.
    """
    words, _ = checks.shape_of("embedding", "w", w, ("V", "D"))
    return np.take(w, checks.class_numbers("embedding", "x", x, words), axis=0)


def one_hot(label: numpy.ndarray, classes: int, dtype: Any) -> numpy.ndarray:
    """A row for each label, 1 at its class and 0 elsewhere."""
    rows = numpy.zeros((label.size, classes), dtype)
    rows[numpy.arange(label.size), label.reshape(-1)] = 1
    return rows
