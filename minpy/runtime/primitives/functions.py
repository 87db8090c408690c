"""Element-wise functions that NumPy writes in Python: choices, limits, interpolation."""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.runtime.primitives.kernels import ARITHMETIC, EXACT, MOST_DIMENSIONS, options, spread
from minpy.runtime.primitives.rules import derived, nothing, tied, where_holds
from minpy.runtime.primitives.samples import array, special
from minpy.runtime.primitives.table import FLOATS, Kernel, row

# ----- where and select -------------------------------------------------------------------------------------


def _where_run(F, condition, x, y):
    shape = np.broadcast_shapes(*[h.shape for h in (condition, x, y) if hasattr(h, "shape")])
    dtype = np.result_type(*[h.dtype if hasattr(h, "dtype") else h for h in (x, y)])

    def branch(h):
        if not hasattr(h, "shape"):
            return F.full(shape, h, dtype=dtype)
        return spread(F, h if np.dtype(h.dtype) == dtype else h.astype(dtype.name), shape)

    return F.where(spread(F, condition.astype("uint8"), shape), branch(x), branch(y))


def _where_limits(condition, *branches, **kwargs):
    if len(branches) != 2 or kwargs:
        return "only the choice between two values is computed on MXNet"
    if not isinstance(condition, np.ndarray) or condition.dtype != bool:
        return "the condition is no boolean array"
    shapes = [condition.shape]
    for b in branches:
        if isinstance(b, np.ndarray):
            if not b.ndim:
                return "a branch is a single number in an array"
            if b.dtype.name not in ARITHMETIC:
                return f"a branch has dtype {b.dtype}"
            shapes.append(b.shape)
        elif isinstance(b, bool) or not isinstance(b, (int, float)):
            return "a branch is no real number"
        elif isinstance(b, int) and abs(b) > EXACT:
            return "an integer beyond 2**53: MXNet passes scalars as float64"
    if not any(isinstance(b, np.ndarray) for b in branches):
        return "no branch is an array"
    dtype = np.result_type(*[b.dtype if isinstance(b, np.ndarray) else b for b in branches])
    if dtype.name not in ARITHMETIC:
        return f"the branches promote to {dtype}"
    if max(map(len, shapes)) > MOST_DIMENSIONS:
        return f"broadcasting in more than {MOST_DIMENSIONS} dimensions"
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return "the shapes cannot be broadcast"
    return None


def _where_samples(rng, dtype):
    c = rng.random((3, 4)) < 0.5
    x, y = array(rng, dtype, 3, 4), array(rng, dtype, 3, 4)
    yield (c, x, y), {}
    yield (c, x[0], y[:, :1]), {}
    yield (c[0], x, 2), {}
    yield (c, 0, y), {}
    yield (c, array(rng, dtype), y), {}
    yield (c[0, 0], x, y), {}
    yield (np.bool_(True), array(rng, dtype), array(rng, dtype)), {}
    yield (c, 1.5, y), {}
    yield (c[:0], x[:0], y[:0]), {}
    yield (np.arange(special(dtype).size) % 2 > 0, special(dtype), array(rng, dtype, special(dtype).size)), {}
    yield (array(rng, dtype, 3, 4), x, y), {}
    yield (x,), {}


row(
    "where",
    joins=3,
    cost="arith",
    mxnet=Kernel(_where_run, ARITHMETIC | {"bool"}, _where_limits),
    vjp=(
        nothing,
        lambda g, ans, c, x, y: where_holds(c, g),
        lambda g, ans, c, x, y: where_holds(c, g, False),
    ),
    samples=_where_samples,
)


def _choices(condlist):
    """For each condition, where it is the first that holds."""
    taken: Any = False
    for condition in condlist:
        yield np.logical_and(condition, np.logical_not(taken))
        taken = np.logical_or(taken, condition)


def _select_choices(g, ans, condlist, choicelist, default=0):
    return [np.where(first, g, 0) for first in _choices(condlist)]


def _select_default(g, ans, condlist, choicelist, default=0):
    taken = condlist[0]
    for condition in condlist[1:]:
        taken = np.logical_or(taken, condition)
    return np.where(taken, 0, g)


def _select_samples(rng, dtype):
    x, y = array(rng, dtype, 3, 4), array(rng, dtype, 3, 4)
    c, d = rng.random((3, 4)) < 0.5, rng.random((3, 4)) < 0.5
    yield ([c, d], [x, y]), {}
    yield ([c, d], [x, y], 1), {}
    yield ([c[0], d], [x, y[:, :1]], array(rng, dtype, 3, 4)), {}
    yield ([c], [x]), {"default": 2}


row("select", cost="arith", vjp=(None, _select_choices, _select_default), samples=_select_samples)


def _piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    if np.ndim(condlist) == 0 or (not isinstance(condlist[0], (list, np.ndarray)) and np.ndim(x) != 0):
        condlist = [condlist]
    condlist = [np.asarray(c, dtype=bool) for c in condlist]
    if len(condlist) == len(funclist) - 1:
        rest = np.logical_not(np.any(np.stack(condlist), axis=0))
        condlist = [*condlist, rest]
    elif len(condlist) != len(funclist):
        raise ValueError(
            f"with {len(condlist)} condition(s), either {len(condlist)} or {len(condlist) + 1} "
            "functions are expected"
        )
    result = np.zeros_like(x)
    for condition, function in zip(condlist, funclist, strict=True):
        if callable(function):
            if np.any(condition):
                result[condition] = function(x[condition], *args, **kw)
        else:
            result[condition] = function
    return result


def _piecewise_samples(rng, dtype):
    x = array(rng, dtype, 7)
    if np.dtype(dtype).kind in "fiu":
        yield (x, [x < 0, x >= 1], [lambda v: -v, lambda v: v * v, 3]), {}
        yield (x, [x < 0, x >= 0], [-1, 1]), {}
        yield (x, x < 1, [lambda v, k: k * v, lambda v, k: v - k], 2), {}
        yield (array(rng, dtype, 2, 3), np.ones((2, 3), bool), [lambda v: v * v]), {}


row("piecewise", cost="host", compose=_piecewise, samples=_piecewise_samples)

# ----- limits and replacements ------------------------------------------------------------------------------


def _bounds(a_min, a_max, options):
    return options.get("min", a_min), options.get("max", a_max)


def _bounded(x, low):
    return x if low is None else np.maximum(x, low)


def _clip(g, ans, x, a_min=None, a_max=None, out=None, **more):
    low, high = _bounds(a_min, a_max, more)
    inner = _bounded(x, low)
    if high is not None:
        g = tied(g, ans, inner, high)
    return g if low is None else tied(g, inner, x, low)


def _clip_low(g, ans, x, a_min=None, a_max=None, out=None, **more):
    low, high = _bounds(a_min, a_max, more)
    inner = _bounded(x, low)
    if high is not None:
        g = tied(g, ans, inner, high)
    return tied(g, inner, low, x)


def _clip_high(g, ans, x, a_min=None, a_max=None, out=None, **more):
    low, high = _bounds(a_min, a_max, more)
    return tied(g, ans, high, _bounded(x, low))


def _clip_run(F, x, a_min=None, a_max=None):
    # F.clip reads its bounds as float32.
    x = x if a_min is None else F.maximum(x, a_min)
    return x if a_max is None else F.minimum(x, a_max)


def _clip_limits(x, a_min=None, a_max=None, out=None, **kwargs):
    if kwargs:
        return options(kwargs) or "the kernel takes no options"
    if a_min is None and a_max is None:
        return "no bounds"
    for bound in (a_min, a_max):
        if bound is not None and (isinstance(bound, bool) or type(bound) not in (int, float)):
            return "a bound that is not a Python number"
    return None if isinstance(x, np.ndarray) else "the kernel takes one array"


def _clip_samples(rng, dtype):
    x = array(rng, dtype, 3, 4)
    low, high = (1, 2) if np.dtype(dtype).kind in "ub" else (-1, 2)
    yield (x, low, high), {}
    yield (x, None, high), {}
    yield (x, low, None), {}
    yield (x,), {"a_min": low, "a_max": high}
    if np.dtype(dtype).kind == "f":
        yield (x, -0.5, 0.75), {}
    yield (x, array(rng, dtype, 4), array(rng, dtype, 3, 1)), {}
    yield (x, array(rng, dtype), None), {}
    yield (array(rng, dtype), low, high), {}
    yield (array(rng, dtype, 0, 2), low, high), {}
    yield (special(dtype), low, high), {}


row(
    "clip",
    joins=1,
    cost="arith",
    mxnet=Kernel(_clip_run, FLOATS, _clip_limits),
    vjp=(_clip, _clip_low, _clip_high),
    samples=_clip_samples,
)


def _finite_parts(g, x):
    if not np.iscomplexobj(x):
        return np.where(np.isfinite(x), g, 0)
    # Each part is replaced for itself: re -> re, im -> im (the transpose of taking a part carries -1j).
    re = np.where(np.isfinite(np.real(x)), np.real(g), 0)
    im = np.where(np.isfinite(np.imag(x)), np.imag(g), 0)
    return re + 1j * im


def _nan_to_num_samples(rng, dtype):
    yield (array(rng, dtype, 3, 4),), {}
    yield (special(dtype),), {}
    yield (special(dtype),), {"nan": 1.5, "posinf": 2.0, "neginf": -2.0}
    yield (array(rng, dtype),), {}
    yield (array(rng, dtype, 0, 2),), {}


row(
    "nan_to_num",
    joins=1,
    cost="arith",
    vjp=(lambda g, ans, x, *rest, **kw: _finite_parts(g, x),),
    samples=_nan_to_num_samples,
)


def _unwrap_samples(rng, dtype):
    yield (array(rng, dtype, 3, 7, low=-9, high=9),), {}
    yield (array(rng, dtype, 3, 7, low=-9, high=9),), {"axis": 0, "discont": 4}
    yield (array(rng, dtype, 9, low=-9, high=9),), {"period": 4}


# Adding multiples of the period leaves the derivative alone.
row("unwrap", joins=1, cost="host", vjp=(lambda g, ans, x, *rest, **kw: g,), samples=_unwrap_samples)

# ----- interpolation ----------------------------------------------------------------------------------------


def _interp(x, xp, fp, left=None, right=None, period=None):
    """``numpy.interp`` by looking up the interval, in differentiable steps."""
    xp, fp = (
        np.asarray(xp) if type(xp) in (list, tuple) else xp,
        np.asarray(fp) if type(fp) in (list, tuple) else fp,
    )
    if period is not None:
        period = abs(period)
        x, xp = x % period, xp % period
        order = np.argsort(xp)
        xp, fp = xp[order], fp[order]
        xp = np.concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = np.concatenate([fp[-1:], fp, fp[:1]])
    n = np.shape(xp)[0]
    i = np.clip(np.searchsorted(xp, x, side="right") - 1, 0, max(n - 2, 0))
    j = np.minimum(i + 1, n - 1)
    width = xp[j] - xp[i]
    inside = fp[i] + (fp[j] - fp[i]) * ((x - xp[i]) / np.where(width == 0, 1, width))
    if period is not None:
        return inside
    below, above = x < xp[0], x > xp[-1]
    inside = np.where(below, fp[0] if left is None else left, inside)
    return np.where(above, fp[-1] if right is None else right, inside)


def _interp_samples(rng, dtype):
    if np.dtype(dtype).kind not in "fiub" and np.dtype(dtype) != np.complex128:
        return
    x = array(rng, "float64", 3, 4, low=-4, high=4)
    xp = np.array([-3.0, -1.0, 0.5, 2.5])
    fp = array(rng, dtype, 4)
    x = x if np.dtype(dtype).kind == "c" else x.astype(dtype)
    yield (x, xp, fp), {}
    yield (x, xp, fp, 7.0, -7.0), {}
    yield (x, xp[::-1].copy(), fp), {"period": 5.0}
    yield (x[0, 0], xp, fp), {}
    yield (x, xp.tolist(), fp.tolist()), {}


row("interp", joins=3, cost="sort", vjp=derived(_interp, 0, 1, 2), samples=_interp_samples)
