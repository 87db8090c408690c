"""Every verb over a table of programs: against closed forms, differences and each other, to higher orders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minpy import (
    check_grads,
    elementwise_grad,
    grad,
    grad_and_loss,
    hessian,
    hessian_vector_product,
    jacobian,
    jvp,
    routed,
    value_and_grad,
    vjp,
)
from minpy.errors import GradientError

X = np.array([0.5, -1.25, 2.0, 0.75])
V = np.array([1.0, 0.5, -2.0, 0.25])
W = np.array([[1.0, 0.2, -0.3, 0.5], [0.1, 2.0, 0.4, -0.6], [0.7, -0.1, 1.5, 0.3], [-0.2, 0.6, 0.8, 1.2]])


def difference(f: Any, x: np.ndarray, v: np.ndarray, step: float = 1e-6) -> np.ndarray:
    return (np.asarray(f(x + step * v)) - np.asarray(f(x - step * v))) / (2 * step)


# ----- programs ---------------------------------------------------------------------------------------------


def chain(x):
    return np.sin(x) * np.exp(-x * x) / (1 + x**2)


def layers(x):
    return np.tanh(W @ np.tanh(W @ x))


def joined(x):
    return np.concatenate([x[::2] * x[1::2], np.cumsum(x)])


def decomposed(x):
    return np.linalg.solve(W + np.diag(x * x), x)


def largest(x):
    return np.max(x) * x + np.sort(x)


def branches(x):
    return x**2 if x[0] > 0 else x**3


def stencil(x):
    u = x * 1.0
    for _ in range(3):
        u[1:-1] += 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2]) * u[1:-1]
    return u


def through_views(x):
    y = routed.np.zeros((2, 4))
    y[0] = x
    y.T[2] = x[:2] ** 2
    y[1, ::2] += y[0, 1::2]
    row = y[1]
    row *= x[::-1]
    y[y < 0] = 0.25
    return y


def overlapping(x):
    y = x * x
    y[1:] += y[:-1]
    y[:] = y[::-1] * x
    y[[0, 2]] = y[[2, 0]] * 2
    return y


def recurrence(x):
    y = routed.np.empty(5)
    y[0] = 1.0
    for i in range(4):
        y[i + 1] = y[i] * x[i] + y[i - 1] * 0.5 if i else x[0]
    return y


def added_up(x):
    y = routed.np.zeros(3)
    np.add.at(y, [0, 1, 1, 2], x * x)
    np.multiply(y, x[:3], out=y)
    return y


def changes_its_argument(x):
    s = np.sum(x**3)
    x[1] = x[0] * x[2]
    x[0] = 3.0
    return x * s


PROGRAMS = [
    chain, layers, joined, decomposed, largest, branches, stencil, through_views, overlapping, recurrence, added_up,
    changes_its_argument,
]  # fmt: skip


def names(f: Any) -> str:
    return f.__name__


def scalar(f: Any) -> Any:
    return lambda x: np.sum(np.sin(f(x)))


@pytest.mark.parametrize("f", PROGRAMS, ids=names)
def test_jvp(f) -> None:
    value, tangent = jvp(f, (X.copy(),), (V,))
    plain = f(X.copy())
    assert type(value) is type(tangent) is np.ndarray
    np.testing.assert_array_equal(value, plain)
    np.testing.assert_allclose(tangent, difference(f, X, V), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("f", PROGRAMS, ids=names)
def test_vjp_is_the_transpose_and_may_be_pulled_again(f) -> None:
    x = X.copy()
    value, pullback = vjp(f, x)
    rng = np.random.default_rng(1)
    for _ in range(3):
        u, v = rng.normal(size=value.shape), rng.normal(size=4)
        (g,) = pullback(u)
        np.testing.assert_allclose(np.sum(g * v), np.sum(u * jvp(f, (X.copy(),), (v,))[1]), rtol=1e-10)
    # What the caller does to his arrays meanwhile is nothing to the pullback.
    (before,) = pullback(u)
    value[...], x[...], u_before = 77.0, -5.0, u.copy()
    (after,) = pullback(u)
    np.testing.assert_array_equal(after, before)
    np.testing.assert_array_equal(u, u_before)
    np.testing.assert_array_equal(x, -5.0)
    np.testing.assert_array_equal(value, 77.0)


@pytest.mark.parametrize("f", PROGRAMS, ids=names)
def test_side_effects_are_the_functions(f) -> None:
    plain = X.copy()
    f(plain)
    for verb in (
        lambda x: grad(scalar(f))(x),
        lambda x: jvp(f, (x,), (V,)),
        lambda x: vjp(f, x),
        lambda x: vjp(f, x)[1](np.ones(np.shape(f(X.copy())))),
        lambda x: jacobian(f, mode="forward")(x),
        lambda x: jacobian(f, mode="reverse")(x),
        lambda x: hessian(scalar(f))(x),
        lambda x: hessian_vector_product(scalar(f))(x, V),
    ):
        x = X.copy()
        verb(x)
        np.testing.assert_array_equal(x, plain)


@pytest.mark.parametrize("f", PROGRAMS, ids=names)
def test_jacobian_both_ways(f) -> None:
    rows, columns = jacobian(f, mode="reverse")(X.copy()), jacobian(f, mode="forward")(X.copy())
    assert rows.shape == (*np.shape(f(X.copy())), 4)
    np.testing.assert_allclose(rows, columns, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(jacobian(f)(X.copy()), rows, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(rows @ V, difference(f, X, V), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("f", PROGRAMS, ids=names)
def test_second_derivatives(f) -> None:
    s = scalar(f)
    h = hessian(s)(X.copy())
    np.testing.assert_allclose(h, h.T, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(h @ V, difference(lambda x: grad(s)(x.copy()), X, V), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(hessian_vector_product(s)(X.copy(), V), h @ V, rtol=1e-9, atol=1e-10)
    # Every nesting of the two modes.
    np.testing.assert_allclose(jacobian(grad(s), mode="reverse")(X.copy()), h, rtol=1e-9, atol=1e-10)
    along = lambda x: jvp(s, (x,), (V,))[1]
    np.testing.assert_allclose(grad(along)(X.copy()), h @ V, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(jvp(along, (X.copy(),), (V,))[1], V @ h @ V, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(jvp(grad(s), (X.copy(),), (V,))[1], h @ V, rtol=1e-9, atol=1e-10)
    pulled = vjp(grad(s), X.copy())[1](V)[0]
    np.testing.assert_allclose(pulled, h @ V, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    "f", [chain, layers, stencil, through_views, overlapping, changes_its_argument], ids=names
)
def test_third_derivatives(f) -> None:
    s = scalar(f)
    curvature = lambda x: np.sum(hessian_vector_product(s)(x, V) * V)
    start = lambda: X.copy()
    expected = [difference(lambda x: curvature(x.copy()), X, e) for e in np.eye(4)]
    for third in (
        grad(curvature)(start()),
        jacobian(curvature, mode="forward")(start()),
        jacobian(lambda x: np.sum((hessian(s)(x) @ V) * V), mode="reverse")(start()),
    ):
        np.testing.assert_allclose(third, expected, rtol=1e-4, atol=1e-5)


# ----- closed forms -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_orders_to_four_in_every_mixture(depth: int) -> None:
    forward = lambda f: lambda x: jvp(f, (x,), (1.0,))[1]
    derivatives = {"r": grad, "f": forward, "j": jacobian}
    closed = [np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x), np.sin][depth - 1]
    from itertools import product

    for order in product("rfj", repeat=depth):
        f: Any = np.sin
        for mode in order:
            f = derivatives[mode](f)
        got = f(0.7)
        assert np.isclose(got, closed(0.7), rtol=1e-12), order
        assert isinstance(got, np.floating), order


def test_orders_to_four_through_writes() -> None:
    def quartic(x):
        y = routed.np.ones(2) * x
        y[0] *= y[1]
        y[1] = y[0] * y[1] * x
        return y[1]  # x ** 4

    f: Any = quartic
    for expected in (4 * 1.5**3, 12 * 1.5**2, 24 * 1.5, 24.0):
        f = grad(f)
        assert np.isclose(f(1.5), expected)
    g: Any = quartic
    for expected in (4 * 1.5**3, 12 * 1.5**2, 24 * 1.5, 24.0):
        g = (lambda inner: lambda x: jvp(inner, (x,), (1.0,))[1])(g)
        assert np.isclose(g(1.5), expected)


def test_the_variable_of_an_inner_derivative_is_not_that_of_an_outer_one() -> None:
    forward = lambda f: lambda x: jvp(f, (x,), (1.0,))[1]
    for outer in (grad, forward):
        for inner in (grad, forward):
            d = inner
            assert outer(lambda x, d=d: x * d(lambda y: x + y)(1.0))(1.0) == 1.0
            assert outer(lambda x, d=d: d(lambda y: x * x * y)(5.0))(3.0) == 6.0
            assert outer(lambda x, d=d: x * d(lambda y: x * y * y)(x))(3.0) == 6 * 9.0


def test_hessian_of_a_quadratic_form() -> None:
    np.testing.assert_allclose(hessian(lambda x: x @ W @ x)(X), W + W.T, rtol=1e-13)
    h = hessian(lambda x: np.sum(np.linalg.inv(x)))(W[:3, :3])
    assert h.shape == (3, 3, 3, 3)
    np.testing.assert_allclose(h, np.transpose(h, (2, 3, 0, 1)), rtol=1e-10)


def test_elementwise_grad() -> None:
    np.testing.assert_allclose(elementwise_grad(np.tanh)(X), 1 - np.tanh(X) ** 2, rtol=1e-14)
    np.testing.assert_allclose(elementwise_grad(elementwise_grad(lambda x: x**4))(X), 12 * X**2, rtol=1e-14)


# ----- shapes, dtypes, complex numbers ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "complex128"])
def test_results_have_the_dtype_of_the_argument(dtype: str) -> None:
    x = np.array([0.5, -1.0, 2.0]).astype(dtype)
    f = lambda x: np.sum(x * x * x)
    kind = np.dtype(dtype)
    assert grad(f)(x).dtype == kind
    assert vjp(lambda x: x * x, x)[1](np.ones(3, dtype))[0].dtype == kind
    assert jvp(lambda x: x * x, (x,), (np.ones(3, dtype),))[1].dtype == kind
    for mode in ("forward", "reverse"):
        assert jacobian(lambda x: x * x, mode=mode)(x).dtype == kind
    assert hessian(f)(x).dtype == kind
    assert hessian_vector_product(f)(x, x).dtype == kind
    assert grad(f)(x[0]).dtype == kind and not isinstance(grad(f)(x[0]), np.ndarray)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0, 3), (2, 3)])
def test_shapes(shape: tuple) -> None:
    x = np.ones(shape) * 0.5
    assert np.shape(grad(lambda x: np.sum(x * x))(x)) == shape
    for mode in ("forward", "reverse", None):
        assert np.shape(jacobian(lambda x: np.exp(x), mode=mode)(x)) == shape * 2
        assert np.shape(jacobian(lambda x: np.sum(x), mode=mode)(x)) == shape
    assert np.shape(hessian(lambda x: np.sum(x * x))(x)) == shape * 2
    value, tangent = jvp(lambda x: x * 2, (x,), (x,))
    assert np.shape(value) == np.shape(tangent) == shape


def test_layouts() -> None:
    base = np.arange(24.0).reshape(4, 6) / 7
    for x in (
        base[::2, ::-1],
        base.T,
        np.asfortranarray(base),
        np.broadcast_to(base[0], (3, 6)),
        base[:, :1],
    ):
        v = np.cos(x)
        f = lambda x: np.sin(x[1:]) * x[:1]
        np.testing.assert_allclose(jvp(f, (x,), (v,))[1], difference(f, x, v), rtol=1e-7, atol=1e-8)
        np.testing.assert_allclose(grad(lambda x: np.sum(x[0] ** 2))(x)[0], 2 * x[0])
        assert np.all(grad(lambda x: np.sum(x[0] ** 2))(x)[1:] == 0)


def test_complex_convention() -> None:
    z = np.array([1.0 + 2.0j, -0.5 + 0.25j])
    # Holomorphic: the complex derivative, by every verb.
    f = lambda z: z**3
    slope = 3 * z**2
    np.testing.assert_allclose(elementwise_grad(f)(z), slope)
    np.testing.assert_allclose(jvp(f, (z,), (np.array([1.0, 1j]),))[1], slope * [1, 1j])
    np.testing.assert_allclose(vjp(f, z)[1](np.array([1.0, 2j]))[0], slope * [1, 2j])
    for mode in ("forward", "reverse"):
        np.testing.assert_allclose(jacobian(f, mode=mode)(z), np.diag(slope))
    # Real result: the derivative with respect to the real part minus i times that to the imaginary part.
    real = lambda z: np.sum(np.abs(z) ** 2)
    np.testing.assert_allclose(grad(real)(z), 2 * np.conj(z))
    for mode in ("forward", "reverse"):
        np.testing.assert_allclose(jacobian(real, mode=mode)(z), 2 * np.conj(z))
    # Complex result of a real argument.
    phase = lambda x: np.exp(1j * x)
    x = np.array([0.3, 0.4])
    for mode in ("forward", "reverse"):
        np.testing.assert_allclose(jacobian(phase, mode=mode)(x), np.diag(1j * np.exp(1j * x)))
    np.testing.assert_allclose(jvp(phase, (x,), (x,))[1], 1j * np.exp(1j * x) * x)

    # Real and imaginary parts written in place.
    def parts(z):
        w = z * 1.0
        w.real[0] = w.imag[1] * 2
        w.imag *= 3
        return w * w

    check_grads(parts, (z,))
    check_grads(lambda z: np.fft.fft(z) * np.conj(z), (z,))


def test_a_gradient_step_decreases() -> None:
    # A real loss of complex parameters descends along the conjugate of the gradient.
    target = np.array([1 + 1j, -2j])
    loss = lambda z: np.sum(np.abs(z - target) ** 2)
    z = np.zeros(2, complex)
    for _ in range(60):
        z = z - 0.2 * np.conj(grad(loss)(z))
    np.testing.assert_allclose(z, target, atol=1e-6)


# ----- arguments, auxiliary outputs -------------------------------------------------------------------------


def test_auxiliary_outputs() -> None:
    def f(x):
        y = x * x
        return np.sum(y), {"squares": y, "count": 4, "note": "kept"}

    g, aux = grad(f, has_aux=True)(X)
    np.testing.assert_array_equal(g, 2 * X)
    assert type(aux["squares"]) is np.ndarray and aux["count"] == 4 and aux["note"] == "kept"
    (value, aux), g = value_and_grad(f, has_aux=True)(X)
    assert value == np.sum(X * X) and np.array_equal(aux["squares"], X * X)
    g, (value, aux) = grad_and_loss(f, has_aux=True)(X)
    assert value == np.sum(X * X) and np.array_equal(g, 2 * X)
    value, pullback, aux = vjp(f, X, has_aux=True)
    assert pullback(1.0)[0].tolist() == (2 * X).tolist() and aux["count"] == 4
    value, tangent, aux = jvp(f, (X,), (V,), has_aux=True)
    assert np.isclose(tangent, 2 * X @ V) and type(aux["squares"]) is np.ndarray
    h, aux = hessian(f, has_aux=True)(X)
    np.testing.assert_allclose(h, 2 * np.eye(4))
    assert np.array_equal(aux["squares"], X * X)
    j, aux = jacobian(f, has_aux=True)(X)
    assert np.array_equal(j, 2 * X) and aux["note"] == "kept"
    with pytest.raises(GradientError, match="must return a pair"):
        grad(lambda x: np.sum(x), has_aux=True)(X)


def test_an_auxiliary_output_is_differentiated_by_an_outer_verb() -> None:
    def outer(x):
        g, aux = grad(lambda y: (np.sum(y**3), y * x), has_aux=True)(x)
        return np.sum(g) + np.sum(aux)

    np.testing.assert_allclose(grad(outer)(X), 6 * X + 2 * X)
    np.testing.assert_allclose(jvp(outer, (X,), (V,))[1], np.sum((6 * X + 2 * X) * V))


def test_a_pullback_is_differentiated_itself() -> None:
    _, pullback = vjp(overlapping, X)
    u = np.array([1.0, -1.0, 2.0, 0.5])
    (g,) = pullback(u)
    # Linear in the cotangent: its Jacobian is the transposed Jacobian.
    j = jacobian(lambda u: pullback(u)[0])(u)
    np.testing.assert_allclose(j, jacobian(overlapping)(X).T, rtol=1e-12)
    # With respect to the point, inside an outer derivative.
    h = jacobian(lambda x: vjp(overlapping, x)[1](u)[0])(X)
    np.testing.assert_allclose(h, hessian(lambda x: np.sum(overlapping(x) * u))(X), rtol=1e-10)
    np.testing.assert_array_equal(pullback(u)[0], g)


def test_check_grads_finds_wrong_rules() -> None:
    from minpy import def_vjp, primitive

    wrong = primitive(lambda x: x**2)
    def_vjp(wrong, lambda ans, x: lambda g: g * x)
    for mode in ("fwd", "rev"):
        with pytest.raises(AssertionError, match=mode):
            check_grads(wrong, (X,), 1, (mode,))
    second = primitive(lambda x: x**3)
    # Right at first order; the slope is a constant as far as the second order can see.
    def_vjp(
        second,
        lambda ans, x: lambda g: g * np.asarray(3 * x.asnumpy() ** 2 if hasattr(x, "asnumpy") else 3 * x**2),
    )
    check_grads(second, (X,), 1)
    with pytest.raises(AssertionError):
        check_grads(second, (X,), 2, "rev")


def test_check_grads_over_trees_and_dtypes() -> None:
    check_grads(lambda d, s: {"y": d["w"] * s, "n": 3, "z": [np.sum(d["b"])]}, ({"w": X, "b": X[:2]}, 2.0))
    check_grads(lambda x: np.tanh(x) * x, (X.astype(np.float32),))
    check_grads(lambda z: np.exp(z) / z, (X + 1j * V,), order=3)
    check_grads(stencil, (X,), 3, "rev")
    x = X.copy()
    check_grads(changes_its_argument, (x,))
    np.testing.assert_array_equal(x, X)
    with pytest.raises(GradientError, match="floating-point"):
        check_grads(lambda n: n, (3,))
    with pytest.raises(GradientError, match="modes"):
        check_grads(np.sin, (X,), modes="forward")
