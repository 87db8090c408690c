"""The order in which this NumPy adds up contiguous elements, found out by looking, so that it can be kept to in pieces.

NumPy adds pairwise: a run of more than 128 elements is cut in halves (of whole eights). NumPy 1 does this for chunks as
large as its buffers and adds their sums one after the other; NumPy 2 does it for the whole. Both orders consist of
sums of consecutive segments, which NumPy itself adds up here; what is done with these sums is `combined`.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Any

import numpy as np

_LEAF = 8192  # elements of a segment at most
_PROBES = (300, 8191, 8193, 20_011, 65_536, 70_001)


@lru_cache(maxsize=64)
def segments(order: str, size: int) -> list[int]:
    """Where the segments of `size` elements begin, and, last, where they end."""
    if order == "chunks":
        return [*range(0, size, _LEAF), size]
    starts = []

    def cut(start: int, count: int) -> None:
        if count <= _LEAF:
            starts.append(start)
            return
        half = count // 2
        half -= half % 8
        cut(start, half)
        cut(start + half, count - half)

    cut(0, size)
    return [*starts, size]


def combined(order: str, size: int, sums: list[Any]) -> Any:
    """The sum of all, of the sums of the segments."""
    if order == "chunks":
        total = sums[0]
        for each in sums[1:]:
            total = total + each
        return total
    turn = iter(sums)

    def join(count: int) -> Any:
        if count <= _LEAF:
            return next(turn)
        half = count // 2
        half -= half % 8
        return join(half) + join(count - half)

    return join(size)


def order_of(dtype: np.dtype) -> str | None:
    """``"chunks"`` or ``"tree"``; None if it is neither, or if somebody changed the size of the buffers."""
    if np.getbufsize() != _LEAF:
        return None
    return _found(dtype.char)


@lru_cache(maxsize=16)
def _found(kind: str) -> str | None:
    values = np.random.default_rng(5).standard_normal(max(_PROBES)) * np.geomspace(1, 1e6, max(_PROBES))
    values = values.astype(kind)
    for order in ("chunks", "tree"):
        if all(_is_so(order, values[:size]) for size in _PROBES):
            return order
    return None


def _is_so(order: str, values: np.ndarray) -> bool:
    starts = segments(order, values.size)
    sums = [np.add.reduce(values[a:b]) for a, b in itertools.pairwise(starts)]
    return combined(order, values.size, sums).tobytes() == np.add.reduce(values).tobytes()
