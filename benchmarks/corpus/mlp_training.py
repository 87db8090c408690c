"""A network of two layers learns by gradients written by hand."""

import numpy as np


def setup(size):
    n, inputs, hidden, steps = {
        "tiny": (6, 4, 5, 2),
        "small": (64, 20, 30, 150),
        "large": (512, 200, 300, 60),
    }[size]
    rng = np.random.default_rng(44)
    x = rng.standard_normal((n, inputs))
    labels = rng.integers(0, 10, n)
    w1 = 0.1 * rng.standard_normal((inputs, hidden))
    w2 = 0.1 * rng.standard_normal((hidden, 10))
    return x, labels, w1, np.zeros(hidden), w2, np.zeros(10), steps


def run(x, labels, w1, b1, w2, b2, steps):
    n = len(x)
    losses = []
    for _ in range(steps):
        h = np.maximum(0, x @ w1 + b1)
        scores = h @ w2 + b2
        scores -= scores.max(axis=1, keepdims=True)
        p = np.exp(scores)
        p /= p.sum(axis=1, keepdims=True)
        losses.append(-np.mean(np.log(p[np.arange(n), labels])))
        p[np.arange(n), labels] -= 1
        p /= n
        dw2 = h.T @ p
        db2 = p.sum(axis=0)
        dh = p @ w2.T
        dh[h <= 0] = 0
        w1 -= 0.1 * (x.T @ dh)
        b1 -= 0.1 * dh.sum(axis=0)
        w2 -= 0.1 * dw2
        b2 -= 0.1 * db2
    return np.array(losses), w1, w2
