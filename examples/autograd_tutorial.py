"""Derivatives of programs, step by step: numbers, arrays, several arguments, losses, and what is around `grad`.

    minpy run examples/autograd_tutorial.py

Everything that is said is checked: a wrong number ends the program with an error.
"""

import argparse

import numpy as np

from minpy import check_grads, grad, grad_and_loss, hessian, jacobian, vjp
from minpy.nn import layers


def says(text, found, expected, tolerance=1e-9):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    print(f"{text} = {np.array2string(np.asarray(found), precision=4, threshold=8)}")


def numbers():
    print("-- functions of a number")

    def square(x):
        return x**2

    says("square(4)", square(4.0), 16)
    says("square'(4)", grad(square)(4.0), 8)

    def branches(x):
        if x >= 0:
            return x
        return 2 * x

    says("the slope where x >= 0", grad(branches)(3.0), 1)
    says("the slope where x < 0", grad(branches)(-1.0), 2)

    def loops(x, n=5):
        y = 1.0
        for _ in range(n):
            y = y * x
        return y

    says("the slope of x**5, by a loop, at 2", grad(loops)(2.0), 80)
    says("its second derivative", grad(grad(loops))(2.0), 160)


def arrays():
    print("-- functions of an array")
    x = np.arange(1.0, 5.0)
    says("the gradient of the sum of squares", grad(lambda x: np.sum(x**2))(x), 2 * x)

    def in_place(x):
        y = np.zeros(6)
        y[1:5] = x
        y[2:] *= 3
        return np.sum(y**2)

    says("through slices that are written", grad(in_place)(x), 2 * x * np.array([1, 9, 9, 9]))
    says("a row of the Jacobian of cumsum", jacobian(np.cumsum)(x)[2], [1, 1, 1, 0])
    says("the Hessian of a product", hessian(lambda x: x[0] * x[1])(x[:2]), [[0, 1], [1, 0]])


def arguments():
    print("-- several arguments")

    def bar(a, b, c):
        return 3 * a + b**2 - c

    says("the first", grad(bar)(2.0, 3.0, 4.0), 3)
    says("the second", grad(bar, argnum=1)(2.0, 3.0, 4.0), 6)
    gradients, value = grad_and_loss(bar, argnum=[0, 1, 2])(2.0, 3.0, 4.0)
    says("all three", gradients, [3, 6, -1])
    says("and the value, from the same run", value, 11)

    # A gradient from above: that of a function of which only the part after this one is known.
    value, pull = vjp(lambda x: x**2, np.array([1.0, 2.0, 3.0]))
    says("pulled back", pull(np.array([1.0, 10.0, 100.0]))[0], [2, 40, 600])


def losses():
    print("-- the loss of a network")
    rng = np.random.default_rng(0)
    x, label = rng.normal(size=(20, 30)), rng.integers(0, 5, 20)
    params = {
        "w1": rng.normal(size=(30, 16)) / 6,
        "b1": np.zeros(16),
        "w2": rng.normal(size=(16, 5)) / 4,
        "b2": np.zeros(5),
    }

    def loss(p):
        h = np.maximum(np.dot(x, p["w1"]) + p["b1"], 0)
        return layers.softmax_loss(np.dot(h, p["w2"]) + p["b2"], label)

    check_grads(loss, (params,), order=1, modes=("rev",))
    print("the gradient agrees with differences of the loss")
    step, values = grad_and_loss(loss), []
    for _ in range(100):
        gradient, value = step(params)
        values.append(float(value))
        for name in params:
            params[name] -= 0.5 * gradient[name]
    print(f"100 steps: loss {values[0]:.4f} -> {values[-1]:.4f}")
    assert values[-1] < 0.2 * values[0]


def main(arguments_=None):
    parser = argparse.ArgumentParser(description="derivatives of programs, step by step")
    parser.add_argument("--short", action="store_true", help="the same: it is short")
    parser.parse_args(arguments_)
    numbers()
    arrays()
    arguments()
    losses()
    print("all as it should be")


if __name__ == "__main__":
    main()
