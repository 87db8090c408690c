"""Reductions and cumulative sums and products."""

from __future__ import annotations

import functools

import numpy as np

from minpy.errors import GradientError
from minpy.runtime.primitives import reduce_kernels as kernels
from minpy.runtime.primitives.kernels import ARITHMETIC, reduction_limits
from minpy.runtime.primitives.rules import (
    NO_VALUE,
    axes_of,
    chosen,
    count,
    derived,
    divide,
    expand,
    in_line,
    keeps,
    pull,
    spread,
)
from minpy.runtime.primitives.samples import array, reduction, special
from minpy.runtime.primitives.table import FLOATS, Kernel, alias, row

row = functools.partial(row, joins=1)

# ----- rules ------------------------------------------------------------------------------------------------


def _sum(g, ans, x, axis=None, dtype=None, out=None, keepdims=False, initial=0, where=True):
    return chosen(spread(expand(g, x, axis, keepdims), x), where)


def _nansum(g, ans, x, axis=None, dtype=None, out=None, keepdims=False, initial=0, where=True):
    return np.where(np.isnan(x), 0, _sum(g, ans, x, axis, keepdims=keepdims, where=where))


def _mean(g, ans, x, axis=None, dtype=None, out=None, keepdims=False, *, where=True):
    g = expand(g, x, axis, keepdims) / count(x, axis, where)
    return chosen(spread(g, x), where)


def _spread_options(options):
    if options.get("mean", NO_VALUE) is not NO_VALUE:
        raise GradientError("the derivative of var and std with mean= given is not available; leave it out")
    return options.get("correction", NO_VALUE)


def _var(
    g, ans, x, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=True, twice=False, **options
):
    correction = _spread_options(options)
    ddof = ddof if correction is NO_VALUE else correction
    n = count(x, axis, where)
    selection = {} if where is True or where is NO_VALUE else {"where": where}
    centred = x - np.mean(x, axis=axis, keepdims=True, **selection)
    if twice:
        centred = centred - np.mean(centred, axis=axis, keepdims=True, **selection)
    factor = expand(g, x, axis, keepdims) * (2.0 / (n - ddof))
    return chosen(factor * np.conj(centred), where)


def _std(g, ans, x, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=True, **options):
    # Of equal numbers the deviations and their root are rounding errors of the mean, and their quotient is anything: a
    # second mean takes out what all have in common.
    half = divide(0.5 * g, ans)
    return _var(half, ans, x, axis, dtype, out, ddof, keepdims, where=where, twice=True, **options)


def _extreme(g, ans, x, axis=None, out=None, keepdims=False, initial=NO_VALUE, where=True):
    top = expand(ans, x, axis, keepdims)
    hit = x == top
    if np.any(np.isnan(top)):
        hit = np.where(np.isnan(top), np.isnan(x), hit)
    if where is not True and where is not NO_VALUE:
        hit = np.logical_and(hit, where)
    axes = axes_of(axis, np.ndim(x)) if np.ndim(x) else None
    n = np.sum(hit, axis=axes, keepdims=True, dtype=g.dtype)
    if initial is not NO_VALUE and initial is not None:
        n = n + (top == initial)
    return np.where(hit, expand(g, x, axis, keepdims) / np.where(n == 0, 1, n), 0)


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
    line, back = in_line(factors, axis)
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
    late = np.zeros(3000, dtype)
    late[2901] = 1
    yield (late,), {}


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


row("sum", cost="reduce", mxnet=kernels.kernel("sum", kernels.SUMMED), vjp=(_sum,), samples=_summed)
row(
    "prod",
    cost="reduce",
    mxnet=kernels.kernel("prod", kernels.SUMMED - {"float16"}),
    vjp=(_prod,),
    samples=_multiplied,
)
row(
    "mean",
    cost="reduce",
    mxnet=Kernel(kernels.mean_run, ARITHMETIC, kernels.mean_limits),
    vjp=(_mean,),
    samples=_means,
)
row(
    "var",
    cost="reduce",
    mxnet=Kernel(kernels.spread_run(False), kernels.SPREAD, kernels.var_limits),
    vjp=(_var,),
    samples=_spreads,
)
row(
    "std",
    cost="reduce",
    mxnet=Kernel(kernels.spread_run(True), kernels.SPREAD, kernels.var_limits),
    vjp=(_std,),
    samples=_spreads,
)
row("max", cost="reduce", mxnet=kernels.extreme_kernel("max"), vjp=(_extreme,), samples=_extremes)
row("min", cost="reduce", mxnet=kernels.extreme_kernel("min"), vjp=(_extreme,), samples=_extremes)
row("ptp", cost="reduce", vjp=derived(_ptp, 0), samples=reduction())
row("all", cost="reduce", flat=True, mxnet=kernels.truth_kernel("min"), samples=_truths)
row("any", cost="reduce", flat=True, mxnet=kernels.truth_kernel("max"), samples=_truths)
row("argmax", cost="reduce", flat=True, mxnet=kernels.place_kernel("argmax"), samples=_places)
row("argmin", cost="reduce", flat=True, mxnet=kernels.place_kernel("argmin"), samples=_places)
row("nanargmax", cost="reduce", flat=True, samples=_places)
row("nanargmin", cost="reduce", flat=True, samples=_places)
row("count_nonzero", cost="reduce", flat=True, samples=reduction())
row(
    "nansum",
    cost="reduce",
    mxnet=Kernel(kernels.nansum_run, FLOATS, reduction_limits),
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
    mxnet=Kernel(kernels.cumsum_run, kernels.SUMMED - {"float16"}, kernels.cumsum_limits),
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
