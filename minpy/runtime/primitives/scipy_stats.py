"""The distributions of ``scipy.stats``: densities, distribution functions and quantiles on a tape.

The value is SciPy's. The derivative of a log density is that of SciPy's own formula (the distribution's ``_logpdf``),
run on a tape; where that formula is compiled code, it stands in `scipy_formulas`. A distribution function's derivative
is the density, a quantile's its inverse, whatever their formulas are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from minpy.errors import GradientError, TraceError
from minpy.runtime import dispatch
from minpy.runtime.array import Array, host
from minpy.runtime.primitives.moves import apply
from minpy.runtime.primitives.rules import pull
from minpy.runtime.primitives.scipy_formulas import FORMULAS
from minpy.runtime.primitives.scipy_several import moving, several
from minpy.runtime.primitives.table import by_name, row
from minpy.runtime.record import Line

_Frozen = type(stats.norm())
_FROZEN = tuple({base for base in _Frozen.__mro__ if base.__name__.startswith("rv_")})
_CONTINUOUS = ("pdf", "logpdf", "cdf", "logcdf", "sf", "logsf", "ppf", "isf")
_DISCRETE = ("pmf", "logpmf", "cdf", "logcdf", "sf", "logsf")


# ----- SciPy's formulas on a tape ---------------------------------------------------------------------------


def _formula(dist: Any, name: str, z: Any, shapes: list) -> Any:
    """What `dist` computes for standardized values inside the support, from operations that have rules."""
    own = FORMULAS.get(dist.name, {}).get(name)
    try:
        if own is not None:
            return own(z, *shapes)
        return getattr(dist, f"_{name}")(z, *shapes)
    except (TraceError, TypeError, ValueError) as error:
        raise GradientError(
            f"the derivative of scipy.stats.{dist.name}.{name} is not available: SciPy computes it in compiled code, "
            f"or by a search or a quadrature ({str(error).partition(', and an operand')[0]}). "
            "Use minpy.stop_gradient on the operand if no gradient should flow through it"
        ) from error


def _defined(dist: Any, name: str) -> bool:
    """Whether `dist` has a formula of its own, not the general one (a quadrature, a search, log of the other)."""
    if name in FORMULAS.get(dist.name, {}):
        return True
    general = stats.rv_continuous if isinstance(dist, stats.rv_continuous) else stats.rv_discrete
    return getattr(type(dist), f"_{name}", None) is not getattr(general, f"_{name}", None)


def _inside(dist: Any, x: Any, parameters: tuple) -> tuple[Any, list, Any, Any, Any]:
    """Where parameters are allowed and `x` in the support: the mask, and shapes, loc, scale and z there."""
    *shapes, loc, scale = parameters
    whole = np.broadcast_shapes(*(np.shape(p) for p in (x, *parameters)))
    plain = [np.asarray(host(p), float) for p in (x, *parameters)]
    with np.errstate(all="ignore"):
        z = (plain[0] - plain[-2]) / plain[-1]
        ok = np.broadcast_to(np.asarray(dist._argcheck(*plain[1:-2]), bool) & (plain[-1] > 0), whole)
        ok = ok & dist._support_mask(z, *plain[1:-2]) & np.isfinite(z)

    def chosen(p: Any) -> Any:
        return apply(
            "getitem", apply("broadcast_to", np.asarray(p, float) if type(p) is not Array else p, whole), ok
        )

    loc, scale = chosen(loc), chosen(scale)
    return ok, [chosen(p) for p in shapes], loc, scale, (chosen(x) - loc) / scale


def _log_density(dist: Any, x: Any, *parameters: Any) -> Any:
    ok, shapes, _, scale, z = _inside(dist, x, parameters)
    discrete = not isinstance(dist, stats.rv_continuous)
    log, density = ("logpmf", "pmf") if discrete else ("logpdf", "pdf")
    if _defined(dist, log):
        value = _formula(dist, log, z, shapes)
    else:
        value = np.log(_formula(dist, density, z, shapes))
    if not discrete:
        value = value - np.log(scale)
    # Outside nothing depends on anything.
    return apply("index_scatter", value, ok, ok.shape)


def _cumulative(dist: Any, x: Any, *parameters: Any) -> Any:
    ok, shapes, _, _, z = _inside(dist, x, parameters)
    if _defined(dist, "cdf"):
        value = _formula(dist, "cdf", z, shapes)
    elif _defined(dist, "sf"):
        value = 1 - _formula(dist, "sf", z, shapes)
    else:
        raise GradientError(
            f"the derivative of scipy.stats.{dist.name}.cdf by its shape parameters is not available: SciPy has no "
            "formula for it, but sums or integrates the density"
        )
    return apply("index_scatter", value, ok, ok.shape)


# ----- rules: arguments are (distribution, x, *shapes, loc, scale) ------------------------------------------


def _call(name: str, dist: Any, x: Any, *parameters: Any) -> Any:
    *shapes, loc, scale = parameters
    if isinstance(dist, stats.rv_continuous):
        return getattr(dist, name)(x, *shapes, loc=loc, scale=scale)
    return getattr(dist, name)(x, *shapes, loc=loc)


def _run(name: str, *args: Any) -> Any:
    return dispatch.call(by_name[f"scipy.stats.{name}"], args, {})


def _rules(rule: Callable[..., Any]) -> Callable[[int], Any]:
    """The column of ``rule(i, g, ans, dist, x, *parameters)``."""
    return lambda i: None if i == 0 else lambda g, ans, *args: rule(i, g, ans, *args)


def _zeroed(value: Any, factor: Any) -> Any:
    """``value * factor``, zero where `factor` is zero, infinite or undefined."""
    plain = host(factor)
    good = np.isfinite(plain) & (plain != 0)
    return np.where(good, value * np.where(good, factor, 1.0), 0.0)


def _log_rule(i: int, g: Any, ans: Any, *args: Any) -> Any:
    return pull(_log_density, i, g, args, {})


def _density_rule(i: int, g: Any, ans: Any, *args: Any) -> Any:
    return pull(_log_density, i, _zeroed(g, ans), args, {})


def _is_shape(i: int, args: tuple) -> bool:
    return 1 < i < len(args) - 2


def _by_place(i: int, args: tuple) -> Any:
    """The derivative of z by argument `i`: x, loc or scale."""
    scale = args[-1]
    if i == 1:
        return 1 / scale
    if i == len(args) - 2:
        return -1 / scale
    return -(args[1] - args[-2]) / (scale * scale)


def _cumulative_rule(sign: int, log: bool) -> Callable[..., Any]:
    def rule(i: int, g: Any, ans: Any, *args: Any) -> Any:
        dist = args[0]
        if log:
            g = g * np.exp(-np.where(np.isfinite(host(ans)), ans, 0.0))
        if _is_shape(i, args):
            return pull(_cumulative, i, sign * g, args, {})
        if not isinstance(dist, stats.rv_continuous):
            return None
        # The density is that of x, not of z.
        density = _run("pdf", *args) * args[-1]
        return _zeroed(sign * g * _by_place(i, args), density)

    return rule


def _quantile_rule(sign: int) -> Callable[..., Any]:
    def rule(i: int, g: Any, ans: Any, *args: Any) -> Any:
        dist, _, *parameters = args
        scale = parameters[-1]
        if i == len(args) - 2:
            return g
        if i == len(args) - 1:
            return g * (ans - parameters[-2]) / scale
        density = _run("pdf", dist, ans, *parameters)
        good = host(density) > 0
        slope = np.where(good, g / np.where(good, density, 1.0), 0.0)
        if i == 1:
            return sign * slope
        return pull(_cumulative, i, -slope, (dist, ans, *parameters), {})

    return rule


_RULES = {
    "logpdf": _log_rule,
    "logpmf": _log_rule,
    "pdf": _density_rule,
    "pmf": _density_rule,
    "cdf": _cumulative_rule(1, False),
    "logcdf": _cumulative_rule(1, True),
    "sf": _cumulative_rule(-1, False),
    "logsf": _cumulative_rule(-1, True),
    "ppf": _quantile_rule(1),
    "isf": _quantile_rule(-1),
}


def _samples(name: str) -> Callable[..., Any]:
    def samples(rng: np.random.Generator, dtype: np.dtype) -> Any:
        if name in ("pmf", "logpmf"):
            yield (stats.poisson, np.arange(4), np.array(1.5, dtype), 0, 1), {}
            yield (stats.binom, np.arange(4), 5, np.array([[0.3], [0.6]], dtype), 0, 1), {}
            return
        x = rng.uniform(0.2, 0.8, (2, 3)).astype(dtype)
        yield (stats.norm, x, np.array([0.2, 0.1, -0.1], dtype), np.array(1.5, dtype)), {}
        yield (stats.logistic, x[0, 0], 0.1, 1.2), {}
        yield (stats.expon, x[0], np.array(0.1, dtype), 1.5), {}

    return samples


for _name, _rule in _RULES.items():
    row(
        f"scipy.stats.{_name}",
        lambda *args, name=_name: _call(name, *args),
        cost="transcendental",
        joins=64,
        vjp=_rules(_rule),
        samples=_samples(_name),
    )


# ----- what stands for a distribution -----------------------------------------------------------------------


class _Distribution:
    """Stands for a distribution while a tape is open, in a call of one of its methods."""

    def __init__(self, dist: Any, args: tuple = (), kwds: dict | None = None, original: Any = None) -> None:
        self._dist, self._args, self._kwds = dist, args, kwds or {}
        self._original = dist if original is None else original

    def __getattr__(self, name: str) -> Any:
        continuous = isinstance(self._dist, stats.rv_continuous)
        if name in ("ppf", "isf") and not continuous:
            return self._whole(name)
        if name == "rvs":
            return self._random
        if name not in (_CONTINUOUS if continuous else _DISCRETE):
            return getattr(self._original, name)

        def method(x: Any, *args: Any, **kwds: Any) -> Any:
            dist = self._dist
            if not moving((x, *args, *kwds.values(), *self._args, *self._kwds.values())):
                return getattr(self._original, name)(x, *args, **kwds)
            shapes, loc, scale = dist._parse_args(*self._args, *args, **{**self._kwds, **kwds})
            return _run(name, dist, x, *shapes, loc, scale)

        return method

    def _random(self, *args: Any, **kwds: Any) -> Any:
        if moving((*args, *kwds.values(), *self._args, *self._kwds.values())):
            raise TraceError(
                f"scipy.stats.{self._dist.name}.rvs draws with parameters that are being differentiated, at {Line()}. "
                "Draw a standard sample and write loc + scale * sample, or use minpy.stop_gradient"
            )
        return self._original.rvs(*args, **kwds)

    def _whole(self, name: str) -> Any:
        # Whole numbers: piecewise constant in everything.
        def method(*args: Any, **kwds: Any) -> Any:
            return getattr(self._dist, name)(
                *host((*args[:1], *self._args, *args[1:])), **host({**self._kwds, **kwds})
            )

        return method


def traced(value: Any) -> Any:
    """What stands for `value`, an object of ``scipy.stats``, in a call of one of its methods while a tape is open."""
    if isinstance(value, (stats.rv_continuous, stats.rv_discrete)):
        if type(value).__name__ in ("rv_histogram", "rv_sample"):
            return value
        return _Distribution(value)
    if isinstance(value, _FROZEN):
        return _Distribution(value.dist, value.args, value.kwds, value)
    found = several(value)
    return value if found is None else found
