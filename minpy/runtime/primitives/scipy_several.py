"""Distributions of several variables of ``scipy.stats``: log densities by formulas that have rules.

The value is SciPy's, as in `scipy_stats`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from minpy.runtime import dispatch
from minpy.runtime.array import host
from minpy.runtime.primitives.rules import pull
from minpy.runtime.primitives.scipy_rules import stand_ins
from minpy.runtime.primitives.table import Primitive, by_name, row


def moving(values: Any) -> bool:
    """Whether there is an `Array` among the values, which a tape may follow."""
    found: list = []
    dispatch.collect(values, found)
    return bool(found)


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
        if moving((*args, *kwds.values())):
            return _Several(self._original, args, kwds, True)
        return self._original(*args, **kwds)

    def __getattr__(self, name: str) -> Any:
        log = "log" + name.removeprefix("log")
        primitive: Primitive | None = by_name.get(f"scipy.stats.{type(self._original).__name__[:-4]}.{log}")
        if primitive is None:
            return getattr(self._plain(), name)

        def method(x: Any, *args: Any, **kwds: Any) -> Any:
            if not moving((x, *args, *kwds.values(), *self._args, *self._kwds.values())):
                return getattr(self._plain(), name)(x, *args, **kwds)
            names, defaults = _PARAMETERS[primitive.name]
            values, rest = _positional(names, defaults, (*self._args, *args), {**self._kwds, **kwds})
            found = dispatch.call(primitive, (x, *values), rest)
            return found if log == name else np.exp(found)

        return method

    def _plain(self) -> Any:
        return self._original(*host(self._args), **host(self._kwds)) if self._frozen else self._original


def several(value: Any) -> Any:
    """What stands for `value` if it is a distribution of several variables, frozen or not; else None."""
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
