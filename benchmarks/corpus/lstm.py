"""A long short-term memory, forward over a sequence."""

import numpy as np


def setup(size):
    length, batch, n = {"tiny": (3, 2, 4), "small": (100, 8, 32), "large": (100, 64, 256)}[size]
    rng = np.random.default_rng(45)
    return rng.standard_normal((length, batch, n)), 0.1 * rng.standard_normal((2 * n, 4 * n)), np.zeros(4 * n)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def run(x, w, b):
    length, batch, n = x.shape
    h = np.zeros((batch, n))
    c = np.zeros((batch, n))
    outputs = np.zeros((length, batch, n))
    for t in range(length):
        z = np.concatenate([x[t], h], axis=1) @ w + b
        i = sigmoid(z[:, :n])
        f = sigmoid(z[:, n : 2 * n] + 1.0)
        o = sigmoid(z[:, 2 * n : 3 * n])
        g = np.tanh(z[:, 3 * n :])
        c = f * c + i * g
        h = o * np.tanh(c)
        outputs[t] = h
    return outputs
