"""SciPy's orthogonal polynomials, hypergeometric and Wright's functions: the degree and parameters are constants,
except where the derivative by them is closed."""

from __future__ import annotations

import numpy as np
from scipy import special

from minpy.runtime.primitives.moves import plain
from minpy.runtime.primitives.scipy_rules import column, function, refused

add = function("special")

_DEGREE = (0, 4, int)
_INSIDE = (-0.9, 0.9)


def _lower(n, polynomial):
    """`polynomial` of degree ``n - 1``; zero for degree 0."""
    n = np.asarray(plain(n))
    lower = polynomial(np.maximum(n - 1, 0))
    return np.where(n >= 1, lower, 0) if not np.all(n >= 1) else lower


def _polynomial(name, slope, parameters=(), bounds=(), x=_INSIDE):
    """The row of ``name(n, *parameters, x)``: ``slope(n, *parameters, x)`` is the derivative by x."""
    names = ["the degree", *parameters]
    refusals = [refused(f"scipy.special.{name}", p) for p in names]
    add(name, column(*refusals, lambda g, a, *operands: g * slope(*operands)), _DEGREE, *bounds, x)


def _gegenbauer(n, a, x):
    return _lower(n, lambda m: special.eval_gegenbauer(m, a, x))


def _second(n, x):
    return np.asarray(n) * _lower(n, lambda m: special.eval_chebyu(m, x))


_polynomial("eval_legendre", lambda n, x: _gegenbauer(n, 1.5, x))
_polynomial("eval_sh_legendre", lambda n, x: 2 * _gegenbauer(n, 1.5, 2 * x - 1), x=(0.1, 0.9))
_polynomial("eval_chebyt", _second)
_polynomial("eval_chebyu", lambda n, x: 2 * _gegenbauer(n, 2.0, x))
_polynomial("eval_chebyc", lambda n, x: _second(n, x / 2))
_polynomial("eval_chebys", lambda n, x: _gegenbauer(n, 2.0, x / 2))
_polynomial("eval_sh_chebyt", lambda n, x: 2 * _second(n, 2 * x - 1), x=(0.1, 0.9))
_polynomial("eval_sh_chebyu", lambda n, x: 4 * _gegenbauer(n, 2.0, 2 * x - 1), x=(0.1, 0.9))
_polynomial("eval_gegenbauer", lambda n, a, x: 2 * a * _gegenbauer(n, a + 1, x), ("alpha",), ((0.5, 2),))
_polynomial("eval_hermite", lambda n, x: 2 * np.asarray(n) * _lower(n, lambda m: special.eval_hermite(m, x)))
_polynomial(
    "eval_hermitenorm", lambda n, x: np.asarray(n) * _lower(n, lambda m: special.eval_hermitenorm(m, x))
)
_polynomial(
    "eval_laguerre", lambda n, x: -_lower(n, lambda m: special.eval_genlaguerre(m, 1.0, x)), x=(0.1, 3)
)
_polynomial(
    "eval_genlaguerre",
    lambda n, a, x: -_lower(n, lambda m: special.eval_genlaguerre(m, a + 1, x)),
    ("alpha",),
    ((0.5, 2),),
    (0.1, 3),
)


def _jacobi(n, a, b, x):
    return (n + a + b + 1) / 2 * _lower(n, lambda m: special.eval_jacobi(m, a + 1, b + 1, x))


def _shifted_jacobi(n, p, q, x):
    return 2 * _jacobi(n, p - q, q - 1, 2 * x - 1) / special.binom(2 * n + p - 1, n)


_polynomial("eval_jacobi", _jacobi, ("alpha", "beta"), ((0.5, 2), (0.5, 2)))
_polynomial("eval_sh_jacobi", _shifted_jacobi, ("p", "q"), ((2, 3), (0.5, 1.5)), (0.1, 0.9))


def _associated(g, a, m, v, x):
    return g * (v * x * a - (v + m) * special.lpmv(m, v - 1, x)) / (x * x - 1)


add(
    "lpmv",
    column(
        refused("scipy.special.lpmv", "the order"), refused("scipy.special.lpmv", "the degree"), _associated
    ),
    (0, 2, int),
    (2, 4, int),
    _INSIDE,
)

# ----- hypergeometric functions -----------------------------------------------------------------------------


def _last(name, parameters, slope, *bounds):
    """The row of ``name(*parameters, x)`` with the derivative by x only: ``slope(ans, *operands)``."""
    refusals = [refused(f"scipy.special.{name}", p) for p in parameters]
    add(name, column(*refusals, lambda g, a, *operands: g * slope(a, *operands)), *bounds)


_P = (0.5, 2)
_last("hyp0f1", ("v",), lambda y, v, z: special.hyp0f1(v + 1, z) / v, _P, (-1, 1))
_last("hyp1f1", "ab", lambda y, a, b, x: a / b * special.hyp1f1(a + 1, b + 1, x), _P, _P, (-1, 1))
_last(
    "hyp2f1",
    "abc",
    lambda y, a, b, c, z: a * b / c * special.hyp2f1(a + 1, b + 1, c + 1, z),
    _P,
    _P,
    _P,
    (-0.7, 0.7),
)
_last("hyperu", "ab", lambda y, a, b, x: -a * special.hyperu(a + 1, b + 1, x), _P, _P, (0.5, 2))
_last("wright_bessel", "ab", lambda y, a, b, x: special.wright_bessel(a, a + b, x), _P, _P, (0.2, 2))
_last(
    "log_wright_bessel",
    "ab",
    lambda y, a, b, x: np.exp(special.log_wright_bessel(a, a + b, x) - y),
    _P,
    _P,
    (0.2, 2),
)
