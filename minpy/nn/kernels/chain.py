"""Convolution, relu and the maximum of windows in a row: what lies between them is made only if somebody looks at it.

oneDNN leaves a convolution's result in blocks of channels. Where the maxima of its positive part were what came next
the last time, it stays there: the arrays that the program holds are `Pending`, and the maxima are read from the blocks.
Any other look at the arrays makes them what they would have been.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.nn.kernels import blocked, blocked_maxima
from minpy.nn.kernels.engine import Kept
from minpy.nn.kernels.windows import Windows
from minpy.runtime import entry
from minpy.runtime.array import Array
from minpy.runtime.record import open_tape
from minpy.runtime.storage import Pending, Storage

# The convolutions, by what decides how they run, whose results' maxima were what came next the last time.
_followed: set[tuple] = set()
_MANY = 1000  # of them


class _InBlocks(Pending):
    """A convolution's result, or its positive part."""

    __slots__ = ("kept", "positive")

    def __init__(self, kept: Kept, positive: bool) -> None:
        super().__init__()
        self.kept, self.positive = kept, positive

    def fill(self, host: np.ndarray) -> None:
        _followed.discard(self.kept.key)
        images = self.kept.in_blocks()
        if images is None or blocked.plain(images, host) is None:
            host[...] = self.kept.result()
        if self.positive:
            np.maximum(host, 0, out=host)


def tape_of(*arrays: Any) -> Any:
    """The only tape, if it records one of the arrays, and nobody looks at the operations."""
    tape = None if entry.others else open_tape.get()
    if tape is None or not tape.open or tape.put is None:
        return None
    return tape if any(type(each) is Array and each.storage.tape is tape for each in arrays) else None


def is_followed(key: tuple) -> bool:
    """Whether the maxima of the positive part were what came after the convolution the last time."""
    return key in _followed


def follow(kept: Kept, windows: Windows) -> None:
    """Say that they were now, if `largest` can be asked for them the next time."""
    if kept.in_blocks() is None or not blocked_maxima.is_ready(windows):
        return
    if len(_followed) > _MANY:
        _followed.clear()
    _followed.add(kept.key)


def pending(kept: Kept, positive: bool = False) -> Array | None:
    """What the operator gave, or its positive part, to be made when it is looked at; None if it is not in blocks."""
    images = kept.in_blocks()
    if images is None:
        return None
    host = np.empty(images.shape, images.dtype)
    storage = Storage(host)
    storage.remote = _InBlocks(kept, positive)
    return Array(host, storage)


def result_of(y: Any, positive: bool = False) -> Kept | None:
    """The operator that gave `y`, or of whose result it is the positive part, if `y` is still in blocks."""
    remote = y.storage.remote
    return remote.kept if type(remote) is _InBlocks and remote.positive is positive else None


def largest(kept: Kept, windows: Windows) -> tuple[np.ndarray, np.ndarray] | None:
    """Maxima of the positive part of what the operator gave, and their places; None if they are not for this."""
    images = kept.in_blocks()
    if images is None or not blocked_maxima.is_ready(windows):
        return None
    return blocked_maxima.largest(images, windows)


def gradients(
    kept: Kept, g: np.ndarray, best: np.ndarray, which: np.ndarray, windows: Windows
) -> list[np.ndarray | None] | None:
    """Cotangents of the convolution's operands for that of the maxima; None if they are not for this."""
    return kept.cotangents_by(lambda images: blocked_maxima.spread(g, best, which, windows, images))
