"""Sample inputs for tests: what the table's rows are called with, given a random generator and a dtype."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Samples = Callable[[np.random.Generator, np.dtype], Iterator[tuple[tuple, dict]]]


def array(
    rng: np.random.Generator, dtype: Any, *shape: int, low: float = -3.0, high: float = 3.0
) -> np.ndarray:
    """A random array of `dtype` with real (and imaginary) parts between `low` and `high`."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    values = rng.uniform(low, high, shape)
    if dtype.kind == "c":
        return (values + 1j * rng.uniform(low, high, shape)).astype(dtype)
    if dtype.kind == "u":
        values = np.abs(values)
    if dtype.kind in "iu":
        values = np.rint(values)
    return np.asarray(values).astype(dtype)


def special(dtype: Any) -> np.ndarray:
    """NaN, infinities and signed zeros, as far as `dtype` has them."""
    dtype = np.dtype(dtype)
    if dtype.kind in "fc":
        return np.array([0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -2.5, np.inf, -np.inf, np.nan], dtype)
    if dtype.kind == "b":
        return np.array([True, False, True])
    info = np.iinfo(dtype)
    return np.array([0, 1, 2, 3, 7, info.max, info.min, info.max - 1], dtype)


def unary(low: float = -3.0, high: float = 3.0, specials: bool = True) -> Samples:
    """Samples of an element-wise function of one operand with arguments between `low` and `high`."""

    def samples(rng: np.random.Generator, dtype: np.dtype) -> Iterator[tuple[tuple, dict]]:
        yield (array(rng, dtype, 3, 4, low=low, high=high),), {}
        yield (array(rng, dtype, low=low, high=high),), {}
        yield (array(rng, dtype, 2, 1, 3, low=low, high=high)[::-1],), {}
        yield (array(rng, dtype, 0, 3),), {}
        if specials:
            yield (special(dtype),), {}

    return samples


def binary(
    low: float = -3.0, high: float = 3.0, right: tuple[float, float] | None = None, specials: bool = True
) -> Samples:
    """Samples of an element-wise function of two operands; `right` are the bounds of the second."""
    first, second = {"low": low, "high": high}, {"low": low, "high": high}
    if right is not None:
        second = {"low": right[0], "high": right[1]}

    def samples(rng: np.random.Generator, dtype: np.dtype) -> Iterator[tuple[tuple, dict]]:
        yield (array(rng, dtype, 3, 4, **first), array(rng, dtype, 3, 4, **second)), {}
        yield (array(rng, dtype, 3, 4, **first), array(rng, dtype, 4, **second)), {}
        yield (array(rng, dtype, 2, 1, 3, **first), array(rng, dtype, 4, 1, **second)), {}
        yield (array(rng, dtype, 3, **first), array(rng, dtype, **second)), {}
        yield (array(rng, dtype, **first), array(rng, dtype, **second)), {}
        yield (array(rng, dtype, 3, **first), 2), {}
        yield (2, array(rng, dtype, 3, **second)), {}
        yield (array(rng, dtype, 0, 3), array(rng, dtype, 3, **second)), {}
        if np.dtype(dtype).kind in "fc":
            yield (array(rng, dtype, 3, **first), 1.5), {}
            yield (1.5, array(rng, dtype, 3, **second)), {}
            yield (array(rng, dtype, 3, **first), [1.0, 2.0, 0.5]), {}
        if np.dtype(dtype).kind in "iu":
            yield (array(rng, dtype, 3, **first), 2**53 + 1), {}
        # More dimensions that do not merge than device kernels broadcast.
        yield (
            (array(rng, dtype, 2, 1, 2, 1, 2, 1, **first), array(rng, dtype, 1, 2, 1, 2, 1, 2, **second)),
            {},
        )
        if specials:
            values = special(dtype)
            yield (values[:, None], values), {}

    return samples


def reduction(low: float = -3.0, high: float = 3.0, specials: bool = True, **fixed: Any) -> Samples:
    """Samples of a reduction: axes, kept axes, ties, empty axes."""

    def samples(rng: np.random.Generator, dtype: np.dtype) -> Iterator[tuple[tuple, dict]]:
        x = array(rng, dtype, 3, 4, 2, low=low, high=high)
        yield (x,), {**fixed}
        for axis in (0, -1, (0, 2), (-1, 1)):
            yield (x,), {"axis": axis, **fixed}
            yield (x,), {"axis": axis, "keepdims": True, **fixed}
        yield (x, 1), {**fixed}
        yield (array(rng, dtype, 5, low=low, high=high),), {"axis": -1, **fixed}
        yield (array(rng, dtype, low=low, high=high),), {**fixed}
        yield (array(rng, dtype, 4, low=low, high=high).tolist(),), {**fixed}
        yield (np.array([[1, 2, 2], [0, 1, 1]], dtype),), {"axis": 1, **fixed}
        yield (array(rng, dtype, 0, 3),), {"axis": 1, **fixed}
        yield (array(rng, dtype, 2, 1, 2, 1, 2, 2, low=low, high=high),), {"axis": (0, 2, 4), **fixed}
        if specials and np.dtype(dtype).kind in "fc":
            yield (special(dtype).reshape(2, 5),), {"axis": 0, **fixed}

    return samples
