"""The windows that convolution and pooling look through: their geometry, and copies of what they see."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


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

    def padded(self, x: np.ndarray, value: float = 0.0) -> np.ndarray:
        """The images with their padding."""
        if self.pad == (0, 0):
            return x
        n, c, h, w = x.shape
        (top, left) = self.pad
        wide = np.full((n, c, h + 2 * top, w + 2 * left), value, x.dtype)
        wide[:, :, top : top + h, left : left + w] = x
        return wide

    def columns(self, x: np.ndarray) -> np.ndarray:
        """What each window sees, as columns: shape (N, C · kernel, windows)."""
        seen = sliding_window_view(self.padded(x), self.kernel, axis=(2, 3))
        seen = seen[:, :, :: self.stride[0], :: self.stride[1]].transpose(0, 1, 4, 5, 2, 3)
        n, c, kh, kw, oh, ow = seen.shape
        return np.ascontiguousarray(seen).reshape(n, c * kh * kw, oh * ow)

    def places(self) -> list[tuple[int, tuple[slice, slice]]]:
        """For each place in a window, its number and where in the padded image it is, for all windows."""
        (kh, kw), (sh, sw), (oh, ow) = self.kernel, self.stride, self.out
        return [
            (i * kw + j, (slice(i, i + sh * (oh - 1) + 1, sh), slice(j, j + sw * (ow - 1) + 1, sw)))
            for i in range(kh)
            for j in range(kw)
        ]

    def spread(self, parts: np.ndarray) -> np.ndarray:
        """The transpose of looking: parts of shape (N, C, places, oh, ow) added up where they were seen."""
        n, c, h, w = self.shape
        top, left = self.pad
        wide = np.zeros((n, c, h + 2 * top, w + 2 * left), parts.dtype)
        for k, (rows, columns) in self.places():
            wide[:, :, rows, columns] += parts[:, :, k]
        return wide[:, :, top : top + h, left : left + w]
