"""`customop`: operators with gradients of their own, on NumPy and on MXNet arrays."""

from __future__ import annotations

import numpy as np
import pytest
from softmax_operator import softmax_loss

import minpy
from minpy.core import grad, grad_and_loss
from minpy.errors import GradientError, UsageError
from minpy.primitive import FakeGradFunc, GradFunc, NoGradientFuncError, Primitive, customop
from minpy.runtime.backends.mxnet import load

X, Y = np.random.RandomState(3).standard_normal((6, 4)), np.array([0, 1, 2, 3, 1, 0])


def test_an_operator_is_an_object_with_its_functions_name():
    f = softmax_loss()
    assert isinstance(f, Primitive)
    assert (f.__name__, f.__doc__, f.type, f.typestr) == ("my_softmax", "The loss.", "numpy", "numpy")
    assert f.call((X, Y), {}) == f(X, Y)


def test_softmax_of_the_manual():
    f = softmax_loss()
    gradient, loss = grad_and_loss(lambda x: f(x, Y))(X)
    assert loss == f(X, Y)
    numeric = np.zeros_like(X)
    for index in np.ndindex(X.shape):
        step = np.zeros_like(X)
        step[index] = 1e-6
        numeric[index] = (f(X + step, Y) - f(X - step, Y)) / 2e-6
    np.testing.assert_allclose(gradient, numeric, atol=1e-7)
    # What comes from above is honoured, and what is around is differentiated as ever.
    np.testing.assert_allclose(
        grad(lambda x: 3 * f(np.tanh(x), Y))(X), 3 * grad(f)(np.tanh(X), Y) * (1 - np.tanh(X) ** 2)
    )


def test_second_derivatives_come_from_the_gradient_function():
    @customop("numpy")
    def cube(x):
        return x**3

    cube.def_grad(lambda ans, x: lambda g: g * 3 * x**2)
    assert grad(grad(lambda x: cube(x)))(2.0) == pytest.approx(12.0)


def test_keyword_gradients_belong_to_their_keyword():
    @customop("numpy")
    def product(a, b):
        return a * b

    product.def_grad(lambda ans, a, b: lambda g: g * b)
    product.def_grad_kw(lambda ans, a, b: lambda g: g * a, key="b")
    a, b = np.array([2.0, 2.0]), np.array([3.0, 3.0])
    np.testing.assert_array_equal(grad(lambda a: np.sum(product(a, b=b)))(a), [3, 3])
    np.testing.assert_array_equal(grad(lambda b: np.sum(product(a, b=b)))(b), [2, 2])
    both = grad(lambda x: np.sum(product(x, b=x)))(a)
    np.testing.assert_array_equal(both, [4, 4])


def test_zero_and_missing_gradients():
    @customop("numpy")
    def scaled(a, s):
        return a * s

    scaled.def_grad(lambda ans, a, s: lambda g: g * s).def_grad_zero(argnum=1)
    np.testing.assert_array_equal(grad(lambda s: np.sum(scaled(X, s)) + np.sum(s))(np.ones(4)), np.ones(4))
    assert scaled.gradable([0, 1])
    assert not scaled.gradable([0], ["s"])
    bare = customop("numpy")(lambda a: a + 1)
    assert bare(1.0) == 2.0
    with pytest.raises(NoGradientFuncError, match=r"no gradient for argument 0\b.*def_grad"):
        grad(lambda x: bare(x))(1.0)
    # A state that an error left behind would spoil this.
    np.testing.assert_array_equal(grad(lambda a: np.sum(scaled(a, 2.0)))(np.ones(2)), [2, 2])


def test_what_gradient_functions_are_kept_in():
    rule = GradFunc(lambda ans, a, b: lambda g: (g * b, g * a), (0, "b"))
    assert rule.f(6.0, 2.0, 3.0)(1.0) == (3.0, 2.0) and rule.multi_grad_indices == (0, "b")
    with pytest.raises(
        NoGradientFuncError, match=r"operator scale has no gradient for argument 1\. Give it"
    ) as caught:
        FakeGradFunc("scale", 1)(1.0)
    assert (caught.value.func_name, caught.value.arg) == ("scale", 1) and isinstance(caught.value, ValueError)
    with pytest.raises(NoGradientFuncError, match=r"keyword argument 'b'.*def_grad_kw\(…, key='b'\)"):
        FakeGradFunc("scale", "b")(1.0)


def test_one_function_for_several_gradients():
    runs = []

    @customop("numpy")
    def product(a, b):
        return a * b

    def gradients(ans, a, b):
        def pull(g):
            runs.append(g)
            return g * b, g * a

        return pull

    product.def_multiple_grad(gradients, (0, 1))
    a, b = np.array([2.0, 5.0]), np.array([3.0, 4.0])
    found = grad(lambda a, b: np.sum(product(a, b)), argnum=[0, 1])(a, b)
    np.testing.assert_array_equal(found, [b, a])
    assert len(runs) == 1
    np.testing.assert_array_equal(grad(lambda b: np.sum(product(a, b)))(b), a)
    twice = grad(lambda a: np.sum(product(product(a, b), b)))(a)
    np.testing.assert_array_equal(twice, b * b)
    wrong = customop("numpy")(lambda a, b: a * b).def_multiple_grad(lambda ans, a, b: lambda g: g, (0, 1))
    with pytest.raises(GradientError, match="a sequence of 2"):
        grad(lambda a: np.sum(wrong(a, a)))(a)


def test_wrong_use():
    with pytest.raises(UsageError, match="'numpy' or 'mxnet', not 'caffe'"):
        customop("caffe")
    op = customop("numpy")(np.sin)
    with pytest.raises(UsageError, match="made by a function"):
        op.def_grad(3)
    with pytest.raises(UsageError, match="numbers of the arguments"):
        op.def_multiple_grad(lambda ans, x: lambda g: g, ())
    op.def_grad(lambda ans, x: lambda g: np.ones(7))
    with pytest.raises(GradientError, match=r"shape \(7,\)"):
        grad(lambda x: np.sum(op(x)))(np.ones(3))


@pytest.mark.mxnet
def test_on_mxnet_arrays():
    mx = load()
    seen = []

    @customop("mxnet")
    def square(x, power):
        seen.append(type(x))
        return mx.nd.power(x, power)

    def square_grad(ans, x, power):
        seen.append(type(ans))
        return lambda g: g * power * mx.nd.power(x, power - 1)

    square.def_grad(square_grad)
    result = square(X, 2)
    assert type(result) is np.ndarray
    np.testing.assert_allclose(result, X**2)
    np.testing.assert_allclose(grad(lambda x: np.sum(np.sin(square(x, 3))))(X), np.cos(X**3) * 3 * X**2)
    assert set(seen) == {mx.nd.NDArray}
    with pytest.raises(GradientError, match="first derivatives only"):
        grad(grad(lambda x: np.sum(square(x, 3))))(np.array(2.0))


@pytest.mark.parametrize("policy", [pytest.param("prefer_mxnet", marks=pytest.mark.mxnet), "only_numpy"])
def test_under_policies(policy):
    f = softmax_loss()
    expected = grad(f)(X, Y)
    with {"prefer_mxnet": minpy.PreferMXNetPolicy, "only_numpy": minpy.OnlyNumPyPolicy}[policy]():
        np.testing.assert_allclose(grad(f)(X, Y), expected, rtol=1e-6)


def test_the_module_is_the_decorator_too():
    @minpy.primitive
    def double(x):
        return 2 * x

    minpy.def_vjp(double, lambda ans, x: lambda g: 2 * g)
    assert grad(lambda x: double(x))(3.0) == 2.0
    assert minpy.primitive.customop is customop
