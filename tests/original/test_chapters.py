"""What the chapters of the manual do with arrays, gradients, policies and contexts, under the policies it knows.

The models of its solver chapters are in tests/nn/test_manual.py, its tutorials in docs/tutorials.
"""

from __future__ import annotations

import minpy.numpy.random as random
import numpy
import pytest

import minpy
import minpy.dispatch.policy as policy
import minpy.numpy as np
from minpy.context import cpu, current_context, set_context
from minpy.core import Function, grad, grad_and_loss
from minpy.nn import layers
from minpy.runtime import entry

mxnet = pytest.mark.mxnet


@pytest.fixture(autouse=True, params=["auto", "only_numpy", pytest.param("prefer_mxnet", marks=mxnet)])
def everywhere(request):
    minpy.set_global_policy(request.param)
    random.seed(0)
    yield
    minpy.set_global_policy("auto")
    assert not entry.is_active()


def close(found, expected, tolerance=1e-6):
    numpy.testing.assert_allclose(found.asnumpy(), expected, rtol=tolerance, atol=tolerance)


def test_numpy_under_minpy(capsys):
    made = [
        np.array([1, 2, 3]),
        np.array([[1, 2, 3], [2, 3, 4]]),
        np.zeros((2, 3)),
        np.ones((2, 3)),
        np.full((2, 3), 7),
    ]
    assert [a.shape for a in made] == [(3,), (2, 3), (2, 3), (2, 3), (2, 3)] and np.empty((2, 3)).shape == (
        2,
        3,
    )
    a, b = np.ones((2, 3)), np.ones((2, 3))
    c = a + b
    print(-c)
    print(np.sin(c**2).T)
    print(np.maximum(a, c))
    expected = "\n".join(
        map(str, (-numpy.full((2, 3), 2.0), numpy.full((3, 2), numpy.sin(4.0)), numpy.full((2, 3), 2.0)))
    )
    assert capsys.readouterr().out == expected + "\n"
    x = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])
    close(x[1:3], [[4, 5, 6], [7, 8, 9]])
    x[0] = 0.0
    x[1:3, 1] = 10.0
    close(np.slice_axis(x, axis=1, begin=1, end=2), [[0], [10], [10]])


def test_a_polynomial_and_its_slope():
    def foo(x):
        return 5 * (x**2) + 3 * x - 2

    assert foo(4) == 90 and grad(foo)(4) == 43.0
    square, slopes = (lambda x: x**2), []
    for _ in range(3):
        square = grad(square)
        slopes.append(square(4.0))
    assert slopes == [8.0, 2.0, 0.0]
    close(grad(lambda x: np.sum(x**2))(np.array([1.0, 2, 3, 4])), [2, 4, 6, 8])


def test_a_net_with_its_parameters_as_arguments():
    def softmax_loss(x, y):
        probs = np.exp(x - np.max(x, axis=1, keepdims=True))
        probs = probs / np.sum(probs, axis=1, keepdims=True)
        return -np.sum(np.log(probs) * y) / x.shape[0]

    class SimpleNet:
        def __init__(self, input_size, num_class):
            self.params = {"w": np.random.randn(input_size, num_class) * 0.01, "b": np.zeros((1, 1))}

        def loss(self, X, y):
            return softmax_loss(np.maximum(0, np.dot(X, self.params["w"]) + self.params["b"]), y)

    net = SimpleNet(50, 3)
    x, y = np.random.randn(100, 50), np.zeros((100, 3))
    y[np.arange(100), np.random.randint(0, 3, size=100)] = 1
    assert grad(net.loss)(x, y).shape == (100, 50)

    def loss_func(w, b, X, y):
        net.params["w"], net.params["b"] = w, b
        return net.loss(X, y)

    slopes, losses = grad_and_loss(loss_func, [0, 1]), []
    w, b = net.params["w"], net.params["b"]
    for _ in range(60):
        (d_w, d_b), loss = slopes(w, b, x, y)
        losses.append(float(loss))
        w, b = w - 0.5 * d_w, b - 0.5 * d_b
    assert losses[0] == pytest.approx(numpy.log(3), abs=0.05) and losses[-1] < 0.8 * losses[0]
    assert d_w.shape == (50, 3) and d_b.shape == (1, 1)
    assert numpy.isfinite(float(np.sum(net.params["w"])))  # off the tape


def test_a_function_under_a_policy_of_its_own():
    seen = []

    @minpy.wrap_policy(policy.OnlyNumPyPolicy())
    def foo(a, b):
        seen.append(type(minpy.runtime.policy.current_policy()))
        return np.log(a + b)

    a, b = np.ones((2, 2)), np.zeros((2, 2))
    c = a + b
    close(foo(np.ones((2, 2)), np.zeros((2, 2))), numpy.zeros((2, 2)))
    close(a + b, c.asnumpy())
    assert seen == [policy.OnlyNumPyPolicy]


def test_work_in_a_context():
    with cpu():
        x_cpu, y_cpu = random.rand(32, 64) - 0.5, random.rand(64, 32) - 0.5
        for _ in range(3):
            z_cpu = np.dot(x_cpu, y_cpu)
        z_cpu.asnumpy()
    assert z_cpu.context == cpu() == x_cpu.context
    close(z_cpu, x_cpu.asnumpy() @ y_cpu.asnumpy())
    set_context(cpu())
    assert current_context() == cpu()


def test_branches_that_depend_on_data():
    def foo(x):
        return x if x >= 0 else 2 * x

    assert grad(foo)(3) == 1.0 and grad(foo)(-1) == 2.0


@mxnet
def test_a_symbol_among_functions():
    from minpy.runtime.backends.mxnet import load

    mx = load()
    net = mx.sym.Convolution(mx.sym.Variable("x"), name="conv", kernel=(3, 3), num_filter=4, no_bias=True)
    conv = Function(net, input_shapes={"x": (2, 3, 6, 6)})
    x, w = np.zeros((2, 3, 6, 6)), np.ones((4, 3, 3, 3))
    y = np.exp(conv(x=x, conv_weight=w))
    assert y.shape == (2, 4, 4, 4) and conv.get_one_output_shape() == (2, 4, 4, 4)
    close(y, numpy.ones((2, 4, 4, 4)))
    slope = grad(lambda w: np.sum(np.exp(conv(x=x + 1, conv_weight=w * 0))))(w)
    assert slope.shape == w.shape


def test_a_gated_recurrent_unit_sees_the_whole_sequence():
    n, d, h, steps = 3, 2, 4, 5
    shapes = (d, 2 * h), (h, 2 * h), (2 * h,), (d, h), (h, h), (h,)
    params = [random.randn(*shape) * 0.5 for shape in shapes]
    x = random.randn(n, steps, d)

    def loss(x, *params):
        state = np.zeros((n, h))
        for t in range(steps):
            state = layers.gru_step(x[:, t, :], state, *params)
        return np.sum(state**2)

    first = numpy.asarray(grad(loss)(x, *params).asnumpy())
    assert (numpy.abs(first).sum(axis=(0, 2)) > 0).all()
    moved = x.asnumpy()
    moved[1, 0, 1] += 1e-6
    slope = (float(loss(moved, *params)) - float(loss(x, *params))) / 1e-6
    assert first[1, 0, 1] == pytest.approx(slope, rel=1e-3, abs=1e-6)


def test_out_of_minpy_and_into_matplotlib():
    a = np.zeros((2, 3))
    assert isinstance(a, minpy.array.Array) and type(a.asnumpy()) is numpy.ndarray
    discounted = np.zeros_like(a).asnumpy()
    discounted[0, 1] = 12  # it is the program's own
    assert a.asnumpy()[0, 1] == 0
    b = np.transpose(a)
    b[0, 1] = 12  # a view, as in NumPy
    assert a.asnumpy()[1, 0] == 12
