"""SciPy's special functions that are no ufuncs: sums of exponentials, counting, and what is not differentiable."""

from __future__ import annotations

import numpy as np
from scipy import special

from minpy.runtime.primitives.moves import cases, plain, shape_of
from minpy.runtime.primitives.rules import axes_of, nothing
from minpy.runtime.primitives.scipy_rules import function, refused
from minpy.runtime.primitives.table import row

add = function("special")


def _kept(value, a, axis):
    """`value`, a reduction of `a`, with its axes back."""
    shape = shape_of(a)
    reduced = axes_of(axis, len(shape))
    return np.reshape(value, tuple(1 if i in reduced else n for i, n in enumerate(shape)))


def _shares(ans, a, axis):
    # Where an element is (nearly) all of the result, also if both are infinite.
    top = _kept(ans, a, axis)
    a = np.asarray(a) if type(a) in (list, tuple) else a
    return np.exp(np.where(a == top, 0, a - top))


def _logsumexp(g, ans, a, axis=None, b=None, keepdims=False, return_sign=False):
    if return_sign:
        (g, _), (ans, sign) = g, ans
        weight = _kept(sign, np.broadcast_to(a, _shape(a, b)), axis)
    else:
        weight = 1
    if b is None:
        return _kept(g, a, axis) * weight * _shares(ans, a, axis)
    a = np.broadcast_to(a, _shape(a, b))
    return _kept(g, a, axis) * weight * b * _shares(ans, a, axis)


def _logsumexp_weight(g, ans, a, axis=None, b=None, keepdims=False, return_sign=False):
    weight = 1
    a = np.broadcast_to(a, _shape(a, b))
    if return_sign:
        (g, _), (ans, sign) = g, ans
        weight = _kept(sign, a, axis)
    return _kept(g, a, axis) * weight * _shares(ans, a, axis)


def _shape(a, b):
    return shape_of(a) if b is None else np.broadcast_shapes(shape_of(a), shape_of(b))


row(
    "scipy.special.logsumexp",
    cost="reduce",
    vjp=(_logsumexp, nothing, _logsumexp_weight),
    samples=cases(
        lambda a: (a(2, 3),),
        lambda a: (a(2, 3), 1),
        lambda a: [(a(2, 3, 2),), {"axis": (0, -1), "keepdims": True}],
        lambda a: [(a(2, 3), 0), {"b": np.abs(a(2, 3)) + 0.5}],
        lambda a: [(a(3),), {"b": np.array([1, -2, 3.0]), "return_sign": True}],
        lambda a: [(a(3), 0, np.abs(a(2, 1)) + 0.5), {}],
        lambda a: (a(),),
        lambda a: (np.array([-np.inf, 0.5, 1]).astype(a.dtype),),
        lambda a: (a(3).tolist(),),
    ),
)


def _softmax(g, ans, x, axis=None):
    return ans * (g - np.sum(g * ans, axis=axis, keepdims=True))


def _log_softmax(g, ans, x, axis=None):
    return g - np.exp(ans) * np.sum(g, axis=axis, keepdims=True)


_axes = cases(
    lambda a: (a(2, 3),),
    lambda a: (a(2, 3), 1),
    lambda a: [(a(2, 3, 2),), {"axis": (0, -1)}],
    lambda a: (a(3),),
    lambda a: (a(3).tolist(),),
)
row("scipy.special.softmax", cost="reduce", vjp=(_softmax, nothing), samples=_axes)
row("scipy.special.log_softmax", cost="reduce", vjp=(_log_softmax, nothing), samples=_axes)
row(
    "scipy.special.softplus",
    cost="transcendental",
    vjp=(lambda g, ans, x, **options: g * special.expit(x),),
    samples=cases(lambda a: (a(2, 3),), lambda a: (a(),)),
)


def _multigammaln(g, ans, a, d):
    d = int(plain(d))
    return g * sum(special.psi(a - j / 2) for j in range(d))


row(
    "scipy.special.multigammaln",
    cost="transcendental",
    vjp=(_multigammaln, refused("scipy.special.multigammaln", "the dimension d")),
    samples=cases(lambda a: (np.abs(a(2, 3)) + 3, 2), lambda a: (np.abs(a()) + 3, 3)),
)


def _counted(slope):
    """A rule for a function that gives zero outside ``0 <= k <= N``, and whole numbers if asked to be exact."""

    def rule(g, ans, n, k, *rest, **options):
        inside = (plain(k) >= 0) & (plain(k) <= plain(n))
        return g * np.where(inside, slope(ans, n, k), 0)

    return rule


psi = special.psi
_pairs = cases(lambda a: (np.abs(a(2, 3)) + 4, np.abs(a(3)) / 3 + 0.5), lambda a: (np.abs(a()) + 4, 2))
row(
    "scipy.special.comb",
    cost="transcendental",
    vjp=(
        _counted(lambda y, n, k: y * (psi(n + 1) - psi(n - k + 1))),
        _counted(lambda y, n, k: y * (psi(n - k + 1) - psi(k + 1))),
    ),
    samples=_pairs,
)
row(
    "scipy.special.perm",
    cost="transcendental",
    vjp=(
        _counted(lambda y, n, k: y * (psi(n + 1) - psi(n - k + 1))),
        _counted(lambda y, n, k: y * psi(n - k + 1)),
    ),
    samples=_pairs,
)


def _factorial(g, ans, n, *rest, **options):
    return g * np.where(plain(n) >= 0, ans * psi(n + 1), 0)


row(
    "scipy.special.factorial",
    cost="transcendental",
    vjp=(_factorial,),
    samples=cases(lambda a: (np.abs(a(2, 3)) + 0.5,), lambda a: (np.abs(a()) + 0.5,)),
)


# ----- what has no row --------------------------------------------------------------------------------------


def _names(text: str, why: str) -> dict[str, str]:
    return dict.fromkeys(text.split(), why)


NO_RULE: dict[str, str] = {
    **_names(
        "bdtrik bdtrin btdtria btdtrib chdtriv chndtr chndtridf chndtrinc chndtrix fdtridfd gdtria gdtrib nbdtrik "
        "nbdtrin ncfdtr ncfdtri ncfdtridfd ncfdtridfn ncfdtrinc nctdtr nctdtridf nctdtrinc nctdtrit nrdtrimn "
        "nrdtrisd pdtrik stdtridf",
        "a distribution function, or an inverse, with parameters by which there is no closed derivative",
    ),
    **_names(
        "elliprc elliprd elliprf elliprg elliprj", "the derivative has no closed form at equal arguments"
    ),
    **_names(
        "obl_ang1 obl_ang1_cv obl_cv obl_rad1 obl_rad1_cv obl_rad2 obl_rad2_cv pro_ang1 pro_ang1_cv pro_cv pro_rad1 "
        "pro_rad1_cv pro_rad2 pro_rad2_cv ellip_harm ellip_harm_2 ellip_normal obl_cv_seq pro_cv_seq",
        "spheroidal and ellipsoidal functions, whose parameters have no closed derivatives",
    ),
    **_names("mathieu_a mathieu_b", "a characteristic value: the derivative by q is an integral"),
    **_names(
        "kolmogi kolmogorov smirnov smirnovi tklmbda besselpoly zetac zeta diric lmbda",
        "a series, integral or inverse without a closed derivative in SciPy",
    ),
    **_names(
        "ai_zeros bei_zeros beip_zeros ber_zeros berp_zeros bi_zeros erf_zeros fresnel_zeros fresnelc_zeros "
        "fresnels_zeros jn_zeros jnjnp_zeros jnp_zeros jnyn_zeros kei_zeros keip_zeros kelvin_zeros ker_zeros "
        "kerp_zeros y0_zeros y1_zeros y1p_zeros yn_zeros ynp_zeros",
        "zeros of functions, counted by whole numbers",
    ),
    **_names(
        "c_roots cg_roots h_roots he_roots j_roots js_roots l_roots la_roots p_roots ps_roots roots_chebyc "
        "roots_chebys roots_chebyt roots_chebyu roots_gegenbauer roots_genlaguerre roots_hermite roots_hermitenorm "
        "roots_jacobi roots_laguerre roots_legendre roots_sh_chebyt roots_sh_chebyu roots_sh_jacobi roots_sh_legendre "
        "s_roots t_roots ts_roots u_roots us_roots",
        "nodes and weights of a quadrature",
    ),
    **_names(
        "chebyc chebys chebyt chebyu gegenbauer genlaguerre hermite hermitenorm jacobi laguerre legendre sh_chebyt "
        "sh_chebyu sh_jacobi sh_legendre",
        "makes a polynomial object; use the eval_ function of that name",
    ),
    **_names(
        "bernoulli euler factorial2 factorialk stirling2 mathieu_even_coef mathieu_odd_coef", "whole numbers"
    ),
    **_names(
        "assoc_legendre_p assoc_legendre_p_all legendre_p legendre_p_all sph_harm_y sph_harm_y_all sph_legendre_p "
        "sph_legendre_p_all lqmn lqn pbdn_seq pbdv_seq pbvv_seq riccati_jn riccati_yn lpmn lpn clpmn sph_harm btdtr "
        "btdtri",
        "gives its derivatives itself (diff_n, or a second result), or was removed from SciPy",
    ),
    **_names("assoc_laguerre lambertw", "Python code on ufuncs that have rules"),
    **_names("SpecialFunctionError SpecialFunctionWarning errstate geterr seterr test", "settings and tests"),
}
"""The public names of ``scipy.special`` that have no row, and why."""
