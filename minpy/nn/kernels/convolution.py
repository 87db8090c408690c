"""Convolution with its derivatives.

It is linear in the images and in the weights, and so are its two transposes: three rows of the table of primitives, and
the derivative of each is made of the others, which gives derivatives of any order, on devices too. On the host a
convolution is one operation with its bias, which keeps what MXNet's kernels need for their backward run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy

import minpy.numpy as np
from minpy.autodiff import custom_vjp
from minpy.nn.kernels import chain, operators, shared
from minpy.nn.kernels.engine import Kept, mxnet_for
from minpy.nn.kernels.products import is_active
from minpy.nn.kernels.windows import Windows
from minpy.runtime import dispatch, entry
from minpy.runtime.array import Array
from minpy.runtime.blas import add_dot, dot
from minpy.runtime.primitives.table import row

_SHARE = 1 << 22  # multiplications for each thread at least
_SUMS = 8  # that threads may work on


def _forward_numpy(
    x: numpy.ndarray, w: numpy.ndarray, windows: Windows, b: numpy.ndarray | None = None
) -> numpy.ndarray:
    n, filters = x.shape[0], w.shape[0]
    dtype = numpy.result_type(x, w)
    y = numpy.empty((n, filters, math.prod(windows.out)), dtype)
    rows = numpy.ascontiguousarray(w, dtype).reshape(filters, -1)

    def some(first: int, count: int) -> None:
        mine = slice(first, first + count)
        for part, columns in windows.columns(x[mine], dtype):
            for image, found in zip(columns, y[mine][part], strict=True):
                dot(rows, image, found)
            if b is not None:
                y[mine][part] += b[:, None]

    shared.over(some, n, y.size * rows.shape[1], _SHARE)
    return y.reshape(n, filters, *windows.out)


def _to_images_numpy(g: numpy.ndarray, w: numpy.ndarray, windows: Windows) -> numpy.ndarray:
    n, filters = g.shape[:2]
    dtype = numpy.result_type(g, w)
    columns = numpy.ascontiguousarray(w, dtype).reshape(filters, -1).T
    flat = numpy.ascontiguousarray(g, dtype).reshape(n, filters, -1)
    dx = numpy.empty(windows.shape, dtype)
    size = columns.shape[0] * flat.shape[2]

    def some(first: int, count: int) -> None:
        mine, into = flat[first : first + count], dx[first : first + count]
        for part in windows.parts(size * dtype.itemsize, count):
            heads = mine[part]
            parts = numpy.empty((len(heads), columns.shape[0], flat.shape[2]), dtype)
            for head, found in zip(heads, parts, strict=True):
                dot(columns, head, found)
            windows.spread(parts.reshape(len(heads), w.shape[1], -1, *windows.out), into[part])

    shared.over(some, n, flat.size * columns.shape[0], _SHARE)
    return dx


def _to_weights_numpy(x: numpy.ndarray, g: numpy.ndarray, windows: Windows) -> numpy.ndarray:
    n, filters = g.shape[:2]
    dtype = numpy.result_type(x, g)
    flat = numpy.ascontiguousarray(g, dtype).reshape(n, filters, -1)
    terms = x.shape[1] * math.prod(windows.kernel)
    # Some images have a sum of their own, whichever thread adds them up.
    step = -(-n // _SUMS)
    sums = numpy.zeros((max(1, -(-n // max(step, 1))), filters, terms), dtype)

    def some(first: int, count: int) -> None:
        for number in range(first, first + count):
            mine = slice(number * step, (number + 1) * step)
            for part, columns in windows.columns(x[mine], dtype):
                for head, image in zip(flat[mine][part], columns, strict=True):
                    add_dot(head, image.T, sums[number])

    shared.over(some, len(sums), flat.size * terms, _SHARE)
    for each in sums[1:]:
        sums[0] += each
    return sums[0].reshape(filters, x.shape[1], *windows.kernel)


def _operator(mx: Any, w: numpy.ndarray, windows: Windows, bias: bool) -> Any:
    options = {
        "kernel": windows.kernel,
        "stride": windows.stride,
        "pad": windows.pad,
        "num_filter": w.shape[0],
        "no_bias": not bias,
    }
    return lambda *handles, **place: mx.nd.Convolution(*handles, **options, **place)


def _run(x: Any, w: Any, b: Any, windows: Windows, wanted: Sequence[bool]) -> tuple[Any, Kept | None]:
    x, w, b = (numpy.asarray(each) for each in (x, w, b))
    kept = _kept(x, w, b, windows, wanted)
    return (_forward_numpy(x, w, windows, b), None) if kept is None else (kept.result(), kept)


def _kept(
    x: numpy.ndarray, w: numpy.ndarray, b: numpy.ndarray, windows: Windows, wanted: Sequence[bool]
) -> Kept | None:
    """The convolution by MXNet; None if that is not for these."""
    mx = mxnet_for(len(x) * math.prod(windows.out) * w.size, x, w, b)
    if mx is None:
        return None
    images, options = (len(x), len(w), *windows.out), _options(windows)
    return Kept(mx, _operator(mx, w, windows, True), [x, w, b], wanted, images, options)


def _options(windows: Windows) -> tuple:
    return windows.stride, windows.pad


def _plain(*arrays: Any) -> bool:
    return all(type(each) is numpy.ndarray for each in arrays)


_with_bias = custom_vjp(
    lambda x, w, b, windows, wanted: _run(x, w, b, windows, (False,) * 3)[0], nondiff_argnums=(3, 4)
)


def _with_bias_forward(x: Any, w: Any, b: Any, windows: Windows, wanted: Sequence[bool]) -> tuple[Any, Any]:
    if not _plain(x, w, b):  # a derivative of higher order
        return _with_bias(x, w, b, windows, wanted), (x, w, None)
    y, kept = _run(x, w, b, windows, wanted)
    return y, (x, w, kept)


def _with_bias_backward(windows: Windows, wanted: Sequence[bool], residuals: tuple, g: Any) -> tuple:
    x, w, kept = residuals
    if kept is not None and _plain(g):
        return tuple(kept.cotangents(g))
    return (
        lambda: _to_images(g, w, windows),
        lambda: _to_weights(x, g, windows),
        lambda: _to_bias(g),
    )


def _to_bias(g: Any) -> Any:
    if not _plain(g):
        return np.sum(g, axis=(0, 2, 3))
    planes = numpy.ascontiguousarray(g).reshape(math.prod(g.shape[:2]), -1)
    sums = numpy.empty(len(planes), g.dtype)

    def some(first: int, count: int) -> None:
        place = slice(first, first + count)
        numpy.sum(planes[place], axis=1, out=sums[place])

    shared.over(some, len(planes), planes.size)
    return sums.reshape(g.shape[:2]).sum(0)


_with_bias.defvjp(_with_bias_forward, _with_bias_backward)


def convolved(y: Any) -> tuple[Any, Any, Any, Windows, Kept | None] | None:
    """Images, filters, biases and windows of which `y` is the convolution, and MXNet's operator if that made it.

    It must have been put onto the only tape right before the last operation; see `rectified`. Else None.
    """
    call = _with_bias.call_of(y, 2)
    if call is None:
        return None
    x, w, b, windows, _ = call.arguments[0]
    return x, w, b, windows, call.residuals[2]


def cotangents(x: Any, w: Any, kept: Kept | None, g: Any, windows: Windows) -> tuple:
    """Cotangents of images, filters and biases for that of a convolution's result; some may be functions."""
    return _with_bias_backward(windows, (), (x, w, kept), g)


def to_filters(x: Any, g: Any, windows: Windows) -> tuple[Any, Any]:
    """Cotangents of filters and of biases for that of a convolution's result."""
    return _to_weights(x, g, windows), _to_bias(g)


def _row(name: str, function: Any, kernel: Any, of_first: Any, of_second: Any, sample: Any) -> None:
    row(
        f"nn.{name}",
        function,
        family="nn",
        cost="matmul",
        work=operators.work,
        mxnet=kernel,
        vjp=(of_first, of_second),
        samples=operators.samples(*(partial(sample, windows) for windows in operators.WINDOWS)),
    )


_FILTERS = 4


def _outputs(windows: Windows) -> tuple[int, ...]:
    return windows.shape[0], _FILTERS, *windows.out


def _filters(windows: Windows) -> tuple[int, ...]:
    return _FILTERS, windows.shape[1], *windows.kernel


def _convolved(x: Any, w: Any, windows: Windows) -> Any:
    return dispatch.apply("nn.convolve", x, w, windows)


def _to_images(g: Any, w: Any, windows: Windows) -> Any:
    return dispatch.apply("nn.convolve_to_images", g, w, windows)


def _to_weights(x: Any, g: Any, windows: Windows) -> Any:
    return dispatch.apply("nn.convolve_to_weights", x, g, windows)


_row(
    "convolve",
    lambda x, w, windows: _forward_numpy(x, w, windows),
    operators.convolve,
    lambda g, ans, x, w, windows: _to_images(g, w, windows),
    lambda g, ans, x, w, windows: _to_weights(x, g, windows),
    lambda windows, array: (array(*windows.shape), array(*_filters(windows)), windows),
)
_row(
    "convolve_to_images",
    _to_images_numpy,
    operators.to_images,
    lambda d, ans, g, w, windows: _convolved(d, w, windows),
    lambda d, ans, g, w, windows: _to_weights(d, g, windows),
    lambda windows, array: (array(*_outputs(windows)), array(*_filters(windows)), windows),
)
_row(
    "convolve_to_weights",
    _to_weights_numpy,
    operators.to_weights,
    lambda d, ans, x, g, windows: _to_images(g, d, windows),
    lambda d, ans, x, g, windows: _convolved(x, d, windows),
    lambda windows, array: (array(*windows.shape), array(*_outputs(windows)), windows),
)


def convolve(x: Any, w: Any, b: Any, windows: Windows) -> Any:
    """The correlation of images (N, C, H, W) with filters (F, C, kh, kw), plus a bias for each filter."""
    if entry.others:
        y = dispatch.on_device("nn.convolve", x, w, windows)
        if y is not None:
            return y + np.reshape(b, (-1, 1, 1))
    wanted = tuple(map(is_active, (x, w, b)))
    y = _pending(x, w, b, windows, wanted) if any(wanted) else None
    return _with_bias(x, w, b, windows, wanted) if y is None else y


def _pending(x: Any, w: Any, b: Any, windows: Windows, wanted: Sequence[bool]) -> Any:
    """The convolution as a result that is made when it is looked at; None if that is not for these."""
    tape = chain.tape_of(x, w, b)
    arrays = [each.contents if type(each) is Array else each for each in (x, w, b)]
    if tape is None or not _plain(*arrays):
        return None
    if not chain.is_followed(Kept.key_of(arrays, wanted, _options(windows))):
        return None
    kept = _kept(*arrays, windows, wanted)
    y = None if kept is None else chain.pending(kept)
    if y is not None:
        _with_bias.put(tape, (x, w, b, windows, wanted), y).residuals = (*arrays[:2], kept)
    return y
