"""SciPy's Bessel, Airy, Kelvin, Struve, Mathieu and parabolic cylinder functions, and integrals of them.

The order is a constant: the derivative by it is not available in closed form.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from minpy.errors import GradientError
from minpy.runtime.primitives.moves import apply, plain
from minpy.runtime.primitives.rules import nothing
from minpy.runtime.primitives.scipy_rules import column, function, guarded, refused
from minpy.runtime.primitives.table import row

add = function("special")

_X = (0.5, 4)
_ORDER = (0.5, 2.5)
_WHOLE = (0, 3, int)


def _real(x):
    """`x`, which must not be complex: the scaled function is no holomorphic one."""
    if np.iscomplexobj(x):
        raise GradientError("a scaled Bessel function of a complex number has no complex derivative")
    return x


def _ordered(names, slope, order=_ORDER, samples=_X):
    """Rows of functions ``f(v, x)``: ``slope(f, ans, v, x)`` is the derivative by x."""
    for name in names.split():
        f = getattr(special, name)
        rule = lambda g, a, v, x, f=f: g * slope(f, a, v, x)
        add(name, column(refused(f"scipy.special.{name}", "the order"), rule), order, samples)


# ----- Bessel functions -------------------------------------------------------------------------------------

add("j0", column(lambda g, a, x: -g * special.j1(x)), _X)
add("y0", column(lambda g, a, x: -g * special.y1(x)), _X)
add("i0", column(lambda g, a, x: g * special.i1(x)), _X)
add("k0", column(lambda g, a, x: -g * special.k1(x)), _X)
add("j1", column(lambda g, a, x: g * (special.j0(x) - special.jv(2, x)) / 2), _X)
add("y1", column(lambda g, a, x: g * (special.y0(x) - special.yv(2, x)) / 2), _X)
add("i1", column(lambda g, a, x: g * (special.i0(x) + special.iv(2, x)) / 2), _X)
add("k1", column(lambda g, a, x: -g * (special.k0(x) + special.kv(2, x)) / 2), _X)
add("i0e", column(lambda g, a, x: g * (special.i1e(x) - np.sign(x) * a)), _X)
add("i1e", column(lambda g, a, x: g * ((special.i0e(x) + special.ive(2, x)) / 2 - np.sign(x) * a)), _X)
add("k0e", column(lambda g, a, x: g * (a - special.k1e(x))), _X)
add("k1e", column(lambda g, a, x: g * (a - (special.k0e(x) + special.kve(2, x)) / 2)), _X)

_ordered("jv yv hankel1 hankel2", lambda f, a, v, x: (f(v - 1, x) - f(v + 1, x)) / 2)
if special.jn is not special.jv:
    _ordered("jn", lambda f, a, v, x: (f(v - 1, x) - f(v + 1, x)) / 2, _WHOLE)
_ordered("yn", lambda f, a, n, x: (f(n - 1, x) - f(n + 1, x)) / 2, _WHOLE)
_ordered("jve yve", lambda f, a, v, x: (f(v - 1, _real(x)) - f(v + 1, x)) / 2)
_ordered("iv", lambda f, a, v, x: (f(v - 1, x) + f(v + 1, x)) / 2)
_ordered("ive", lambda f, a, v, x: (f(v - 1, _real(x)) + f(v + 1, x)) / 2 - np.sign(x) * a)
_ordered("kv", lambda f, a, v, x: -(f(v - 1, x) + f(v + 1, x)) / 2)
_ordered("kn", lambda f, a, n, x: -(f(np.abs(n - 1), x) + f(n + 1, x)) / 2, _WHOLE)
_ordered("kve", lambda f, a, v, x: a - (f(v - 1, x) + f(v + 1, x)) / 2)
_ordered("hankel1e", lambda f, a, v, x: (f(v - 1, x) - f(v + 1, x)) / 2 - 1j * a)
_ordered("hankel2e", lambda f, a, v, x: (f(v - 1, x) - f(v + 1, x)) / 2 + 1j * a)
_ordered("struve modstruve", lambda f, a, v, x: f(v - 1, x) - v / x * a)


def _derivatives(name):
    def sample(rng, dtype):
        for n in ((), (0,), (1,), (2,)):
            yield (1.5, np.asarray(rng.uniform(*_X, (2, 3)), dtype), *n), {}

    row(
        f"scipy.special.{name}",
        cost="transcendental",
        vjp=(
            refused(f"scipy.special.{name}", "the order"),
            lambda g, a, v, z, n=1: g * apply(f"scipy.special.{name}", v, z, n + 1),
            nothing,
        ),
        samples=sample,
    )


for _name in ("jvp", "yvp", "ivp", "kvp", "h1vp", "h2vp"):
    _derivatives(_name)


def _spherical(name, below, above):
    """Of order n: ``(below n f(n - 1) + above (n + 1) f(n + 1)) / (2 n + 1)``, for the derivative too."""

    def rule(g, a, n, z, derivative=False):
        n = np.asarray(plain(n))
        lower = apply(f"scipy.special.{name}", np.maximum(n - 1, 0), z, derivative)
        upper = apply(f"scipy.special.{name}", n + 1, z, derivative)
        return g * (below * n * lower + above * (n + 1) * upper) / (2 * n + 1)

    def sample(rng, dtype):
        yield (2, np.asarray(rng.uniform(*_X, (2, 3)), dtype)), {}
        yield (0, np.asarray(rng.uniform(*_X), dtype)), {}
        yield (np.array([1, 3]), np.asarray(rng.uniform(*_X, 2), dtype), True), {}

    row(
        f"scipy.special.{name}",
        cost="transcendental",
        vjp=(refused(f"scipy.special.{name}", "the order"), rule, nothing),
        samples=sample,
    )


_spherical("spherical_jn", 1, -1)
_spherical("spherical_yn", 1, -1)
_spherical("spherical_in", 1, 1)
_spherical("spherical_kn", -1, -1)

# ----- Airy functions ---------------------------------------------------------------------------------------


def _airy(g, a, x):
    ai, aip, bi, bip = a
    return g[0] * aip + g[1] * (x * ai) + g[2] * bip + g[3] * (x * bi)


def _scaled_airy(g, a, x):
    ai, aip, bi, bip = a
    s = np.sqrt(np.maximum(_real(x), 0))
    return (
        g[0] * (aip + s * ai) + g[1] * (x * ai + s * aip) + g[2] * (bip - s * bi) + g[3] * (x * bi - s * bip)
    )


add("airy", column(_airy), (-2, 2))
add("airye", column(_scaled_airy), (0.3, 3))

# ----- Kelvin functions -------------------------------------------------------------------------------------

add("ber", column(lambda g, a, x: g * special.berp(x)), _X)
add("bei", column(lambda g, a, x: g * special.beip(x)), _X)
add("ker", column(lambda g, a, x: g * special.kerp(x)), _X)
add("kei", column(lambda g, a, x: g * special.keip(x)), _X)


def _over_x(a, x, limit):
    return guarded(x == 0, limit, lambda y: a / y, x, 1.0)


add("berp", column(lambda g, a, x: -g * (special.bei(x) + _over_x(a, x, 0.0))), _X)
add("beip", column(lambda g, a, x: g * (special.ber(x) - _over_x(a, x, 0.5))), _X)
add("kerp", column(lambda g, a, x: -g * (special.kei(x) + a / x)), _X)
add("keip", column(lambda g, a, x: g * (special.ker(x) - a / x)), _X)


def _kelvin(g, a, x):
    be, ke, bep, kep = a
    return g[0] * bep + g[1] * kep + g[2] * (1j * be - _over_x(bep, x, 0.5j)) + g[3] * (1j * ke - kep / x)


add("kelvin", column(_kelvin), _X)

# ----- integrals --------------------------------------------------------------------------------------------


def _pair(first, second):
    return column(lambda g, a, x: g[0] * first(x) + g[1] * second(x))


add("itj0y0", _pair(special.j0, special.y0), _X)
add("iti0k0", _pair(special.i0, special.k0), _X)
add("it2j0y0", _pair(lambda x: (1 - special.j0(x)) / x, lambda x: -special.y0(x) / x), _X)
add("it2i0k0", _pair(lambda x: (special.i0(x) - 1) / x, lambda x: -special.k0(x) / x), _X)
add("itstruve0", column(lambda g, a, x: g * special.struve(0, x)), _X)
add("it2struve0", column(lambda g, a, x: -g * special.struve(0, x) / x), _X)
add("itmodstruve0", column(lambda g, a, x: g * special.modstruve(0, x)), _X)


def _integrated_airy(g, a, x):
    ahead, behind = special.airy(x), special.airy(-x)
    return g[0] * ahead[0] + g[1] * ahead[2] + g[2] * behind[0] + g[3] * behind[2]


add("itairy", column(_integrated_airy), (0.3, 2))

# ----- functions that come with their derivative and solve w'' = c(x) w --------------------------------------


def _second_order(name, coefficient, parameters, bounds, unit=1.0):
    refusals = [refused(f"scipy.special.{name}", p) for p in parameters]

    def rule(g, a, *operands):
        w, slope = a
        return g[0] * (slope * unit) + g[1] * (coefficient(*operands) * w * unit)

    add(name, column(*refusals, rule), *bounds)


for _name in ("pbdv", "pbvv"):
    _second_order(_name, lambda v, x: x * x / 4 - v - 0.5, ("the order",), (_ORDER, (-1, 1)))
_second_order("pbwa", lambda a, x: a - x * x / 4, ("a",), (_ORDER, (-1, 1)))

_DEGREE = math.pi / 180
for _kind, _characteristic in (("ce", special.mathieu_a), ("se", special.mathieu_b)):
    _parameters, _bounds = ("the order", "q"), ((1, 3, int), (0.5, 2))

    def _angular(m, q, x, of=_characteristic):
        return 2 * q * np.cos(2 * _DEGREE * x) - of(m, q)

    def _radial(m, q, x, of=_characteristic):
        return of(m, q) - 2 * q * np.cosh(2 * x)

    _second_order(f"mathieu_{_kind}m", _angular, _parameters, (*_bounds, (-60, 60)), _DEGREE)
    for _number in "12":
        _second_order(f"mathieu_mod{_kind}m{_number}", _radial, _parameters, (*_bounds, (0.3, 1)))
