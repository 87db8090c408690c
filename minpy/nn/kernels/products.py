"""Products of the layers: by the BLAS that knows the processor, where everything is on the host."""

from __future__ import annotations

from typing import Any

import numpy

import minpy.numpy as np
from minpy.runtime import blas, entry
from minpy.runtime.array import Array
from minpy.runtime.fuse import pool


def dot(x: Any, y: Any) -> Any:
    """``np.dot``; its last bits may differ from NumPy's."""
    if type(x) is numpy.ndarray is type(y) and not entry.others:
        return blas.dot(x, y)
    return np.dot(x, y)


_SHARE = 1 << 22  # multiplications of a product that is worth a thread


def together(*pairs: tuple[numpy.ndarray, numpy.ndarray]) -> list[numpy.ndarray] | None:
    """Two products of matrices, each by a thread of its own; None if that does not pay.

    With more threads, or large ones, each product is better made by all of them.
    """
    if any(type(each) is not numpy.ndarray or each.ndim != 2 for pair in pairs for each in pair):
        return None
    if min(x.size * y.shape[1] for x, y in pairs) < _SHARE or pool.width() != len(pairs):
        return None
    found: list[Any] = [None] * len(pairs)

    def some(number: int) -> None:
        found[number] = blas.dot(*pairs[number])

    pool.run(some, len(pairs))
    return found


def is_active(x: Any) -> bool:
    """Whether a gradient may be asked for."""
    return type(x) is Array and x.storage.tape is not None


def on_host() -> bool:
    """Whether no device and no policy that may choose one is active."""
    return not entry.others
