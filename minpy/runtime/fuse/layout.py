"""Where the elements of arrays lie: orders of axes, extents in bytes, what touches what."""

from __future__ import annotations

import numpy as np


def _packed(shape: tuple[int, ...], dtype: np.dtype) -> tuple[int, ...]:
    strides, step = [], dtype.itemsize
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))


def _is_ordered(array: np.ndarray) -> bool:
    """Whether no axis has a longer stride than one before it, those that are broadcast apart."""
    last = None
    for extent, stride in zip(array.shape, array.strides, strict=True):
        if extent == 1 or stride == 0:
            continue
        if last is not None and stride > last:
            return False
        last = stride
    return True


def extent_of(array: np.ndarray) -> int:
    """How many bytes there are from the first element to the end of the last one (no stride is negative)."""
    steps = zip(array.shape, array.strides, strict=True)
    return sum((extent - 1) * stride for extent, stride in steps) + array.itemsize


def touch(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether the memory of two arrays may overlap, or one may end where the other begins."""
    (first, _), (second, _) = a.__array_interface__["data"], b.__array_interface__["data"]
    return first <= second + extent_of(b) and second <= first + extent_of(a)
