"""Pooling with its derivatives."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy

from minpy.autodiff import custom_vjp, primitive
from minpy.nn.kernels import chain, convolution, maxima, operators, products, seen_maxima
from minpy.nn.kernels.engine import Kept, mxnet_for
from minpy.nn.kernels.masks import masked
from minpy.nn.kernels.rectifier import rectified, where_positive
from minpy.nn.kernels.windows import Windows
from minpy.runtime import dispatch, entry
from minpy.runtime.array import Array
from minpy.runtime.primitives.table import row
from minpy.runtime.storage import Storage


def _work(x: numpy.ndarray, windows: Windows) -> int:
    # A comparison, where the elements of a window lie apart, costs NumPy as much as many multiplications in a product.
    n, c = x.shape[:2]
    return 20 * n * c * math.prod(windows.out) * math.prod(windows.kernel)


# ----- the maximum: the first of the largest elements of each window is taken, and gets the gradient


def _largest(x: numpy.ndarray, windows: Windows) -> numpy.ndarray:
    """The largest element of each window; a NaN is the largest of all."""
    (kh, kw), (sh, sw), (oh, ow) = windows.kernel, windows.stride, windows.out
    best = numpy.empty((*x.shape[:2], oh, ow), x.dtype)
    for part in _parts(x, windows):
        wide = windows.padded(x[part], _low(x))
        # Down first: rows are runs of memory.
        rows = _extreme([wide[:, :, i : i + sh * (oh - 1) + 1 : sh] for i in range(kh)])
        best[part] = _extreme([rows[..., j : j + sw * (ow - 1) + 1 : sw] for j in range(kw)])
    return best


def _parts(x: numpy.ndarray, windows: Windows) -> list[slice]:
    return windows.parts(math.prod(x.shape[1:]) * x.itemsize)


def _extreme(arrays: list[numpy.ndarray]) -> numpy.ndarray:
    best = arrays[0]
    for each in arrays[1:]:
        best = numpy.maximum(best, each)
    return best


def _low(x: numpy.ndarray) -> Any:
    return -numpy.inf if x.dtype.kind == "f" else numpy.iinfo(x.dtype).min


def _place(x: numpy.ndarray, best: numpy.ndarray, windows: Windows) -> numpy.ndarray:
    """The number within its window of the first of the largest elements, which are `best`."""
    places = windows.places()
    which = numpy.zeros(best.shape, numpy.min_scalar_type(len(places)))
    some_nan = (best != best).any()
    for part in _parts(x, windows):
        wide, top = windows.padded(x[part], _low(x)), best[part]
        # The places that are passed before it is found are counted.
        passed = numpy.ones(top.shape, bool)
        for _, (rows, columns) in places[:-1]:
            seen = wide[:, :, rows, columns]
            passed &= (seen != top) & (seen == seen) if some_nan else seen != top
            which[part] += passed
    return which


@primitive
def _gathered(x: Any, which: numpy.ndarray, windows: Windows) -> Any:
    x = numpy.asarray(x)
    out = numpy.empty(which.shape, x.dtype)
    for part in _parts(x, windows):
        wide = windows.padded(x[part])
        for k, (rows, columns) in windows.places():
            numpy.copyto(out[part], wide[:, :, rows, columns], where=which[part] == k)
    return out


@primitive
def _scattered(g: Any, which: numpy.ndarray, windows: Windows) -> Any:
    g = numpy.asarray(g)
    (top, left), (n, c, h, w) = windows.pad, windows.shape
    wide = numpy.zeros((n, c, h + 2 * top, w + 2 * left), g.dtype)
    for part in _parts(wide, windows):
        for k, (rows, columns) in windows.places():
            into, mine = wide[part, :, rows, columns], which[part] == k
            if windows.overlap:
                into += masked(g[part], mine)
            else:
                masked(g[part], mine, into)
    return windows.inner(wide)


_gathered.def_vjp(lambda ans, x, which, windows: lambda g: _scattered(g, which, windows))
_scattered.def_vjp(lambda ans, g, which, windows: lambda x: _gathered(x, which, windows))


def _maxima_by_mxnet(x: numpy.ndarray, windows: Windows) -> Any:
    """MXNet, if it is the faster one and everything is finite: it passes over NaN, and gives no maximum of -inf."""
    mx = mxnet_for(_work(x, windows), x)
    if mx is None:
        return None
    with numpy.errstate(all="ignore"):
        return mx if numpy.isfinite(x.sum()) else None


def _max_forward(x: Any, windows: Windows) -> tuple[Any, Any]:
    if type(x) is not numpy.ndarray:  # a derivative of higher order
        y = _max(x, windows)
        return y, (numpy.asarray(x.asnumpy()), None)
    found = maxima.largest(x, windows)
    if found is not None:
        return found[0], (x, found[1])
    mx = _maxima_by_mxnet(x, windows)
    if mx is None:
        y = _largest(x, windows)
        return y, (x, _place(x, y, windows))
    kept = Kept(mx, _operator(mx, windows, pool_type="max"), [x], (True,))
    return kept.result(), (x, kept)


def _max_backward(windows: Windows, residuals: tuple, g: Any) -> tuple[Any]:
    x, how = residuals
    if isinstance(how, Kept):
        if type(g) is numpy.ndarray:
            return (how.cotangents(g)[0],)
        how = None
    if how is None:
        how = _place(x, _largest(x, windows), windows)
    found = maxima.spread(g, how, windows) if type(g) is numpy.ndarray else None
    return (_scattered(g, how, windows) if found is None else found,)


def _plain_max(x: Any, windows: Windows) -> Any:
    x = numpy.asarray(x)
    found = maxima.largest(x, windows)
    if found is not None:
        return found[0]
    mx = _maxima_by_mxnet(x, windows)
    if mx is None:
        return _largest(x, windows)
    return Kept(mx, _operator(mx, windows, pool_type="max"), [x], (False,)).result()


_max = custom_vjp(_plain_max, nondiff_argnums=(1,))
_max.defvjp(_max_forward, _max_backward)


# The maximum right after relu, of `y`: as an operation on what relu was given, its derivative looks at the maxima and
# not at all elements of `y`.


def _positive_max_forward(x: Any, y: Any, windows: Windows) -> tuple[Any, Any]:
    if type(y) is not numpy.ndarray:
        y = numpy.asarray(y.asnumpy())
    found = maxima.largest(y, windows)
    if found is None:
        best = _largest(y, windows)
        found = best, _place(y, best, windows)
    return found[0], found


def _positive_max_backward(y: Any, windows: Windows, residuals: tuple, g: Any) -> tuple[Any]:
    best, which = residuals
    if type(g) is not numpy.ndarray:
        return (_scattered(g * numpy.greater(best, 0), which, windows),)
    found = maxima.spread(g, which, windows, best)
    return (_scattered(where_positive(best, g), which, windows) if found is None else found,)


_positive_max = custom_vjp(
    lambda x, y, windows: _positive_max_forward(x, y, windows)[0], nondiff_argnums=(1, 2)
)
_positive_max.defvjp(_positive_max_forward, _positive_max_backward)


# And if no gradient of the images is asked for, of which relu was given the convolution, it is an operation on filters
# and biases: what relu was given gets no cotangent.


def _seen_forward(x: Any, w: Any, b: Any, y: Any, seen: Windows, windows: Windows) -> tuple[Any, Any]:
    best, found = _positive_max_forward(None, y, windows)
    return best, (x, found)


def _seen_backward(y: Any, seen: Windows, windows: Windows, residuals: tuple, g: Any) -> tuple:
    x, (best, which) = residuals
    found = None
    if type(g) is numpy.ndarray and type(x) is numpy.ndarray:
        found = seen_maxima.gradients(x, g, best, which, seen, windows)
    if found is None:
        (spread,) = _positive_max_backward(y, windows, (best, which), g)
        found = convolution.to_filters(x, spread, seen)
    return None, *found


_seen_positive_max = custom_vjp(
    lambda x, w, b, y, seen, windows: _seen_forward(x, w, b, y, seen, windows)[0], nondiff_argnums=(3, 4, 5)
)
_seen_positive_max.defvjp(_seen_forward, _seen_backward)


# And if what relu was given is in blocks of channels still, it is an operation on the convolution's operands.


def _chained_forward(x: Any, w: Any, b: Any, seen: Windows, windows: Windows) -> tuple[Any, Any]:
    y = numpy.maximum(convolution.convolve(x, w, b, seen), 0)
    best, found = _positive_max_forward(None, y, windows)
    return best, (x, w, None, found)


def _chained_backward(seen: Windows, windows: Windows, residuals: tuple, g: Any) -> tuple:
    x, w, kept, (best, which) = residuals
    if type(g) is numpy.ndarray and kept is not None:
        if not kept.wanted[0]:
            found = seen_maxima.gradients(x, g, best, which, seen, windows)
            if found is not None:
                return None, *found
        found = chain.gradients(kept, g, best, which, windows)
        if found is not None:
            return tuple(found)
    (spread,) = _positive_max_backward(None, windows, (best, which), g)
    return convolution.cotangents(x, w, kept, spread, seen)


_chained_positive_max = custom_vjp(lambda *args: _chained_forward(*args)[0], nondiff_argnums=(3, 4))
_chained_positive_max.defvjp(_chained_forward, _chained_backward)


def _chained(y: Any, found: tuple, windows: Windows) -> Any:
    """The maxima of `y`, the positive part of the convolution that was found; None if they are not for this."""
    x, w, b, seen, kept = found
    if kept is None:
        return None
    tape = chain.tape_of(y) if chain.result_of(y, positive=True) is kept else None
    maximum = None if tape is None else chain.largest(kept, windows)
    if maximum is None:
        chain.follow(kept, windows)
        return None
    best = maximum[0]
    result = Array(best, Storage(best))
    call = _chained_positive_max.put(tape, (x, w, b, seen, windows), result)
    call.residuals = (_plain(x), _plain(w), kept, maximum)
    return result


def _plain(x: Any) -> Any:
    return x.contents if type(x) is Array else x


# ----- the mean, which is linear; padding counts as zeros


def _mean_numpy(x: numpy.ndarray, windows: Windows) -> numpy.ndarray:
    mx = mxnet_for(_work(x, windows), x)
    if mx is not None:
        return Kept(mx, _operator(mx, windows, pool_type="avg"), [x], (False,)).result()
    wide = windows.padded(x)
    total = None
    for _, (rows, columns) in windows.places():
        part = wide[:, :, rows, columns]
        total = part.astype(numpy.result_type(part, numpy.float16)) if total is None else total + part
    return total * total.dtype.type(1 / (windows.kernel[0] * windows.kernel[1]))


def _mean_back_numpy(g: numpy.ndarray, windows: Windows) -> numpy.ndarray:
    size = windows.kernel[0] * windows.kernel[1]
    part = g * g.dtype.type(1 / size)
    out = numpy.empty(windows.shape, part.dtype)
    windows.spread(numpy.broadcast_to(part[:, :, None], (*g.shape[:2], size, *g.shape[2:])), out)
    return out


def _operator(mx: Any, windows: Windows, **options: Any) -> Any:
    options.update(kernel=windows.kernel, stride=windows.stride, pad=windows.pad)
    return lambda handle: mx.nd.Pooling(handle, **options)


# ----- rows of the table: the mean's, and the maximum's for devices. On the host a maximum is one operation that keeps
# the places, or what MXNet's kernels need for their backward run.


def _row(name: str, function: Any, kernel: Any, rules: tuple, *sample: Any) -> None:
    chosen = [
        windows
        for windows in operators.WINDOWS
        if all(k >= 2 * p for k, p in zip(windows.kernel, windows.pad, strict=True))
    ]
    row(
        f"nn.{name}",
        function,
        family="nn",
        cost="move",
        mxnet=kernel,
        vjp=rules,
        samples=operators.samples(*(partial(make, windows) for windows in chosen for make in sample)),
    )


def _outputs(windows: Windows) -> tuple[int, ...]:
    return *windows.shape[:2], *windows.out


def _with_ties(windows: Windows, array: Any) -> Any:
    x = array(*windows.shape)
    x[:1] = numpy.rint(x[:1] / 2)
    return x


def _with_nan(windows: Windows, array: Any) -> Any:
    x = array(*windows.shape)
    if x.dtype.kind == "f":
        x[0, 0, :2], x[-1, -1] = numpy.nan, -numpy.inf
    return x


def _pooled(windows: Windows, array: Any) -> tuple:
    x = _with_ties(windows, array)
    return x, _largest(x, windows)


def _none(g: Any, ans: Any, first: Any, x: Any, best: Any, windows: Windows) -> None:
    """Which place is chosen does not change."""


def _largest_back(g: Any, x: Any, best: Any, windows: Windows) -> Any:
    return dispatch.apply("nn.largest_back", g, x, best, windows)


def _largest_at(d: Any, x: Any, best: Any, windows: Windows) -> Any:
    return dispatch.apply("nn.largest_at", d, x, best, windows)


_row(
    "largest",
    _largest,
    operators.largest,
    (lambda g, ans, x, windows: _largest_back(g, x, ans, windows),),
    lambda windows, array: (_with_ties(windows, array), windows),
    lambda windows, array: (_with_nan(windows, array), windows),
)
_row(
    "largest_back",
    lambda g, x, best, windows: _scattered(g, _place(x, best, windows), windows),
    operators.largest_back,
    (lambda d, ans, g, x, best, windows: _largest_at(d, x, best, windows), _none, _none),
    lambda windows, array: (array(*_outputs(windows)), *_pooled(windows, array), windows),
)
_row(
    "largest_at",
    lambda d, x, best, windows: _gathered(d, _place(x, best, windows), windows),
    "MXNet gives no places",
    (lambda g, ans, d, x, best, windows: _largest_back(g, x, best, windows), _none, _none),
    lambda windows, array: (array(*windows.shape), *_pooled(windows, array), windows),
)
_row(
    "mean",
    _mean_numpy,
    operators.mean,
    (lambda g, ans, x, windows: _mean_back(g, windows),),
    lambda windows, array: (array(*windows.shape), windows),
)
_row(
    "mean_back",
    _mean_back_numpy,
    operators.mean_back,
    (lambda d, ans, g, windows: _mean(d, windows),),
    lambda windows, array: (array(*_outputs(windows)), windows),
)


def _mean(x: Any, windows: Windows) -> Any:
    return dispatch.apply("nn.mean", x, windows)


def _mean_back(g: Any, windows: Windows) -> Any:
    return dispatch.apply("nn.mean_back", g, windows)


def pool(x: Any, mode: str, windows: Windows) -> Any:
    """The maximum (``'max'``) or the mean (``'avg'``) of each window of images (N, C, H, W)."""
    if mode != "max":
        return _mean(x, windows)
    if entry.others:
        y = dispatch.on_device("nn.largest", x, windows)
        if y is not None:
            return y
    before = rectified(x)
    if before is not None:
        found = convolution.convolved(before)
        y = None if found is None else _chained(x, found, windows)
        if y is not None:
            return y
        if maxima.is_ready(x.contents, windows):
            if found is not None and not products.is_active(found[0]):
                images, filters, biases, seen, _ = found
                if seen_maxima.is_ready(_plain(images), x.contents, seen, windows):
                    return _seen_positive_max(images, filters, biases, x, seen, windows)
            return _positive_max(before, x, windows)
    return _max(x, windows)
