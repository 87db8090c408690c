"""Every row of SciPy's functions: values are SciPy's, derivatives agree with differences to second order in both modes,
and every public name of ``scipy.special`` has a row or a reason."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import table_driver as driver

from minpy import check_grads, grad, jvp
from minpy.errors import GradientError, TraceError
from minpy.runtime import dispatch
from minpy.runtime.array import host
from minpy.runtime.primitives import table

pytest.importorskip("scipy", reason="the extra scipy is not installed")


import scipy.integrate
import scipy.linalg
import scipy.signal
import scipy.special
import scipy.stats

ROWS = {p.name: p for p in table.scipy_rows()}
SMOOTH = [p for p in ROWS.values() if p.samples is not None and not p.flat]
SAMPLES = 6
# Operands of which SciPy looks at one triangle: they are taken as symmetric, and so are their gradients.
SYMMETRIC = {
    "scipy.linalg.solve": (0,),
    "scipy.linalg.eigh": (0, 1),
    "scipy.linalg.eigvalsh": (0, 1),
    "scipy.linalg.cholesky": (0,),
    "scipy.linalg.pinvh": (0,),
    "scipy.stats.multivariate_normal.logpdf": (2,),
    "scipy.stats.multivariate_t.logpdf": (2,),
}


# Operands that must have the sum 1.
PROBABILITIES = {"scipy.stats.multinomial.logpmf": 2}


def rule(primitive: table.Primitive, i: int) -> Any:
    found = primitive.rule(i)
    return None if hasattr(found, "refuses") or not getattr(found, "exercised", True) else found


def samples(primitive: table.Primitive, dtype: str) -> Iterator[tuple[tuple, dict]]:
    rng = np.random.default_rng(zlib.crc32(primitive.name.encode()))
    for n, sample in enumerate(primitive.samples(rng, np.dtype(dtype))):
        if n < SAMPLES:
            yield sample


def moving(primitive: table.Primitive, args: tuple) -> list[int]:
    """The positions that are differentiated."""
    return [
        i
        for i, a in enumerate(args)
        if isinstance(a, (np.ndarray, np.generic)) and a.dtype.kind in "fc" and rule(primitive, i) is not None
    ]


def floats(value: Any) -> Any:
    """The parts of a result that have a derivative."""
    if isinstance(value, (tuple, list)):
        return [part for v in value for part in floats(v)]
    if type(value) is float:
        return [value]
    return [value] if getattr(value, "dtype", np.dtype(object)).kind in "fc" else []


@pytest.mark.parametrize("primitive", SMOOTH, ids=lambda p: p.name)
def test_derivatives_agree_with_differences(primitive: table.Primitive) -> None:
    checked = 0
    for args, kwargs in samples(primitive, "float64"):
        where = moving(primitive, args)
        if not where or not all(np.size(args[i]) for i in where):
            continue
        if not all(np.all(np.isfinite(args[i])) for i in where):
            continue

        def run(*moved: Any, args: tuple = args, kwargs: dict = kwargs, where: list = where) -> Any:
            operands = list(args)
            structured = kwargs.get("assume_a") in ("pos", "sym") or primitive.name != "scipy.linalg.solve"
            for i, value in zip(where, moved, strict=True):
                is_symmetric = structured and i in SYMMETRIC.get(primitive.name, ()) and np.ndim(value) == 2
                if i == PROBABILITIES.get(primitive.name):
                    value = value / np.sum(value)
                operands[i] = (value + np.swapaxes(value, 0, 1)) / 2 if is_symmetric else value
            return floats(dispatch.call(primitive, tuple(operands), dict(kwargs)))

        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            # Copies: samples may be views, and differences need memory of their own.
            check_grads(run, tuple(np.array(args[i]) for i in where), order=2)
        checked += 1
    assert checked, "no sample was checked"


@pytest.mark.parametrize("primitive", SMOOTH, ids=lambda p: p.name)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_values_on_a_tape_are_scipys(primitive: table.Primitive, dtype: str) -> None:
    for args, kwargs in samples(primitive, dtype):
        where = moving(primitive, args)
        if not where:
            continue
        found = driver.lasting(partial(traced_difference, primitive, args, kwargs, where[0]))
        assert found is None, found


def traced_difference(primitive: table.Primitive, args: tuple, kwargs: dict, i: int) -> str | None:
    """How the value differs from SciPy's while argument `i` is differentiated."""
    seen = []

    def run(x: Any) -> Any:
        seen.append(dispatch.call(primitive, (*args[:i], x, *args[i + 1 :]), dict(kwargs)))
        return x

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        plain = primitive.function(*args, **kwargs)
        moved = args[i].copy()
        jvp(run, (moved,), (np.ones_like(moved),))
    if type(plain) is float:
        return None if host(seen[0]) == plain else f"{seen[0]} instead of {plain}"
    return driver.difference(seen[0], plain, False)


@pytest.mark.parametrize("name", [n for n, p in ROWS.items() if p.flat and p.samples is not None])
def test_piecewise_constant_functions_have_a_zero_gradient(name: str) -> None:
    primitive = ROWS[name]
    for args, kwargs in samples(primitive, "float64"):
        gradient = grad(lambda *a, k=kwargs: np.sum(np.asarray(1.0) * dispatch.call(primitive, a, k)))(*args)
        assert not np.any(gradient)


@pytest.mark.parametrize("module", [scipy.special, scipy.linalg], ids=lambda m: m.__name__)
def test_every_public_function_has_a_row_or_a_reason(module: Any) -> None:
    from minpy.runtime.primitives import scipy_functions, scipy_linalg
    from minpy.runtime.primitives.scipy_rules import stand_ins

    reasons = {scipy.special: scipy_functions.NO_RULE, scipy.linalg: scipy_linalg.NO_RULE}[module]
    names = {n for n in dir(module) if not n.startswith("_") and callable(getattr(module, n, None))}
    named = [(n, getattr(module, n)) for n in names]
    with_row = {n for n, f in named if table.find(f) is not None or f in stand_ins}
    assert names - with_row - set(reasons) == set()
    assert with_row & set(reasons) == set()


def test_a_parameter_without_a_closed_derivative_is_an_explained_error() -> None:
    with pytest.raises(GradientError, match=r"scipy\.special\.gammainc with respect to a .*stop_gradient"):
        grad(lambda a: scipy.special.gammainc(a, 1.0))(2.0)
    with pytest.raises(GradientError, match="the order"):
        grad(lambda v: scipy.special.jv(v, 1.0))(2.0)
    assert np.isclose(grad(lambda x: scipy.special.jv(1, x))(2.0), scipy.special.jvp(1, 2.0))


def test_a_ufunc_without_a_row_is_an_explained_error() -> None:
    with pytest.raises(TraceError, match="chndtr has no derivative rule"):
        grad(lambda x: scipy.special.chndtr(x, 2.0, 1.0))(1.5)


KINKS = {
    "xlogy(0, 0)": (lambda x: scipy.special.xlogy(x, x), 0.0, 0.0),
    "xlogy(0, 2)": (lambda x: scipy.special.xlogy(x, 2.0), 0.0, np.log(2)),
    "entr(0)": (scipy.special.entr, 0.0, 0.0),
    "entr(-1)": (scipy.special.entr, -1.0, 0.0),
    "rel_entr(0, 1)": (lambda x: scipy.special.rel_entr(x, 1.0), 0.0, 0.0),
    "kl_div(0, y)": (lambda y: scipy.special.kl_div(0.0, y), 2.0, 1.0),
    "huber at its threshold": (lambda r: scipy.special.huber(1.0, r), 1.0, 1.0),
    "1/gamma at a zero": (scipy.special.rgamma, -2.0, 2.0),
    "exprel(0)": (scipy.special.exprel, 0.0, 0.5),
    "boxcox with exponent 0": (lambda p: scipy.special.boxcox(2.0, p), 0.0, np.log(2) ** 2 / 2),
    "inv_boxcox with exponent 0": (lambda p: scipy.special.inv_boxcox(1.0, p), 0.0, -np.e / 2),
    "j1(0)": (scipy.special.j1, 0.0, 0.5),
    "spherical_jn(1, 0)": (lambda z: scipy.special.eval_legendre(3, z), 1.0, 6.0),
    "ellipk(0)": (scipy.special.ellipk, 0.0, np.pi / 8),
    "ellipe(0)": (scipy.special.ellipe, 0.0, -np.pi / 8),
    "sici(0)": (lambda x: scipy.special.sici(x)[0], 0.0, 1.0),
    "spence(1)": (scipy.special.spence, 1.0, -1.0),
    "expit far out": (scipy.special.expit, 800.0, 0.0),
    "log_expit far out": (scipy.special.log_expit, -800.0, 1.0),
    "log_ndtr far out": (scipy.special.log_ndtr, -40.0, 40.02496884),
}


@pytest.mark.parametrize("name", KINKS)
def test_at_kinks_and_far_out(name: str) -> None:
    function, x, expected = KINKS[name]
    with np.errstate(all="ignore"):
        assert np.isclose(grad(function)(x), expected, rtol=1e-6)


def test_complex_arguments_of_holomorphic_functions() -> None:
    z = np.array([0.6 + 0.3j, -0.4 + 0.8j])
    for function in (
        scipy.special.gamma,
        scipy.special.loggamma,
        scipy.special.erf,
        scipy.special.wofz,
        scipy.special.lambertw,
        lambda z: scipy.special.jv(1.5, z),
        lambda z: scipy.special.hyp1f1(1.0, 2.0, z),
        lambda z: scipy.special.airy(z)[0],
    ):
        check_grads(function, (z,), order=1)
    with pytest.raises(GradientError, match="scaled Bessel function of a complex number"):
        grad(lambda z: np.real(scipy.special.ive(1.0, z)).sum())(z)


def test_a_ufunc_of_values_on_a_tape_in_code_that_is_not_rewritten() -> None:
    x = np.array([0.5, 1.5])
    gradient = grad(lambda x: scipy.special.gammaln(x).sum() + scipy.special.logit(x / 4)[0])(x)
    expected = scipy.special.digamma(x)
    expected[0] += 0.25 / (0.125 * 0.875)
    assert np.allclose(gradient, expected)


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param(each, marks=pytest.mark.mxnet if each == "prefer_mxnet" else ())
        for each in driver.POLICIES
    ],
)
def test_under_every_policy_the_values_are_scipys(policy: str) -> None:
    from minpy.runtime import policy as policies
    from minpy.runtime.scientific import routed

    failures = []
    for primitive in SMOOTH:
        function = routed(primitive.function)
        for args, kwargs in samples(primitive, "float64"):

            def compare(
                primitive: Any = primitive, function: Any = function, args: Any = args, kwargs: Any = kwargs
            ) -> Any:
                plain = primitive.function(*args, **kwargs)
                with policies.create(policy):
                    return driver.difference(function(*args, **kwargs), plain, False)

            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                found = driver.lasting(compare)
            if found is not None:
                failures.append(f"{primitive.name}: {found}")
    assert not failures, "\n".join(failures[:5])
