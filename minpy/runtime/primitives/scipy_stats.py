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
from minpy.runtime.primitives.scipy_rules import stand_ins
from minpy.runtime.primitives.table import Primitive, by_name, row
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


def _moving(values: Any) -> bool:
    found: list = []
    dispatch.collect(values, found)
    return bool(found)


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
            if not _moving((x, *args, *kwds.values(), *self._args, *self._kwds.values())):
                return getattr(self._original, name)(x, *args, **kwds)
            shapes, loc, scale = dist._parse_args(*self._args, *args, **{**self._kwds, **kwds})
            return _run(name, dist, x, *shapes, loc, scale)

        return method

    def _random(self, *args: Any, **kwds: Any) -> Any:
        if _moving((*args, *kwds.values(), *self._args, *self._kwds.values())):
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
    several = _several(value)
    return value if several is None else several


# ----- distributions of several variables -------------------------------------------------------------------


def _positional(names: tuple[str, ...], defaults: tuple, args: tuple, kwds: dict) -> tuple[tuple, dict]:
    values = list(args[: len(names)])
    rest = dict(kwds)
    for name, default in zip(names[len(values) :], defaults[len(values) :], strict=True):
        values.append(rest.pop(name, default))
    return tuple(values), rest


class _Several:
    """Stands for a distribution of several variables: its log density and density have a formula."""

    def __init__(
        self, original: Any, args: tuple = (), kwds: dict | None = None, frozen: bool = False
    ) -> None:
        self._original, self._args, self._kwds, self._frozen = original, args, kwds or {}, frozen

    def __call__(self, *args: Any, **kwds: Any) -> Any:
        if _moving((*args, *kwds.values())):
            return _Several(self._original, args, kwds, True)
        return self._original(*args, **kwds)

    def __getattr__(self, name: str) -> Any:
        log = "log" + name.removeprefix("log")
        primitive: Primitive | None = by_name.get(f"scipy.stats.{type(self._original).__name__[:-4]}.{log}")
        if primitive is None:
            return getattr(self._plain(), name)

        def method(x: Any, *args: Any, **kwds: Any) -> Any:
            if not _moving((x, *args, *kwds.values(), *self._args, *self._kwds.values())):
                return getattr(self._plain(), name)(x, *args, **kwds)
            names, defaults = _PARAMETERS[primitive.name]
            values, rest = _positional(names, defaults, (*self._args, *args), {**self._kwds, **kwds})
            found = dispatch.call(primitive, (x, *values), rest)
            return found if log == name else np.exp(found)

        return method

    def _plain(self) -> Any:
        return self._original(*host(self._args), **host(self._kwds)) if self._frozen else self._original


def _several(value: Any) -> Any:
    if isinstance(value, _Several):
        return value
    name = type(value).__name__
    if name.removesuffix("_gen") in _SEVERAL and name.endswith("_gen"):
        return _Several(value)
    if name.removesuffix("_frozen") in _SEVERAL and name.endswith("_frozen"):
        original = getattr(stats, name.removesuffix("_frozen"))
        kept = _KEPT[name.removesuffix("_frozen")](value)
        return _Several(
            original, kept, {"allow_singular": True} if name.startswith("multivariate_") else {}, True
        )
    return None


def _vectors(x: Any, k: int) -> Any:
    """Points as SciPy reads them: a vector is one of them, or many of one dimension."""
    if np.ndim(x) == 0:
        return np.reshape(x, (1, 1))
    if np.ndim(x) == 1:
        return np.reshape(x, (-1, 1)) if k == 1 else np.reshape(x, (1, -1))
    return x


def _spread(x: Any, mean: Any, cov: Any) -> tuple[Any, Any, Any, int]:
    """``(log determinant, squared Mahalanobis distances, …)`` of points under a mean and a matrix."""
    k = max(np.size(mean) if mean is not None else 1, np.shape(cov)[-1] if np.ndim(cov) else 1)
    if mean is None and np.ndim(cov) == 0 and np.ndim(x):
        k = 1 if np.ndim(x) == 1 else np.shape(x)[-1]
    # A matrix is taken as symmetric, and so is its gradient; SciPy looks at its lower triangle.
    matrix = cov * np.eye(k) if np.ndim(cov) < 2 else (cov + np.swapaxes(cov, 0, 1)) / 2
    points = _vectors(x, k) - (np.zeros(k) if mean is None else np.reshape(mean, (-1,)))
    solved = np.linalg.solve(matrix, np.swapaxes(np.reshape(points, (-1, k)), 0, 1))
    distance = np.sum(np.reshape(points, (-1, k)) * np.swapaxes(solved, 0, 1), axis=-1)
    return np.linalg.slogdet(matrix)[1], distance, np.shape(points)[:-1], k


def _normal_density(x: Any, mean: Any, cov: Any, **options: Any) -> Any:
    logdet, distance, shape, k = _spread(x, mean, cov)
    return np.reshape(-0.5 * (distance + logdet + k * np.log(2 * np.pi)), shape)


def _student_density(x: Any, loc: Any, matrix: Any, df: Any, **options: Any) -> Any:
    from scipy import special

    if np.isinf(host(df)):
        return _normal_density(x, loc, matrix)
    logdet, distance, shape, k = _spread(x, loc, matrix)
    constant = (
        special.gammaln((df + k) / 2) - special.gammaln(df / 2) - k / 2 * np.log(df * np.pi) - logdet / 2
    )
    return np.reshape(constant - (df + k) / 2 * np.log1p(distance / df), shape)


def _dirichlet_density(x: Any, alpha: Any) -> Any:
    from scipy import special

    x, alpha = (np.reshape(v, np.shape(v)) for v in (x, alpha))
    if np.shape(x)[0] == np.size(alpha) - 1:
        x = np.concatenate([x, np.reshape(1 - np.sum(x, axis=0), (1, *np.shape(x)[1:]))])
    columns = np.reshape(alpha, (-1, *[1] * (np.ndim(x) - 1)))
    constant = special.gammaln(np.sum(alpha)) - np.sum(special.gammaln(alpha))
    return constant + np.sum(special.xlogy(columns - 1, x), axis=0)


def _multinomial_density(x: Any, n: Any, p: Any) -> Any:
    from scipy import special

    x = np.asarray(x, float)
    last = 1 - np.sum(p[..., :-1], axis=-1, keepdims=True)
    p = np.concatenate([p[..., :-1], last], axis=-1)
    return special.gammaln(np.asarray(n) + 1.0) + np.sum(
        special.xlogy(x, p) - special.gammaln(x + 1), axis=-1
    )


def _derived(expression: Callable[..., Any], skipped: tuple[int, ...] = ()) -> Callable[[int], Any]:
    def column(i: int) -> Any:
        if i in skipped:
            return None

        def rule(g: Any, ans: Any, *args: Any, **kwargs: Any) -> Any:
            found = pull(expression, i, np.reshape(g, _value_shape(expression, args)), args, kwargs)
            bad = ~np.isfinite(np.asarray(host(ans)))
            return None if bad.all() else found

        return rule

    return column


def _value_shape(expression: Callable[..., Any], args: tuple) -> tuple[int, ...]:
    return np.shape(expression(*host(args)))


def _definite(a: Any, n: int = 3) -> Any:
    x = a(n, n)
    return x @ x.T + n * np.eye(n)


def _normal_samples(rng: Any, dtype: Any) -> Any:
    def a(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(dtype)

    yield (a(4, 3), a(3), _definite(a)), {}
    yield (a(3), a(3), _definite(a)), {}
    yield (a(4), None, np.array(1.5, dtype)), {}
    yield (a(4, 2), a(2), np.abs(a(2)) + 0.5), {}


def _student_samples(rng: Any, dtype: Any) -> Any:
    for (x, loc, matrix), _ in _normal_samples(rng, dtype):
        if loc is not None:
            yield (x, loc, matrix, np.array(3.5, dtype)), {}


def _dirichlet_samples(rng: Any, dtype: Any) -> Any:
    alpha = rng.uniform(1.5, 3, 3).astype(dtype)
    yield (np.array([0.25, 0.375], dtype), alpha), {}
    yield (np.array([[0.25, 0.5], [0.5, 0.125]], dtype), alpha), {}


def _multinomial_samples(rng: Any, dtype: Any) -> Any:
    yield (np.array([1, 2, 3]), 6, np.array([0.2, 0.3, 0.5], dtype)), {}


_SEVERAL = {
    "multivariate_normal": ("logpdf", _normal_density, ("mean", "cov"), (None, 1), _normal_samples),
    "multivariate_t": ("logpdf", _student_density, ("loc", "shape", "df"), (None, 1, 1), _student_samples),
    "dirichlet": ("logpdf", _dirichlet_density, ("alpha",), (None,), _dirichlet_samples),
    "multinomial": ("logpmf", _multinomial_density, ("n", "p"), (None, None), _multinomial_samples),
}
# What a frozen one was made with.
_KEPT: dict[str, Callable[[Any], tuple]] = {
    "multivariate_normal": lambda frozen: (frozen.mean, frozen.cov),
    "multivariate_t": lambda frozen: (frozen.loc, frozen.shape, frozen.df),
    "dirichlet": lambda frozen: (frozen.alpha,),
    "multinomial": lambda frozen: (frozen.n, frozen.p),
}
_PARAMETERS: dict[str, tuple[tuple[str, ...], tuple]] = {}
for _name, (_method, _density, _names, _defaults, _sample) in _SEVERAL.items():
    _dist = getattr(stats, _name, None)
    if _dist is None:
        continue
    _full = f"scipy.stats.{_name}.{_method}"
    row(
        _full,
        lambda x, *p, dist=_dist, method=_method, names=_names, **options: getattr(dist, method)(
            x, **dict(zip(names, p, strict=True)), **options
        ),
        cost="solve",
        joins=64,
        vjp=_derived(_density, (0, 1) if _name == "multinomial" else ()),
        samples=_sample,
    )
    _PARAMETERS[_full] = (_names, _defaults)
    stand_ins[_dist] = _Several(_dist)
