"""Layers of images, (N, C, H, W)."""

from __future__ import annotations

from typing import Any

import numpy

from minpy.nn import checks
from minpy.nn.kernels.convolution import convolve
from minpy.nn.kernels.pooling import pool
from minpy.nn.kernels.windows import Windows

Pair = int | tuple[int, int]


def convolution(x: Any, w: Any, b: Any = None, stride: Pair = 1, pad: Pair = 0) -> Any:
    """The correlation of images with filters (what networks call convolution).

    On the host float32 runs on MXNet's kernels where MXNet is installed and the policy allows it, other types in NumPy;
    on a device by that one's kernels. They differ in rounding.

    Parameters
    ----------
    x : array
        Shape (N, C, H, W).
    w : array
        Filters, shape (F, C, kh, kw).
    b : array, optional
        Shape (F,).
    stride : int or pair of int
        From one window to the next, down and right.
    pad : int or pair of int
        Rows and columns of zeros on each side.

    Returns
    -------
    array
        Shape (N, F, (H + 2 pad - kh) // stride + 1, (W + 2 pad - kw) // stride + 1).
    """
    shape = checks.shape_of("convolution", "x", x, ("N", "C", "H", "W"))
    filters, _, *kernel = checks.shape_of("convolution", "w", w, ("F", "C", "kh", "kw"), C=shape[1])
    if b is None:
        b = numpy.zeros(filters, w.dtype)
    checks.shape_of("convolution", "b", b, ("F",), F=filters)
    return convolve(x, w, b, _windows("convolution", "w", shape, tuple(kernel), stride, pad))


def pooling(x: Any, mode: str = "max", kernel: Pair = 2, stride: Pair | None = None, pad: Pair = 0) -> Any:
    """The maximum or the mean of windows over images.

    Parameters
    ----------
    x : array
        Shape (N, C, H, W).
    mode : {'max', 'avg'}
        The gradient of a maximum goes to the first of equal elements. A mean counts padding as zeros.
    kernel : int or pair of int
        Rows and columns of a window.
    stride : int or pair of int, optional
        From one window to the next; by default they do not overlap.
    pad : int or pair of int
        Rows and columns of padding on each side, at most half a window.

    Returns
    -------
    array
        Shape (N, C, (H + 2 pad - kh) // stride + 1, (W + 2 pad - kw) // stride + 1).
    """
    shape = checks.shape_of("pooling", "x", x, ("N", "C", "H", "W"))
    checks.choice("pooling", "mode", mode, ("max", "avg"))
    size = checks.pair("pooling", "kernel", kernel)
    windows = _windows("pooling", "kernel", shape, size, size if stride is None else stride, pad)
    if any(2 * p > k for p, k in zip(windows.pad, size, strict=True)):
        raise checks.fail("pooling", f"pad {windows.pad} is more than half of kernel {size}")
    return pool(x, mode, windows)


def _windows(
    function: str, name: str, shape: tuple[int, ...], kernel: tuple[int, ...], stride: Pair, pad: Pair
) -> Windows:
    size = checks.pair(function, name, kernel)
    steps, margin = checks.pair(function, "stride", stride), checks.pair(function, "pad", pad, least=0)
    if any(shape[k - 2] + 2 * margin[k] < size[k] for k in range(2)):
        raise checks.fail(
            function,
            f"{name} is {size[0]} by {size[1]}, larger than x with its padding, {shape}, pad {margin}",
        )
    return Windows(shape, size, steps, margin)
