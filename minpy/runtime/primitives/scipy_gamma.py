"""SciPy's gamma and beta functions, and the distribution functions that are incomplete ones of these."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from minpy.runtime.primitives.moves import apply, plain
from minpy.runtime.primitives.scipy_rules import column, function, refused
from minpy.runtime.primitives.table import row

add = function("special")
psi = special.psi


def _polygamma_sample(rng, dtype):
    for n in (0, 1, 3):
        yield (n, np.asarray(rng.uniform(0.5, 3, (3, 2)), dtype)), {}
    yield (np.array([0, 2]), np.asarray(rng.uniform(0.5, 3), dtype)), {}


def polygamma(n, x):
    """``scipy.special.polygamma``, on the tape if one records."""
    return apply("scipy.special.polygamma", n, x)


row(
    "scipy.special.polygamma",
    cost="transcendental",
    vjp=(
        refused("scipy.special.polygamma", "the order n"),
        lambda g, a, n, x: g * polygamma(np.asarray(n) + 1, x),
    ),
    samples=_polygamma_sample,
)


def _zeta(g, a, s, q):
    return -g * s * special._ufuncs._zeta(s + 1, q)


row(
    "scipy.special._ufuncs._zeta",
    getattr(special._ufuncs, "_zeta", None),
    cost="transcendental",
    vjp=column(refused("scipy.special.zeta", "x"), _zeta),
)

# ----- the gamma function -----------------------------------------------------------------------------------


def _rgamma(g, a, x):
    if np.iscomplexobj(x):
        return -g * a * psi(x)
    # At its zeros, where psi has poles, the derivative is (-1)^n n!.
    zero = (x <= 0) & (x == np.floor(x))
    if not np.any(zero):
        return -g * a * psi(x)
    n = np.where(zero, -plain(x), 0)
    return g * np.where(
        zero, np.where(n % 2 == 0, 1.0, -1.0) * special.gamma(n + 1), -a * psi(np.where(zero, 1.0, x))
    )


add("gamma", column(lambda g, a, x: g * a * psi(x)), (0.5, 4))
add("gammaln loggamma", column(lambda g, a, x: g * psi(x)), (0.5, 4))
add("rgamma", column(_rgamma), (0.5, 4))
add("digamma psi", column(lambda g, a, x: g * polygamma(1, x)), (0.5, 4))
add("gammasgn", None, (0.5, 4), flat=True)
add(
    "poch",
    column(lambda g, a, z, m: g * a * (psi(z + m) - psi(z)), lambda g, a, z, m: g * a * psi(z + m)),
    (0.5, 3),
    (0.5, 3),
)
add(
    "binom",
    column(
        lambda g, a, n, k: g * a * (psi(n + 1) - psi(n - k + 1)),
        lambda g, a, n, k: g * a * (psi(n - k + 1) - psi(k + 1)),
    ),
    (4, 8),
    (0.5, 3),
)
add(
    "beta",
    column(
        lambda g, a, x, y: g * a * (psi(x) - psi(x + y)), lambda g, a, x, y: g * a * (psi(y) - psi(x + y))
    ),
    (0.5, 3),
    (0.5, 3),
)
add(
    "betaln",
    column(lambda g, a, x, y: g * (psi(x) - psi(x + y)), lambda g, a, x, y: g * (psi(y) - psi(x + y))),
    (0.5, 3),
    (0.5, 3),
)

# ----- incomplete gamma and beta functions, and their inverses ----------------------------------------------


def gamma_density(a, x):
    """The derivative of ``gammainc(a, x)`` by `x`."""
    return np.exp(special.xlogy(a - 1, x) - x - special.gammaln(a))


def beta_density(a, b, x):
    """The derivative of ``betainc(a, b, x)`` by `x`."""
    return np.exp(special.xlogy(a - 1, x) + special.xlog1py(b - 1, -x) - special.betaln(a, b))


def _distribution(names, density, parameters, *bounds, inverse=None, sign=1):
    """Rows of a distribution function ``f(*parameters, x)`` and its inverse, which have a density."""
    count = len(parameters)
    for name in names.split():
        refusals = [refused(f"scipy.special.{name}", p) for p in parameters]
        add(name, column(*refusals, lambda g, a, *p: g * (sign * density(*p[:count], p[count]))), *bounds)
    if inverse is not None:
        refusals = [refused(f"scipy.special.{inverse}", p) for p in parameters]
        add(
            inverse,
            column(*refusals, lambda g, a, *p: g / (sign * density(*p[:count], a))),
            *bounds[:-1],
            (0.2, 0.8),
        )


_SHAPE = (0.6, 4)
_distribution("gammainc", gamma_density, ("a",), _SHAPE, (0.3, 3), inverse="gammaincinv")
_distribution("gammaincc", gamma_density, ("a",), _SHAPE, (0.3, 3), inverse="gammainccinv", sign=-1)
_distribution("betainc", beta_density, ("a", "b"), _SHAPE, _SHAPE, (0.1, 0.9), inverse="betaincinv")
_distribution(
    "betaincc", beta_density, ("a", "b"), _SHAPE, _SHAPE, (0.1, 0.9), inverse="betainccinv", sign=-1
)


def _chi_square(v, x):
    return 0.5 * gamma_density(v / 2, x / 2)


def _f(dfn, dfd, x):
    share = dfn * x / (dfd + dfn * x)
    return beta_density(dfn / 2, dfd / 2, share) * dfn * dfd / (dfd + dfn * x) ** 2


def _student(df, t):
    scale = special.gammaln((df + 1) / 2) - special.gammaln(df / 2)
    return np.exp(scale - (df + 1) / 2 * np.log1p(t * t / df)) / np.sqrt(df * math.pi)


_distribution("chdtr", _chi_square, ("v",), (1, 5), (0.5, 4))
_distribution("chdtrc", _chi_square, ("v",), (1, 5), (0.5, 4), inverse="chdtri", sign=-1)
_distribution("fdtr", _f, ("dfn", "dfd"), (2, 5), (2, 5), (0.3, 3), inverse="fdtri")
_distribution("fdtrc", _f, ("dfn", "dfd"), (2, 5), (2, 5), (0.3, 3), sign=-1)
_distribution("stdtr", _student, ("df",), (1, 5), (-2, 2), inverse="stdtrit")

# The gamma distribution's rate is a scale of x.
for _name, _sign in (("gdtr", 1), ("gdtrc", -1)):
    add(
        _name,
        column(
            lambda g, y, a, b, x, s=_sign: g * (s * x * gamma_density(b, a * x)),
            refused(f"scipy.special.{_name}", "b"),
            lambda g, y, a, b, x, s=_sign: g * (s * a * gamma_density(b, a * x)),
        ),
        (0.5, 2),
        _SHAPE,
        (0.3, 3),
    )
# gdtrix(a, b, p) is x with gdtr(a, b, x) = p.
add(
    "gdtrix",
    column(
        lambda g, x, a, b, p: -g * x / a,
        refused("scipy.special.gdtrix", "b"),
        lambda g, x, a, b, p: g / (a * gamma_density(b, a * x)),
    ),
    (0.5, 2),
    _SHAPE,
    (0.2, 0.8),
)

# ----- discrete distributions: differentiable in their continuous parameter ---------------------------------


def _binomial(k, n, p):
    k = np.floor(k)
    return np.exp(
        special.xlogy(k, p)
        + special.xlog1py(n - k - 1, -p)
        - special.betaln(k + 1, np.maximum(n - k, 1e-300))
    ) * (n > k)


def _poisson(k, m):
    return gamma_density(np.floor(k) + 1, m)


def _negative_binomial(k, n, p):
    return beta_density(n, np.floor(k) + 1, p)


for _names, _density, _parameters, _bounds, _last in (
    ("bdtr bdtrc bdtri", _binomial, ("k", "n"), ((0, 3), (4, 7, int)), (0.2, 0.8)),
    ("pdtr pdtrc pdtri", _poisson, ("k",), ((0, 4),), (0.5, 4)),
    ("nbdtr nbdtrc nbdtri", _negative_binomial, ("k", "n"), ((0, 3, int), (1, 4, int)), (0.2, 0.8)),
):
    _lower, _upper, _inverse = _names.split()
    # The binomial and Poisson distribution functions fall with their parameter, the negative binomial's rises.
    _sign = 1 if _lower == "nbdtr" else -1
    _distribution(_lower, _density, _parameters, *_bounds, _last, inverse=_inverse, sign=_sign)
    _distribution(_upper, _density, _parameters, *_bounds, _last, sign=-_sign)

# ----- elliptic integrals -----------------------------------------------------------------------------------

_CENTRAL = [(math.comb(2 * n, n) / 4**n) ** 2 * math.pi / 2 for n in range(14)]


def _near_zero(m, series, formula):
    """`formula`, and `series` near zero, where it loses its digits."""
    small = np.abs(m) < 0.05
    if np.all(small):
        return series(m)
    return np.where(small, series(np.where(small, m, 0.0)), formula(np.where(small, 0.5, m)))


def _first_kind(m):
    return _near_zero(
        m,
        lambda m: sum(n * _CENTRAL[n] * m ** (n - 1) for n in range(1, 14)),
        lambda m: (special.ellipe(m) / (1 - m) - special.ellipk(m)) / (2 * m),
    )


def _second_kind(m):
    return _near_zero(
        m,
        lambda m: sum(n * _CENTRAL[n] / (1 - 2 * n) * m ** (n - 1) for n in range(1, 14)),
        lambda m: (special.ellipe(m) - special.ellipk(m)) / (2 * m),
    )


def _root(phi, m):
    return np.sqrt(1 - m * np.sin(phi) ** 2)


def _incomplete_m(phi, m, formula, sign):
    zero = m == 0
    if not np.any(zero):
        return formula(m)
    limit = sign * (2 * phi - np.sin(2 * phi)) / 8
    return np.where(zero, limit, formula(np.where(zero, 0.5, m)))


def _first_incomplete(g, a, phi, m):
    def formula(m):
        first, second = special.ellipkinc(phi, m), special.ellipeinc(phi, m)
        return (second / (1 - m) - first) / (2 * m) - np.sin(2 * phi) / (4 * (1 - m) * _root(phi, m))

    return g * _incomplete_m(phi, m, formula, 1)


def _second_incomplete(g, a, phi, m):
    def formula(m):
        return (special.ellipeinc(phi, m) - special.ellipkinc(phi, m)) / (2 * m)

    return g * _incomplete_m(phi, m, formula, -1)


def _complementary(g, a, p):
    return -g * _first_kind(1 - p)


add("ellipk", column(lambda g, a, m: g * _first_kind(m)), (-2, 0.9))
add("ellipkm1", column(_complementary), (0.1, 2))
add("ellipe", column(lambda g, a, m: g * _second_kind(m)), (-2, 0.9))
add("ellipkinc", column(lambda g, a, phi, m: g / _root(phi, m), _first_incomplete), (-1, 1), (0.2, 0.8))
add("ellipeinc", column(lambda g, a, phi, m: g * _root(phi, m), _second_incomplete), (-1, 1), (0.2, 0.8))


def _jacobi(g, a, u, m):
    sn, cn, dn, _ = a
    return g[0] * cn * dn - g[1] * sn * dn - g[2] * m * sn * cn + g[3] * dn


add("ellipj", column(_jacobi, refused("scipy.special.ellipj", "m")), (-2, 2), (0.2, 0.8))


def _agm(g, a, x, y):
    # agm(x, y) = π / 4 (x + y) / K(m) with m = ((x - y) / (x + y))²
    total, gap = x + y, (x - y) / (x + y)
    slope = 2 * gap * 2 * y / (total * total)
    k = special.ellipk(gap * gap)
    return g * (math.pi / 4 / k - a / k * _first_kind(gap * gap) * slope)


add("agm", column(_agm, lambda g, a, x, y: _agm(g, a, y, x)), (0.5, 3), (0.5, 3))
