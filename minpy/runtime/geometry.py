"""Questions about views that need no contents: which memory, which kind of index."""

from __future__ import annotations

from typing import Any

import numpy as np


def is_basic(index: Any) -> bool:
    """Whether an index is basic (slices, integers, None, Ellipsis): gives a view or a scalar."""
    for part in index if type(index) is tuple else (index,):
        if part is None or part is Ellipsis or type(part) is slice or type(part) is int:
            continue
        if isinstance(part, (bool, np.bool_)) or not isinstance(part, (int, np.integer)):
            return False
    return True


_PLAIN = frozenset((int, type(None), type(Ellipsis)))


def is_plainly_basic(index: Any) -> bool:
    """Whether an index is of Python's integers, None, Ellipsis and slices of integers: basic, and no `Array` in it."""
    for part in index if type(index) is tuple else (index,):
        kind = type(part)
        if kind is slice:
            if type(part.start) in _PLAIN and type(part.stop) in _PLAIN and type(part.step) in _PLAIN:
                continue
            return False
        if kind not in _PLAIN:
            return False
    return True


def is_copied_as_c(array: np.ndarray, order: str) -> bool:
    """Whether NumPy lays a copy of `array` out in C order (at least where it is simple to say)."""
    if order == "K":
        strides = [abs(s) for s, n in zip(array.strides, array.shape, strict=True) if n > 1]
        return 0 not in strides and strides == sorted(strides, reverse=True)
    return order == "C" or (order == "A" and not array.flags.fnc)


def covers(view: np.ndarray, whole: np.ndarray) -> bool:
    """Whether `view` is all of the buffer `whole`, in the same layout."""
    return view is whole or (
        view.shape == whole.shape
        and view.strides == whole.strides
        and view.dtype == whole.dtype
        and view.__array_interface__["data"][0] == whole.__array_interface__["data"][0]
    )


def bounds(view: np.ndarray) -> tuple[int, int]:
    """The addresses of the first byte that `view` covers and of the byte after the last."""
    low = high = view.__array_interface__["data"][0]
    if view.size:
        for n, stride in zip(view.shape, view.strides, strict=True):
            if stride < 0:
                low += (n - 1) * stride
            else:
                high += (n - 1) * stride
        high += view.itemsize
    return low, high
