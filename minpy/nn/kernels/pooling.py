"""Pooling with its derivatives."""

from __future__ import annotations

import math
from typing import Any

import numpy

from minpy.autodiff import custom_vjp, primitive
from minpy.nn.kernels.engine import Kept, mxnet_for
from minpy.nn.kernels.windows import Windows


def _work(x: numpy.ndarray, windows: Windows) -> int:
    # A comparison, where the elements of a window lie apart, costs NumPy as much as many multiplications in a product.
    n, c = x.shape[:2]
    return 20 * n * c * math.prod(windows.out) * math.prod(windows.kernel)


# ----- the maximum: the first of the largest elements of each window is taken, and gets the gradient


def _largest(x: numpy.ndarray, windows: Windows) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The largest element of each window, and its number within the window."""
    low = -numpy.inf if x.dtype.kind == "f" else numpy.iinfo(x.dtype).min
    wide = windows.padded(x, low)
    best, which = None, None
    for k, (rows, columns) in windows.places():
        part = wide[:, :, rows, columns]
        if best is None:
            best, which = part.copy(), numpy.zeros(part.shape, numpy.intp)
            continue
        higher = (part > best) | ((part != part) & (best == best))  # a NaN is the largest of all
        numpy.copyto(best, part, where=higher)
        which[higher] = k
    return best, which


@primitive
def _gathered(x: Any, which: numpy.ndarray, windows: Windows) -> Any:
    wide = windows.padded(numpy.asarray(x))
    out = numpy.empty(which.shape, wide.dtype)
    for k, (rows, columns) in windows.places():
        numpy.copyto(out, wide[:, :, rows, columns], where=which == k)
    return out


@primitive
def _scattered(g: Any, which: numpy.ndarray, windows: Windows) -> Any:
    g = numpy.asarray(g)
    n, c, h, w = windows.shape
    top, left = windows.pad
    wide = numpy.zeros((n, c, h + 2 * top, w + 2 * left), g.dtype)
    for k, (rows, columns) in windows.places():
        wide[:, :, rows, columns] += numpy.where(which == k, g, 0)
    return wide[:, :, top : top + h, left : left + w]


_gathered.def_vjp(lambda ans, x, which, windows: lambda g: _scattered(g, which, windows))
_scattered.def_vjp(lambda ans, g, which, windows: lambda x: _gathered(x, which, windows))


def _max_forward(x: Any, windows: Windows) -> tuple[Any, Any]:
    if type(x) is not numpy.ndarray:  # a derivative of higher order
        y = _max(x, windows)
        return y, (numpy.asarray(x.asnumpy()), None)
    mx = mxnet_for(_work(x, windows), x)
    if mx is None:
        y, which = _largest(x, windows)
        return y, (x, which)
    kept = Kept(mx, _operator(mx, windows, pool_type="max"), [x], (True,))
    return kept.result(), (x, kept)


def _max_backward(windows: Windows, residuals: tuple, g: Any) -> tuple[Any]:
    x, how = residuals
    if isinstance(how, Kept):
        if type(g) is numpy.ndarray:
            return (how.cotangents(g)[0],)
        how = None
    if how is None:
        how = _largest(x, windows)[1]
    return (_scattered(g, how, windows),)


def _plain_max(x: Any, windows: Windows) -> Any:
    x = numpy.asarray(x)
    mx = mxnet_for(_work(x, windows), x)
    if mx is None:
        return _largest(x, windows)[0]
    return Kept(mx, _operator(mx, windows, pool_type="max"), [x], (False,)).result()


_max = custom_vjp(_plain_max, nondiff_argnums=(1,))
_max.defvjp(_max_forward, _max_backward)


# ----- the mean, which is linear; padding counts as zeros


@primitive
def _mean(x: Any, windows: Windows) -> Any:
    x = numpy.asarray(x)
    mx = mxnet_for(_work(x, windows), x)
    if mx is not None:
        return Kept(mx, _operator(mx, windows, pool_type="avg"), [x], (False,)).result()
    wide = windows.padded(x)
    total = None
    for _, (rows, columns) in windows.places():
        part = wide[:, :, rows, columns]
        total = part.astype(numpy.result_type(part, numpy.float16)) if total is None else total + part
    return total * total.dtype.type(1 / (windows.kernel[0] * windows.kernel[1]))


@primitive
def _mean_back(g: Any, windows: Windows) -> Any:
    g = numpy.asarray(g)
    size = windows.kernel[0] * windows.kernel[1]
    part = g * g.dtype.type(1 / size)
    return windows.spread(numpy.broadcast_to(part[:, :, None], (*g.shape[:2], size, *g.shape[2:])))


_mean.def_vjp(lambda ans, x, windows: lambda g: _mean_back(g, windows))
_mean_back.def_vjp(lambda ans, g, windows: lambda x: _mean(x, windows))


def _operator(mx: Any, windows: Windows, **options: Any) -> Any:
    options.update(kernel=windows.kernel, stride=windows.stride, pad=windows.pad)
    return lambda handle: mx.nd.Pooling(handle, **options)


def pool(x: Any, mode: str, windows: Windows) -> Any:
    """The maximum (``'max'``) or the mean (``'avg'``) of each window of images (N, C, H, W)."""
    return _max(x, windows) if mode == "max" else _mean(x, windows)
