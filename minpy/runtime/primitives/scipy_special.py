"""SciPy's element-wise functions of exponentials, logarithms, error functions and integrals of these."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from minpy.runtime.primitives.rules import divide
from minpy.runtime.primitives.scipy_rules import column, function, guarded, refused
from minpy.runtime.primitives.table import row

add = function("special")

_ROOT = math.sqrt(math.pi)
_NORMAL = 1 / math.sqrt(2 * math.pi)

# ----- exponentials and logarithms --------------------------------------------------------------------------


def exprel_slope(x):
    """The derivative of ``(exp(x) - 1) / x``."""
    small = np.abs(x) < 0.1
    series = sum(x**k * ((k + 1) / math.factorial(k + 2)) for k in range(11))
    if np.all(small):
        return series
    return np.where(small, series, _exprel_slope(np.where(small, 1.0, x)))


def _exprel_slope(x):
    # Two forms, so that neither overflows where the derivative does not.
    return (np.exp(x) - special.exprel(x)) / x


add("expm1", column(lambda g, a, x: g * (a + 1)), (-2, 2))
add("exp2", column(lambda g, a, x: g * (a * math.log(2))), (-2, 2))
add("exp10", column(lambda g, a, x: g * (a * math.log(10))), (-2, 2))
add("exprel", column(lambda g, a, x: g * exprel_slope(x)), (-2, 2))
add("log1p", column(lambda g, a, x: g / (1 + x)), (-0.8, 3))
add("cbrt", column(lambda g, a, x: divide(g, 3 * a * a)), (0.3, 3))
add("cosm1", column(lambda g, a, x: -g * np.sin(x)), (-3, 3))
add(
    "powm1",
    column(lambda g, a, x, y: g * (y * x ** (y - 1)), lambda g, a, x, y: g * ((a + 1) * np.log(x))),
    (0.3, 2),
    (-2, 2),
)
add("expit", column(lambda g, a, x: g * (a * special.expit(-x))), (-3, 3))
add("logit", column(lambda g, a, x: g / (x * (1 - x))), (0.1, 0.9))
add("log_expit", column(lambda g, a, x: g * special.expit(-x)), (-3, 3))


def _xlogy(g, a, x, y):
    both = (x == 0) & (y == 0)
    return g * guarded(both, 0.0, np.log, y, 1.0)


def _xlogy_log(g, a, x, y):
    both = (x == 0) & (y == 0)
    return g * guarded(both, 0.0, lambda y: x / y, y, 1.0)


def _xlog1py(g, a, x, y):
    both = (x == 0) & (y == -1)
    return g * guarded(both, 0.0, np.log1p, y, 1.0)


def _xlog1py_log(g, a, x, y):
    both = (x == 0) & (y == -1)
    return g * guarded(both, 0.0, lambda y: x / (1 + y), y, 1.0)


add("xlogy", column(_xlogy, _xlogy_log), (0.2, 3), (0.2, 3))
add("xlog1py", column(_xlog1py, _xlog1py_log), (0.2, 3), (-0.7, 3))


def _entr(g, a, x):
    return g * guarded(x <= 0, 0.0, lambda x: -np.log(x) - 1, x, 1.0)


def _relative(x, y, constant):
    # The derivative by x is unbounded at x = 0: there the sub-gradient zero, as for a square root.
    inside = (x > 0) & (y > 0)
    return np.where(inside, np.log(np.where(inside, x, 1.0) / np.where(inside, y, 1.0)) + constant, 0.0)


def _ratio(x, y):
    inside = (x >= 0) & (y > 0)
    return np.where(inside, x / np.where(inside, y, 1.0), 0.0)


add("entr", column(_entr), (0.2, 3))
add(
    "rel_entr",
    column(lambda g, a, x, y: g * _relative(x, y, 1), lambda g, a, x, y: -g * _ratio(x, y)),
    (0.2, 3),
    (0.2, 3),
)
add(
    "kl_div",
    column(lambda g, a, x, y: g * _relative(x, y, 0), lambda g, a, x, y: g * (1 - _ratio(x, y))),
    (0.2, 3),
    (0.2, 3),
)

# ----- losses and transformations of data -------------------------------------------------------------------


def _pseudo_huber_delta(g, a, delta, r):
    s = np.sqrt(1 + divide(r, delta) ** 2)
    return g * (2 * delta * (s - 1) - divide(r * r, delta * s))


add(
    "huber",
    column(
        lambda g, a, delta, r: g * np.where(np.abs(r) <= delta, 0, np.abs(r) - delta),
        lambda g, a, delta, r: g * np.clip(r, -delta, delta),
    ),
    (0.5, 2),
    (-3, 3),
)
add(
    "pseudo_huber",
    column(_pseudo_huber_delta, lambda g, a, delta, r: g * r / np.sqrt(1 + divide(r, delta) ** 2)),
    (0.5, 2),
    (-3, 3),
)


def _log_slope(v):
    # The derivative of log1p(v) / v.
    small = np.abs(v) < 0.02
    series = sum((-1) ** k * v ** (k - 1) * (k / (k + 1)) for k in range(1, 11))
    if np.all(small):
        return series
    v = np.where(small, 1.0, v)
    return np.where(small, series, (1 / (1 + v) - np.log1p(v) / v) / v)


add(
    "boxcox",
    column(
        lambda g, a, x, p: g * x ** (p - 1),
        lambda g, a, x, p: g * np.log(x) ** 2 * exprel_slope(p * np.log(x)),
    ),
    (0.3, 3),
    (-2, 2),
)
add(
    "boxcox1p",
    column(
        lambda g, a, x, p: g * (1 + x) ** (p - 1),
        lambda g, a, x, p: g * np.log1p(x) ** 2 * exprel_slope(p * np.log1p(x)),
    ),
    (-0.6, 3),
    (-2, 2),
)
add(
    "inv_boxcox",
    column(
        lambda g, a, y, p: g * a ** (1 - p),
        lambda g, a, y, p: g * a * y * y * _log_slope(p * y),
    ),
    (0.1, 1),
    (0.1, 2),
)
add(
    "inv_boxcox1p",
    column(
        lambda g, a, y, p: g * (a + 1) ** (1 - p),
        lambda g, a, y, p: g * (a + 1) * y * y * _log_slope(p * y),
    ),
    (0.1, 1),
    (0.1, 2),
)

# ----- error functions and the normal distribution ----------------------------------------------------------

add("erf", column(lambda g, a, x: g * (2 / _ROOT * np.exp(-x * x))), (-2, 2))
add("erfc", column(lambda g, a, x: g * (-2 / _ROOT * np.exp(-x * x))), (-2, 2))
add("erfi", column(lambda g, a, x: g * (2 / _ROOT * np.exp(x * x))), (-2, 2))
add("erfcx", column(lambda g, a, x: g * (2 * x * a - 2 / _ROOT)), (-2, 2))
add("erfinv", column(lambda g, a, x: g * (_ROOT / 2 * np.exp(a * a))), (-0.8, 0.8))
add("erfcinv", column(lambda g, a, x: g * (-_ROOT / 2 * np.exp(a * a))), (0.2, 1.8))
add("dawsn", column(lambda g, a, x: g * (1 - 2 * x * a)), (-2, 2))
add("wofz", column(lambda g, a, z: g * (2j / _ROOT - 2 * z * a)), (-2, 2))
add("ndtr", column(lambda g, a, x: g * (_NORMAL * np.exp(-x * x / 2))), (-2, 2))
add("log_ndtr", column(lambda g, a, x: g * (_NORMAL * np.exp(-x * x / 2 - a))), (-3, 2))
add("ndtri", column(lambda g, a, p: g * (np.exp(a * a / 2) / _NORMAL)), (0.1, 0.9))
add("ndtri_exp", column(lambda g, a, y: g * (np.exp(y + a * a / 2) / _NORMAL)), (-3, -0.1))
add(
    "owens_t",
    column(
        lambda g, a, h, s: g * (-_NORMAL / 2 * np.exp(-h * h / 2) * special.erf(s * h / math.sqrt(2))),
        lambda g, a, h, s: g * np.exp(-h * h * (1 + s * s) / 2) / (2 * math.pi * (1 + s * s)),
    ),
    (-2, 2),
    (-2, 2),
)


def _faddeeva(x, sigma, gamma):
    z = (x + 1j * gamma) / (sigma * math.sqrt(2))
    w = special.wofz(z)
    return z, (2j / _ROOT - 2 * z * w) / (sigma * math.sqrt(2 * math.pi))


def _voigt_x(g, a, x, sigma, gamma):
    _, slope = _faddeeva(x, sigma, gamma)
    return g * np.real(slope) / (sigma * math.sqrt(2))


def _voigt_sigma(g, a, x, sigma, gamma):
    z, slope = _faddeeva(x, sigma, gamma)
    return -g * (a + np.real(slope * z)) / sigma


def _voigt_gamma(g, a, x, sigma, gamma):
    _, slope = _faddeeva(x, sigma, gamma)
    return -g * np.imag(slope) / (sigma * math.sqrt(2))


add("voigt_profile", column(_voigt_x, _voigt_sigma, _voigt_gamma), (-2, 2), (0.5, 2), (0.5, 2))

# ----- integrals --------------------------------------------------------------------------------------------


def _over(f, limit):
    """``f(x) / x``, `limit` at 0."""
    return lambda x: guarded(x == 0, limit, lambda x: f(x) / x, x, 1.0)


_sine_over, _sinh_over = _over(np.sin, 1.0), _over(np.sinh, 1.0)


def _two(first, second):
    """The rule of a function of one operand with two results, which have these derivatives."""
    return column(lambda g, a, x: g[0] * first(x) + g[1] * second(x))


add("exp1", column(lambda g, a, x: -g * np.exp(-x) / x), (0.3, 3))
add("expi", column(lambda g, a, x: g * np.exp(x) / x), (0.3, 3))
# The second results are infinite at 0: there zero, so that the first ones have their derivative.
add("sici", column(lambda g, a, x: g[0] * _sine_over(x) + divide(g[1] * np.cos(x), x)), (0.3, 3))
add("shichi", column(lambda g, a, x: g[0] * _sinh_over(x) + divide(g[1] * np.cosh(x), x)), (0.3, 3))
add("fresnel", _two(lambda x: np.sin(math.pi / 2 * x * x), lambda x: np.cos(math.pi / 2 * x * x)), (-2, 2))
add(
    "modfresnelp",
    column(
        lambda g, a, x: -g[0] * np.exp(1j * x * x) - g[1] * (2j * x * a[1] + np.exp(-0.25j * math.pi) / _ROOT)
    ),
    (0.2, 1),
)
add(
    "modfresnelm",
    column(
        lambda g, a, x: -g[0] * np.exp(-1j * x * x) + g[1] * (2j * x * a[1] - np.exp(0.25j * math.pi) / _ROOT)
    ),
    (0.2, 1),
)


def _expn(g, a, n, x):
    lower = special.expn(np.maximum(np.asarray(n) - 1, 0), x)
    return -g * np.where(np.asarray(n) == 0, np.exp(-x) * (1 / x + 1 / (x * x)), lower)


add("expn", column(refused("scipy.special.expn", "the order n"), _expn), (0, 3, int), (0.3, 3))


def _spence(g, a, z):
    return g * guarded(z == 1, -1.0, lambda z: np.log(z) / (1 - z), z, 2.0)


add("spence", column(_spence), (0.2, 0.8))
add("wrightomega", column(lambda g, a, z: g * a / (1 + a)), (-2, 3))
row(
    "scipy.special._ufuncs._lambertw",
    getattr(special._ufuncs, "_lambertw", None),
    cost="transcendental",
    vjp=(lambda g, a, z, *rest: g * np.exp(-a) / (1 + a), None, None),
)

# ----- angles in degrees ------------------------------------------------------------------------------------

_DEGREE = math.pi / 180

add("sindg", column(lambda g, a, x: g * (_DEGREE * special.cosdg(x))), (-90, 90))
add("cosdg", column(lambda g, a, x: -g * (_DEGREE * special.sindg(x))), (-90, 90))
add("tandg", column(lambda g, a, x: g * (_DEGREE * (1 + a * a))), (-40, 40))
add("cotdg", column(lambda g, a, x: -g * (_DEGREE * (1 + a * a))), (30, 80))
add(
    "radian",
    column(
        lambda g, a, d, m, s: g * _DEGREE,
        lambda g, a, d, m, s: g * (_DEGREE / 60),
        lambda g, a, d, m, s: g * (_DEGREE / 3600),
    ),
    (0, 90),
    (0, 60),
    (0, 60),
)
add("round", None, (-3, 3), flat=True)
