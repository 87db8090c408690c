"""A linear system by conjugate gradients."""

import numpy as np


def setup(size):
    n, steps = {"tiny": (6, 4), "small": (200, 1000), "large": (2000, 200)}[size]
    a = np.random.default_rng(11).random((n, n))
    return a @ a.T + n * np.eye(n), np.ones(n), steps


def run(a, b, steps):
    x = np.zeros_like(b)
    r = b - a @ x
    p = r.copy()
    old = r @ r
    for _ in range(steps):
        ap = a @ p
        alpha = old / (p @ ap)
        x += alpha * p
        r -= alpha * ap
        new = r @ r
        if new < 1e-300:
            break
        p = r + (new / old) * p
        old = new
    return x
