"""Layers as one writes them when one learns: loops over places, and stores into an array that was made before.

The forward runs of a convolution, of pooling and of batch normalisation, in plain NumPy. Their backward runs are not
written at all: `grad` goes through the loops and the stores. They are compared with MinPy's own layers, and train a
small network on digits.

    minpy run examples/layers_in_numpy.py

Run it with `minpy run`: under plain Python, arrays that are written into would not be on the tape.

Expected: differences of 1e-14, and a test accuracy of 98 %, in 10 seconds.
"""

import argparse

import numpy as np

from minpy import grad, value_and_grad
from minpy.nn import layers
from minpy.utils.data import images


def conv_forward(x, w, b, pad=1):
    n, _, height, width = x.shape
    filters, _, kh, kw = w.shape
    padded = np.zeros((n, x.shape[1], height + 2 * pad, width + 2 * pad), x.dtype)
    padded[:, :, pad : pad + height, pad : pad + width] = x
    rows = w.reshape(filters, -1)
    out = np.zeros((n, filters, height + 2 * pad - kh + 1, width + 2 * pad - kw + 1), x.dtype)
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            window = padded[:, :, i : i + kh, j : j + kw].reshape(n, -1)
            out[:, :, i, j] = np.dot(window, rows.T)
            out[:, :, i, j] += b
    return out


def max_pool_forward(x, size=2):
    n, channels, height, width = x.shape
    out = np.empty((n, channels, height // size, width // size), x.dtype)
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            window = x[:, :, i * size : (i + 1) * size, j * size : (j + 1) * size]
            out[:, :, i, j] = np.max(window, axis=(2, 3))
    return out


def batchnorm_forward(x, gamma, beta, running, mode, eps=1e-5, momentum=0.9):
    """`running` is a dict of averages; they are updated in place while training."""
    if mode == "train":
        mean, variance = np.mean(x, axis=0), np.var(x, axis=0)
        running["mean"] *= momentum
        running["mean"] += (1 - momentum) * mean
        running["variance"] *= momentum
        running["variance"] += (1 - momentum) * variance
    else:
        mean, variance = running["mean"], running["variance"]
    out = x - mean
    out /= np.sqrt(variance + eps)
    out *= gamma
    out += beta
    return out


def forward(p, x, running, mode):
    h = conv_forward(x, p["w0"], p["b0"])
    h[h < 0] = 0  # ReLU, in place
    h = max_pool_forward(h).reshape(len(x), -1)
    h = np.dot(h, p["w1"])
    h = np.maximum(batchnorm_forward(h, p["gamma"], p["beta"], running, mode), 0)
    return np.dot(h, p["w2"]) + p["b2"]


def loss(p, x, y, running):
    scores = forward(p, x, running, "train")
    scores -= np.max(scores, axis=1, keepdims=True)
    return np.mean(np.log(np.sum(np.exp(scores), axis=1)) - scores[np.arange(len(y)), y])


def values_and_gradients(layer, arguments, weight):
    gradients = grad(lambda *a: np.sum(layer(*a) * weight), tuple(range(len(arguments))))
    return [layer(*arguments), *gradients(*arguments)]


def compare():
    """Values and gradients of these layers and of MinPy's."""
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(3, 2, 6, 6)), rng.normal(size=(4, 2, 3, 3)), rng.normal(size=4)
    rows, gamma, beta = rng.normal(size=(6, 5)), rng.normal(size=5), rng.normal(size=5)

    def fresh():
        return {"mean": np.zeros(5), "variance": np.zeros(5)}

    pairs = {
        "convolution": (conv_forward, lambda *a: layers.convolution(*a, pad=1), (x, w, b)),
        "pooling": (max_pool_forward, lambda x: layers.pooling(x, "max", 2), (x,)),
        "batch normalisation": (
            lambda *a: batchnorm_forward(*a, fresh(), "train"),
            lambda *a: layers.batchnorm(*a)[0],
            (rows, gamma, beta),
        ),
    }
    for name, (ours, theirs, arguments) in pairs.items():
        weight = rng.normal(size=theirs(*arguments).shape)
        found = values_and_gradients(ours, arguments, weight), values_and_gradients(theirs, arguments, weight)
        largest = max(np.abs(a - c).max() for a, c in zip(*found))
        print(f"{name}: largest difference in values and gradients {largest:.1e}")


def main(arguments=None):
    parser = argparse.ArgumentParser(description="layers in plain NumPy, written in place")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--short", action="store_true", help="a few steps")
    options = parser.parse_args(arguments)
    compare()

    data = images()
    if options.short:
        data = data.first(96, 100)
    rng = np.random.default_rng(options.seed)
    filters, hidden, batch = 8, 32, 32
    shapes = {"w0": (filters, 1, 3, 3), "w1": (filters * 16, hidden), "w2": (hidden, 10)}
    p = {
        name: rng.normal(0, np.sqrt(2 / np.prod(s[-3:] if len(s) == 4 else s[:1])), s)
        for name, s in shapes.items()
    }
    p |= {"b0": np.zeros(filters), "gamma": np.ones(hidden), "beta": np.zeros(hidden), "b2": np.zeros(10)}
    running = {"mean": np.zeros(hidden), "variance": np.zeros(hidden)}
    velocity = {name: np.zeros_like(value) for name, value in p.items()}
    step, epochs = value_and_grad(loss), 2 if options.short else 8
    for epoch in range(1, epochs + 1):
        rate, total, count = 0.05 * 0.8 ** (epoch - 1), 0.0, 0
        order = rng.permutation(len(data.x_train))
        for start in range(0, len(order) - batch + 1, batch):
            rows = order[start : start + batch]
            value, gradient = step(p, data.x_train[rows].astype(float), data.y_train[rows], running)
            for name in p:
                velocity[name] *= 0.9
                velocity[name] -= rate * gradient[name]
                p[name] += velocity[name]
            total, count = total + float(value), count + 1
        print(f"epoch {epoch}  loss {total / count:.4f}", flush=True)
    answers = np.argmax(forward(p, data.x_test.astype(float), running, "test"), axis=1)
    print(f"test accuracy: {np.mean(answers == data.y_test):.2%}")


if __name__ == "__main__":
    main()
