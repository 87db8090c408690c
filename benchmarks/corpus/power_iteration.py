"""The largest eigenvalue of a matrix by power iteration."""

import numpy as np


def setup(size):
    n, steps = {"tiny": (5, 5), "small": (50, 1500), "large": (1000, 500)}[size]
    a = np.random.default_rng(8).random((n, n))
    return a + a.T, steps


def run(a, steps):
    x = np.ones(a.shape[0])
    value = 0.0
    for _ in range(steps):
        y = a @ x
        value = x @ y
        x = y / np.sqrt(np.sum(y**2))
    return value, x
