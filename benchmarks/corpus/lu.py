"""LU decomposition without pivots, row by row."""

import numpy as np


def setup(size):
    n = {"tiny": 6, "small": 60, "large": 400}[size]
    a = np.random.default_rng(5).random((n, n))
    return (a @ a.T + n * np.eye(n),)


def run(a):
    n = a.shape[0]
    for i in range(n):
        for j in range(i):
            a[i, j] -= a[i, :j] @ a[:j, j]
            a[i, j] /= a[j, j]
        for j in range(i, n):
            a[i, j] -= a[i, :i] @ a[:i, j]
    return a
