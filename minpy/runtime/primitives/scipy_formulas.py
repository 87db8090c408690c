"""Log densities and distribution functions that SciPy computes in compiled code or element by element, from functions
that have rules: of standardized values inside the support, where the parameters are allowed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from minpy.runtime.array import host

_LOG_ROOT = 0.5 * math.log(2 * math.pi)


def _normal(x: Any) -> Any:
    return -x * x / 2 - _LOG_ROOT


def _log1p_over(v: Any) -> Any:
    """``log1p(v) / v``, which is 1 at 0."""
    small = np.abs(v) < 0.02
    series = sum((-v) ** k / (k + 1) for k in range(11))
    if np.all(small):
        return series
    safe = np.where(small, 1.0, v)
    return np.where(small, series, np.log1p(safe) / safe)


def _t(x: Any, df: Any) -> Any:
    infinite = np.isinf(host(df))
    if np.all(infinite):
        return _normal(x)
    if np.any(infinite):
        return np.where(infinite, _normal(x), _t(x, np.where(infinite, 1.0, df)))
    constant = special.gammaln((df + 1) / 2) - special.gammaln(df / 2) - 0.5 * np.log(df * math.pi)
    return constant - (df + 1) / 2 * np.log1p(x * x / df)


def _lognorm(x: Any, s: Any) -> Any:
    return -(np.log(x) ** 2) / (2 * s * s) - np.log(s * x) - _LOG_ROOT


def _genextreme(x: Any, c: Any) -> Any:
    w = -x * _log1p_over(-c * x)
    return w - np.exp(w) - c * w


def _genpareto(x: Any, c: Any) -> Any:
    return -(c + 1) * x * _log1p_over(c * x)


def _gengamma(x: Any, a: Any, c: Any) -> Any:
    return np.log(np.abs(c)) + special.xlogy(c * a - 1, x) - x**c - special.gammaln(a)


def _genhalflogistic(x: Any, c: Any) -> Any:
    base = np.log1p(-c * x)
    return math.log(2) + (1 / c - 1) * base - 2 * np.log1p(np.exp(base / c))


def _fisk(x: Any, c: Any) -> Any:
    return np.log(c) - (c + 1) * np.log(x) - 2 * np.log1p(x**-c)


def _skewnorm(x: Any, a: Any) -> Any:
    return math.log(2) + _normal(x) + special.log_ndtr(a * x)


def _triang(x: Any, c: Any) -> Any:
    rising = (x < c) | (c == 1)
    up = x / np.where(rising, c, 1.0)
    down = (1 - x) / np.where(rising, 1.0, 1 - c)
    return math.log(2) + np.log(np.where(rising, up, down))


def _trapezoid(x: Any, c: Any, d: Any) -> Any:
    rising, falling = x < c, x > d
    slope = np.where(rising, x / np.where(rising, c, 1.0), 1.0)
    slope = np.where(falling, (1 - x) / np.where(falling, 1 - d, 1.0), slope)
    return np.log(2 * slope / (d - c + 1))


def _truncnorm(x: Any, a: Any, b: Any) -> Any:
    # In the tail where the normal distribution function is small.
    right = a > 0
    low = special.log_ndtr(np.where(right, -b, a))
    high = special.log_ndtr(np.where(right, -a, b))
    return _normal(x) - high - np.log1p(-np.exp(low - high))


def _truncpareto(x: Any, b: Any, c: Any) -> Any:
    return np.log(b) - np.log(-np.expm1(-b * np.log(c))) - (b + 1) * np.log(x)


def _geninvgauss(x: Any, p: Any, b: Any) -> Any:
    return (p - 1) * np.log(x) - b * (x + 1 / x - 2) / 2 - math.log(2) - np.log(special.kve(p, b))


def _recipinvgauss(x: Any, mu: Any) -> Any:
    return -((1 - mu * x) ** 2) / (2 * x * mu * mu) - 0.5 * np.log(x) - _LOG_ROOT


def _crystalball(x: Any, beta: Any, m: Any) -> Any:
    ratio = m / beta
    whole = ratio / (m - 1) * np.exp(-beta * beta / 2) + math.sqrt(2 * math.pi) * special.ndtr(beta)
    core = x > -beta
    tail = m * np.log(ratio) - beta * beta / 2 - m * np.log(np.where(core, 1.0, ratio - beta - x))
    return np.where(core, -x * x / 2, tail) - np.log(whole)


def _pearson3(x: Any, skew: Any) -> Any:
    straight = np.abs(skew) < 1.6e-5  # as SciPy does
    s = np.where(straight, 1.0, skew)
    a = 4 / (s * s)
    y = 2 / s * (x + 2 / s)
    y = np.where(straight, 1.0, y)
    gamma = np.log(2 / np.abs(s)) + special.xlogy(a - 1, y) - y - special.gammaln(a)
    return np.where(straight, _normal(x), gamma)


def _genhyperbolic(x: Any, p: Any, a: Any, b: Any) -> Any:
    root, radius = np.sqrt(a * a - b * b), np.sqrt(1 + x * x)
    constant = p * np.log(root) - (p - 0.5) * np.log(a) - _LOG_ROOT - np.log(special.kve(p, root)) + root
    bessel = np.log(special.kve(p - 0.5, a * radius)) - a * radius
    return constant + b * x + bessel + (p - 0.5) * np.log(radius)


def _ncx2(x: Any, df: Any, nc: Any) -> Any:
    order = df / 2 - 1
    half = np.sqrt(x) - np.sqrt(nc)
    bessel = np.log(special.ive(order, np.sqrt(nc * x)))
    return order / 2 * np.log(x / nc) - half * half / 2 - math.log(2) + bessel


def _skellam(k: Any, m: Any, n: Any) -> Any:
    bessel = np.log(special.ive(np.abs(host(k)), 2 * np.sqrt(m * n)))
    return k / 2 * np.log(m / n) - (np.sqrt(m) - np.sqrt(n)) ** 2 + bessel


def _truncnorm_cdf(x: Any, a: Any, b: Any) -> Any:
    right = a > 0
    low, here, high = (np.where(right, special.ndtr(-v), special.ndtr(v)) for v in (a, x, b))
    return (here - low) / (high - low)


def _triang_cdf(x: Any, c: Any) -> Any:
    rising = (x < c) | (c == 1)
    up = x * x / np.where(rising, c, 1.0)
    return np.where(rising, up, 1 - (1 - x) ** 2 / np.where(rising, 1.0, 1 - c))


def _burr(x: Any, c: Any, d: Any) -> Any:
    return np.log(c * d) - (c + 1) * np.log(x) - (d + 1) * np.log1p(x**-c)


FORMULAS: dict[str, dict[str, Callable[..., Any]]] = {
    "burr": {"logpdf": _burr, "cdf": lambda x, c, d: (1 + x**-c) ** -d},
    "cauchy": {"logpdf": lambda x: -np.log(math.pi * (1 + x * x))},
    "cosine": {"logpdf": lambda x: np.log1p(np.cos(x)) - math.log(2 * math.pi)},
    "crystalball": {"logpdf": _crystalball},
    "fisk": {"logpdf": _fisk, "cdf": lambda x, c: 1 / (1 + x**-c)},
    "genextreme": {"logpdf": _genextreme, "cdf": lambda x, c: np.exp(-np.exp(-x * _log1p_over(-c * x)))},
    "gengamma": {"logpdf": _gengamma},
    "genhalflogistic": {"logpdf": _genhalflogistic},
    "genhyperbolic": {"logpdf": _genhyperbolic},
    "geninvgauss": {"logpdf": _geninvgauss},
    "genpareto": {"logpdf": _genpareto, "cdf": lambda x, c: -np.expm1(-x * _log1p_over(c * x))},
    "gibrat": {"logpdf": lambda x: _lognorm(x, 1.0)},
    "lognorm": {"logpdf": _lognorm, "cdf": lambda x, s: special.ndtr(np.log(x) / s)},
    "ncx2": {"logpdf": _ncx2},
    "pearson3": {"logpdf": _pearson3},
    "recipinvgauss": {"logpdf": _recipinvgauss},
    "skewnorm": {"logpdf": _skewnorm, "cdf": lambda x, a: special.ndtr(x) - 2 * special.owens_t(x, a)},
    "t": {"logpdf": _t, "cdf": lambda x, df: special.stdtr(df, x)},
    "trapezoid": {"logpdf": _trapezoid},
    "triang": {"logpdf": _triang, "cdf": _triang_cdf},
    "truncnorm": {"logpdf": _truncnorm, "cdf": _truncnorm_cdf},
    "truncpareto": {"logpdf": _truncpareto},
    # Discrete ones.
    "binom": {"cdf": lambda k, n, p: special.bdtr(np.floor(k), np.asarray(host(n)).astype(int), p)},
    "bernoulli": {"cdf": lambda k, p: np.where(host(k) < 1, 1 - p, 1.0)},
    "skellam": {"logpmf": _skellam},
    "geom": {"cdf": lambda k, p: -np.expm1(np.floor(k) * np.log1p(-p))},
    "nbinom": {"cdf": lambda k, n, p: special.betainc(n, np.floor(k) + 1, p)},
}
