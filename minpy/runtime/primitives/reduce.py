"""Reductions and cumulative sums and products."""

from __future__ import annotations

import functools

import numpy as np

from minpy.errors import GradientError
from minpy.runtime.primitives.kernels import ANY, ARITHMETIC, accumulator, reduced, reduction_limits
from minpy.runtime.primitives.rules import (
    NO_VALUE,
    axes_of,
    chosen,
    count,
    derived,
    divide,
    expand,
    keeps,
    pull,
)
from minpy.runtime.primitives.samples import array, reduction, special
from minpy.runtime.primitives.table import FLOATS, Kernel, Scalar, alias, row

row = functools.partial(row, joins=1)

# ----- rules ------------------------------------------------------------------------------------------------


def _sum(g, ans, x, axis=None, dtype=None, out=None, keepdims=False, initial=0, where=True):
    return chosen(np.broadcast_to(expand(g, x, axis, keepdims), np.shape(x)), where)


def _nansum(g, ans, x, axis=None, dtype=None, out=None, keepdims=False, initial=0, where=True):
    return np.where(np.isnan(x), 0, _sum(g, ans, x, axis, keepdims=keepdims, where=where))


def _mean(g, ans, x, axis=None, dtype=None, out=None, keepdims=False, *, where=True):
    g = expand(g, x, axis, keepdims) / count(x, axis, where)
    return chosen(np.broadcast_to(g, np.shape(x)), where)


def _spread_options(options):
    if options.get("mean", NO_VALUE) is not NO_VALUE:
        raise GradientError("the derivative of var and std with mean= given is not available; leave it out")
    return options.get("correction", NO_VALUE)


def _var(g, ans, x, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=True, **options):
    correction = _spread_options(options)
    ddof = ddof if correction is NO_VALUE else correction
    n = count(x, axis, where)
    selection = {} if where is True or where is NO_VALUE else {"where": where}
    centred = np.conj(x - np.mean(x, axis=axis, keepdims=True, **selection))
    factor = expand(g, x, axis, keepdims) * (2.0 / (n - ddof))
    return chosen(factor * centred, where)


def _std(g, ans, x, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=True, **options):
    return _var(divide(0.5 * g, ans), ans, x, axis, dtype, out, ddof, keepdims, where=where, **options)


def _extreme(g, ans, x, axis=None, out=None, keepdims=False, initial=NO_VALUE, where=True):
    top = expand(ans, x, axis, keepdims)
    hit = x == top
    if np.any(np.isnan(top)):
        hit = np.where(np.isnan(top), np.isnan(x), hit)
    if where is not True and where is not NO_VALUE:
        hit = np.logical_and(hit, where)
    n = np.sum(hit, axis=None if axis is None else axes_of(axis, np.ndim(x)), keepdims=True, dtype=g.dtype)
    if initial is not NO_VALUE and initial is not None:
        n = n + (top == initial)
    return np.where(hit, expand(g, x, axis, keepdims) / np.where(n == 0, 1, n), 0)


def _in_line(x, axis):
    """`x` with the axes of a reduction joined into a last one, and the way back."""
    shape = np.shape(x)
    axes = axes_of(axis, len(shape))
    rest = tuple(i for i in range(len(shape)) if i not in axes)
    order = rest + axes
    moved = tuple(shape[i] for i in order)
    back = tuple(int(i) for i in np.argsort(order))
    line = np.reshape(np.transpose(x, order), (*moved[: len(rest)], -1))
    return line, lambda y: np.transpose(np.reshape(y, moved), back)


def products_of_others(x):
    """For each element of the last axis the product of all others.

    Without division, so that zeros are right to every order.
    """
    n = np.shape(x)[-1]
    size = 1
    while size < n:
        size *= 2
    if size > n:
        x = np.concatenate([x, np.ones((*np.shape(x)[:-1], size - n), x.dtype)], axis=-1)
    levels = [x]
    while np.shape(levels[-1])[-1] > 1:
        last = levels[-1]
        levels.append(last[..., 0::2] * last[..., 1::2])
    others = np.ones_like(levels.pop())
    while levels:
        level = levels.pop()
        pairs = np.stack([others * level[..., 1::2], others * level[..., 0::2]], axis=-1)
        others = np.reshape(pairs, np.shape(level))
    return others[..., :n]


def _prod(g, ans, x, axis=None, dtype=None, out=None, keepdims=False, initial=1, where=True):
    g = expand(g, x, axis, keepdims)
    factors = x if where is True or where is NO_VALUE else np.where(where, x, 1)
    if not np.any(factors == 0):
        return chosen(g * expand(ans, x, axis, keepdims) / factors, where)
    line, back = _in_line(factors, axis)
    others = back(products_of_others(line))
    if initial is not NO_VALUE and initial is not None:
        g = g * initial
    return chosen(g * others, where)


def _nanprod(g, ans, x, axis=None, dtype=None, out=None, keepdims=False, initial=1, where=True):
    nan = np.isnan(x)
    d = _prod(g, ans, np.where(nan, 1, x), axis, dtype, out, keepdims, initial, where)
    return np.where(nan, 0, d)


def _without_nan(x):
    nan = np.isnan(x)
    return np.where(nan, 0, x), np.logical_not(nan)


def _selected(present, where):
    return present if where is True or where is NO_VALUE else np.logical_and(present, where)


def _nanmean(x, axis=None, dtype=None, out=None, keepdims=False, *, where=True):
    x, present = _without_nan(x)
    return np.mean(x, axis=axis, keepdims=keeps(keepdims), where=_selected(present, where))


def _nanvar(x, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=True, **options):
    correction = _spread_options(options)
    ddof = ddof if correction is NO_VALUE else correction
    x, present = _without_nan(x)
    return np.var(x, axis=axis, ddof=ddof, keepdims=keeps(keepdims), where=_selected(present, where))


def _nanstd(x, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=True, **options):
    _spread_options(options)
    x, present = _without_nan(x)
    return np.std(x, axis=axis, ddof=ddof, keepdims=keeps(keepdims), where=_selected(present, where))


def _ptp(x, axis=None, out=None, keepdims=False):
    keepdims = keeps(keepdims)
    return np.max(x, axis=axis, keepdims=keepdims) - np.min(x, axis=axis, keepdims=keepdims)


def _backwards(g, axis):
    """The sum of `g` from each place to the end of `axis`."""
    return np.flip(np.cumsum(np.flip(g, axis), axis=axis), axis)


def _cumsum(g, ans, x, axis=None, dtype=None, out=None):
    if axis is None:
        return np.reshape(_backwards(np.reshape(g, (-1,)), 0), np.shape(x))
    return _backwards(g, axis)


def _doubling_products(x, axis):
    """``cumprod`` as products of shifted copies: its derivative needs no division."""
    x = np.moveaxis(x, axis, -1)
    n, step = np.shape(x)[-1], 1
    while step < n:
        x = np.concatenate([x[..., :step], x[..., step:] * x[..., :-step]], axis=-1)
        step *= 2
    return np.moveaxis(x, -1, axis)


def _cumprod(g, ans, x, axis=None, dtype=None, out=None):
    if axis is None:
        return np.reshape(_cumprod(np.reshape(g, (-1,)), ans, np.reshape(x, (-1,)), 0), np.shape(x))
    if not np.any(x == 0):
        return _backwards(g * ans, axis) / x
    return pull(lambda y: _doubling_products(y, axis), 0, g, (x,), {})


def _nancumsum(g, ans, x, axis=None, dtype=None, out=None):
    return np.where(np.isnan(x), 0, _cumsum(g, ans, x, axis))


def _nancumprod(g, ans, x, axis=None, dtype=None, out=None):
    nan = np.isnan(x)
    return np.where(nan, 0, _cumprod(g, ans, np.where(nan, 1, x), axis))


# ----- kernels ----------------------------------------------------------------------------------------------


# Unsigned integers are summed as uint64, which MXNet has not.
_SUMMED = ANY - {"uint8"}


def _kernel(operator, dtypes):
    def run(F, x, axis=None, dtype=None, out=None, keepdims=False, initial=None, where=True):
        return reduced(F, operator, accumulator(x, dtype), axis, keepdims)

    return Kernel(run, dtypes, reduction_limits)


def _extreme_kernel(operator):
    def run(F, x, axis=None, out=None, keepdims=False, initial=None, where=True):
        return reduced(F, operator, x, axis, keepdims)

    def unless(x, axis=None, out=None, keepdims=False, initial=None, where=True, **others):
        return reduction_limits(x, axis, None, out, keepdims, initial, where, **others)

    return Kernel(run, ARITHMETIC, unless)


def _truth_kernel(operator):
    def run(F, x, axis=None, out=None, keepdims=False, where=True):
        truth = reduced(F, operator, x.astype("bool").astype("uint8"), axis, keepdims)
        return Scalar(truth.handle.astype("bool")) if type(truth) is Scalar else truth.astype("bool")

    def unless(x, axis=None, out=None, keepdims=False, where=True, **others):
        return reduction_limits(x, axis, None, out, keepdims, None, where, **others)

    return Kernel(run, ANY, unless)


def _place_kernel(operator):
    def run(F, x, axis=None, out=None, keepdims=False):
        if axis is None:
            shape = (1,) * len(x.shape)
            place = getattr(F, operator)(x.reshape((-1,)), axis=0, keepdims=True).astype("int64")
            return place.reshape(shape) if keeps(keepdims) else Scalar(place)
        place = getattr(F, operator)(x, axis=int(axis) % len(x.shape), keepdims=keeps(keepdims)).astype(
            "int64"
        )
        return Scalar(place) if len(x.shape) == 1 and not keeps(keepdims) else place

    def unless(x, axis=None, out=None, keepdims=False, **others):
        if isinstance(axis, tuple):
            return "an axis that is not an int"
        if isinstance(x, np.ndarray) and x.size > 2**24:
            return "more than 2**24 elements: MXNet's places are float32"
        return reduction_limits(x, axis, None, out, keepdims, **others)

    return Kernel(run, FLOATS, unless)


def _mean_run(F, x, axis=None, dtype=None, out=None, keepdims=False, *, where=True):
    return _averaged(F, x, axis, dtype, keepdims)


def _averaged(F, x, axis, dtype, keepdims):
    wide, final = _working(x, dtype)
    return _finished(reduced(F, "mean", wide, axis, keepdims), final)


def _working(x, dtype):
    """`x` in the dtype in which NumPy averages it, and the dtype of the result."""
    if dtype is not None:
        return x.astype(np.dtype(dtype).name), np.dtype(dtype)
    kind = np.dtype(x.dtype)
    if kind.kind != "f":
        return x.astype("float64"), np.dtype("float64")
    return (x.astype("float32") if kind.itemsize == 2 else x), kind


def _finished(result, dtype):
    if type(result) is Scalar:
        return Scalar(_finished(result.handle, dtype))
    return result if np.dtype(result.dtype) == dtype else result.astype(dtype.name)


def _spread_run(root):
    def run(F, x, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=True):
        wide, final = _working(x, dtype)
        middle = reduced(F, "mean", wide, axis, True)
        centred = F.broadcast_sub(wide, middle)
        n = count(x, axis)
        total = reduced(F, "sum", F.multiply(centred, centred), axis, keepdims)
        handle = (total.handle if type(total) is Scalar else total) / (n - ddof)
        handle = F.sqrt(handle) if root else handle
        return _finished(Scalar(handle) if type(total) is Scalar else handle, final)

    return run


def _float_limits(x, axis=None, dtype=None, out=None, *rest, **kwargs):
    if dtype is not None and np.dtype(dtype).kind != "f":
        return f"the kernel has no accumulator of dtype {np.dtype(dtype)}"
    ddof = kwargs.pop("ddof", 0)
    reason = reduction_limits(x, axis, dtype, out, **kwargs)
    if reason is None and ddof and not (isinstance(ddof, (int, float)) and ddof < count(x, axis)):
        return "no degrees of freedom are left"
    return reason


def _var_limits(x, axis=None, dtype=None, out=None, ddof=0, keepdims=False, **kwargs):
    return _float_limits(x, axis, dtype, out, ddof=ddof, keepdims=keepdims, **kwargs)


def _mean_limits(x, axis=None, dtype=None, out=None, keepdims=False, **kwargs):
    return _float_limits(x, axis, dtype, out, keepdims=keepdims, **kwargs)


def _cumsum_run(F, x, axis=None, dtype=None, out=None):
    x = accumulator(x, dtype)
    return F.cumsum(x.reshape((-1,)), axis=0) if axis is None else F.cumsum(x, axis=int(axis) % len(x.shape))


def _cumsum_limits(x, axis=None, dtype=None, out=None):
    if isinstance(axis, tuple):
        return "an axis that is not an int"
    return reduction_limits(x, axis, dtype, out)


def _nansum_run(F, x, axis=None, dtype=None, out=None, keepdims=False, initial=None, where=True):
    # MXNet's own nansum makes NaN of infinities.
    return reduced(F, "sum", accumulator(F.where(x == x, x, F.zeros_like(x)), dtype), axis, keepdims)


# ----- rows -------------------------------------------------------------------------------------------------


def _summed(rng, dtype):
    yield from reduction()(rng, dtype)
    x = array(rng, dtype, 3, 4)
    if np.dtype(dtype).kind != "b":
        yield (x,), {"initial": 5}
        yield (x, 0), {"dtype": "float64"} if np.dtype(dtype).kind != "c" else {"dtype": "complex128"}
    yield (x,), {"axis": 1, "where": np.arange(12).reshape(3, 4) % 3 > 0}
    yield (x,), {"axis": ()}


def _multiplied(rng, dtype):
    yield from reduction(0.5, 2.0)(rng, dtype)
    x = array(rng, dtype, 3, 4, low=0.5, high=2)
    x[0, 1] = x[1, 2] = x[1, 3] = 0
    yield (x,), {}
    yield (x,), {"axis": 1}
    yield (x,), {"axis": 0, "keepdims": True}
    yield (x,), {"axis": 1, "where": np.arange(12).reshape(3, 4) % 3 > 0}
    yield (x,), {"axis": 1, "initial": 2}


def _spreads(rng, dtype):
    yield from reduction()(rng, dtype)
    x = array(rng, dtype, 3, 4)
    yield (x,), {"axis": 1, "ddof": 1}
    yield (x,), {"ddof": 1.5, "keepdims": True}
    yield (x,), {"axis": 1, "where": np.arange(12).reshape(3, 4) % 3 > 0}


def _means(rng, dtype):
    yield from reduction()(rng, dtype)
    yield (array(rng, dtype, 3, 4),), {"axis": 1, "where": np.arange(12).reshape(3, 4) % 3 > 0}


def _extremes(rng, dtype):
    yield from reduction()(rng, dtype)
    x = array(rng, dtype, 3, 4)
    mask = np.arange(12).reshape(3, 4) % 3 > 0
    yield (x,), {"axis": 1, "initial": np.ones((), dtype)[()], "where": mask}
    yield (x,), {"initial": np.zeros((), dtype)[()]}
    yield (np.ones((2, 3), dtype),), {"axis": 1}


def _places(rng, dtype):
    x = array(rng, dtype, 3, 4, 2)
    yield (x,), {}
    for axis in (0, -1, 1):
        yield (x,), {"axis": axis}
        yield (x, axis), {"keepdims": True}
    yield (x,), {"keepdims": True}
    yield (np.array([[1, 2, 2], [0, 1, 1]], dtype),), {"axis": 1}
    yield (array(rng, dtype, 5),), {}
    yield (array(rng, dtype, 5), 0), {}
    yield (array(rng, dtype),), {}
    yield (array(rng, dtype, 0, 3), 1), {}
    yield (array(rng, dtype, 4).tolist(),), {}
    yield (special(dtype),), {}


def _truths(rng, dtype):
    yield from reduction()(rng, dtype)
    yield (np.zeros((2, 3), dtype),), {"axis": 1}
    yield (np.ones((2, 3), dtype),), {}
    yield (array(rng, dtype, 3, 4),), {"axis": 1, "where": np.arange(12).reshape(3, 4) % 3 > 0}


def _runs(rng, dtype):
    x = array(rng, dtype, 3, 4, 2, low=-2, high=2)
    yield (x,), {}
    for axis in (0, -1, 1):
        yield (x,), {"axis": axis}
    yield (array(rng, dtype, 5), 0), {}
    yield (array(rng, dtype),), {}
    yield (array(rng, dtype, 0, 3), 1), {}
    yield (np.array([[2, 0, 3, 0, 1], [1, 2, 1, 0, 2]], dtype),), {"axis": 1}
    if np.dtype(dtype).kind in "iuf":
        yield (array(rng, dtype, 3, 4), 1, "float64"), {}
    if np.dtype(dtype).kind in "fc":
        yield (np.array([1, np.nan, 2, np.inf], dtype),), {}


row("sum", cost="reduce", mxnet=_kernel("sum", _SUMMED), vjp=(_sum,), samples=_summed)
row(
    "prod",
    cost="reduce",
    mxnet=_kernel("prod", _SUMMED - {"float16"}),
    vjp=(_prod,),
    samples=_multiplied,
)
row("mean", cost="reduce", mxnet=Kernel(_mean_run, ARITHMETIC, _mean_limits), vjp=(_mean,), samples=_means)
row(
    "var",
    cost="reduce",
    mxnet=Kernel(_spread_run(False), ARITHMETIC, _var_limits),
    vjp=(_var,),
    samples=_spreads,
)
row(
    "std",
    cost="reduce",
    mxnet=Kernel(_spread_run(True), ARITHMETIC, _var_limits),
    vjp=(_std,),
    samples=_spreads,
)
row("max", cost="reduce", mxnet=_extreme_kernel("max"), vjp=(_extreme,), samples=_extremes)
row("min", cost="reduce", mxnet=_extreme_kernel("min"), vjp=(_extreme,), samples=_extremes)
row("ptp", cost="reduce", vjp=derived(_ptp, 0), samples=reduction())
row("all", cost="reduce", flat=True, mxnet=_truth_kernel("min"), samples=_truths)
row("any", cost="reduce", flat=True, mxnet=_truth_kernel("max"), samples=_truths)
row("argmax", cost="reduce", flat=True, mxnet=_place_kernel("argmax"), samples=_places)
row("argmin", cost="reduce", flat=True, mxnet=_place_kernel("argmin"), samples=_places)
row("nanargmax", cost="reduce", flat=True, samples=_places)
row("nanargmin", cost="reduce", flat=True, samples=_places)
row("count_nonzero", cost="reduce", flat=True, samples=reduction())
row(
    "nansum",
    cost="reduce",
    mxnet=Kernel(_nansum_run, FLOATS, reduction_limits),
    vjp=(_nansum,),
    samples=_summed,
)
row("nanprod", cost="reduce", vjp=(_nanprod,), samples=_multiplied)
row("nanmean", cost="reduce", vjp=derived(_nanmean, 0), samples=_means)
row("nanvar", cost="reduce", vjp=derived(_nanvar, 0), samples=_spreads)
row("nanstd", cost="reduce", vjp=derived(_nanstd, 0), samples=_spreads)
row("nanmax", cost="reduce", vjp=(_extreme,), samples=_extremes)
row("nanmin", cost="reduce", vjp=(_extreme,), samples=_extremes)
row(
    "cumsum",
    cost="reduce",
    mxnet=Kernel(_cumsum_run, _SUMMED - {"float16"}, _cumsum_limits),
    vjp=(_cumsum,),
    samples=_runs,
)
row("cumprod", cost="reduce", vjp=(_cumprod,), samples=_runs)
row("nancumsum", cost="reduce", vjp=(_nancumsum,), samples=_runs)
row("nancumprod", cost="reduce", vjp=(_nancumprod,), samples=_runs)
for _name, _same in {
    "amax": "max", "amin": "min", "product": "prod", "cumproduct": "cumprod",
    "sometrue": "any", "alltrue": "all",
}.items():  # fmt: skip
    alias(_name, _same)
