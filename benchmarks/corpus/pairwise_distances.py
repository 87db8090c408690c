"""Distances of all pairs of points, by loops."""

import numpy as np


def setup(size):
    n, d = {"tiny": (5, 2), "small": (70, 3), "large": (300, 4)}[size]
    return (np.random.default_rng(72).random((n, d)),)


def run(x):
    n, d = x.shape
    out = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            total = 0.0
            for k in range(d):
                diff = x[i, k] - x[j, k]
                total += diff * diff
            out[i, j] = np.sqrt(total)
    return out
