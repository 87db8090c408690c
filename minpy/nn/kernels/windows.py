"""The windows that convolution and pooling look through: their geometry, and copies of what they see."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

# Bytes of images, or of what is made of them, that are worked on at a time: they stay in the processor's cache.
_ROOM = 1 << 19


class Windows:
    """Windows over the last two axes of images (N, C, H, W).

    Parameters
    ----------
    shape : tuple of int
        Of the images.
    kernel, stride, pad : tuple of two int
        Size of a window, steps from one to the next, and rows and columns of padding on each side.
    """

    __slots__ = ("kernel", "out", "pad", "shape", "stride")

    def __init__(
        self,
        shape: tuple[int, ...],
        kernel: tuple[int, int],
        stride: tuple[int, int],
        pad: tuple[int, int],
    ) -> None:
        self.shape, self.kernel, self.stride, self.pad = tuple(shape), kernel, stride, pad
        self.out = tuple((shape[k - 2] + 2 * pad[k] - kernel[k]) // stride[k] + 1 for k in range(2))

    @property
    def overlap(self) -> bool:
        """Whether two windows see a common element."""
        return any(step < size for step, size in zip(self.stride, self.kernel, strict=True))

    def parts(self, size: int, count: int | None = None) -> list[slice]:
        """The images (or so many of them), a few at a time, if there are so many bytes for each."""
        step = max(1, _ROOM // max(size, 1))
        return [slice(k, k + step) for k in range(0, self.shape[0] if count is None else count, step)]

    def padded(self, x: np.ndarray, value: float = 0.0) -> np.ndarray:
        """The images with their padding."""
        if self.pad == (0, 0):
            return x
        n, c, h, w = x.shape
        (top, left) = self.pad
        wide = np.full((n, c, h + 2 * top, w + 2 * left), value, x.dtype)
        self.inner(wide)[...] = x
        return wide

    def columns(self, x: np.ndarray, dtype: np.dtype) -> Iterator[tuple[slice, np.ndarray]]:
        """What each window sees in some of the images, as columns, (n, C · kernel, windows): a few of them at a time.

        With the columns comes which of the images given they are of. The columns of all are in the same memory, one
        after the other.
        """
        c, places = self.shape[1], self.places()
        wide = seen = None
        for part in self.parts(c * len(places) * math.prod(self.out) * dtype.itemsize, len(x)):
            images = x[part]
            n = len(images)
            if seen is None:
                seen = np.empty((n, c, len(places), *self.out), dtype)
                wide = self.padded(images)
            elif self.pad == (0, 0):
                wide = images
            else:
                self.inner(wide[:n])[...] = images
            for k, (rows, columns) in places:
                seen[:n, :, k] = wide[:n, :, rows, columns]
            yield part, seen[:n].reshape(n, c * len(places), -1)

    def inner(self, wide: np.ndarray) -> np.ndarray:
        """Padded images without their padding."""
        (top, left), (h, w) = self.pad, self.shape[2:]
        return wide[:, :, top : top + h, left : left + w]

    def places(self) -> list[tuple[int, tuple[slice, slice]]]:
        """For each place in a window, its number and where in the padded image it is, for all windows."""
        (kh, kw), (sh, sw), (oh, ow) = self.kernel, self.stride, self.out
        return [
            (i * kw + j, (slice(i, i + sh * (oh - 1) + 1, sh), slice(j, j + sw * (ow - 1) + 1, sw)))
            for i in range(kh)
            for j in range(kw)
        ]

    def spread(self, parts: np.ndarray, out: np.ndarray) -> None:
        """The transpose of looking: parts of shape (N, C, places, oh, ow), added up in `out` where they were seen."""
        (top, left), (n, c, h, w) = self.pad, out.shape
        wide = np.zeros((n, c, h + 2 * top, w + 2 * left), parts.dtype)
        for k, (rows, columns) in self.places():
            wide[:, :, rows, columns] += parts[:, :, k]
        out[...] = self.inner(wide)
