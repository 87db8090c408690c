"""The product of two matrices, three loops over elements."""

import numpy as np


def setup(size):
    n = {"tiny": 4, "small": 30, "large": 100}[size]
    rng = np.random.default_rng(10)
    return rng.random((n, n)), rng.random((n, n))


def run(a, b):
    n, m, p = a.shape[0], a.shape[1], b.shape[1]
    c = np.zeros((n, p))
    for i in range(n):
        for j in range(p):
            for k in range(m):
                c[i, j] += a[i, k] * b[k, j]
    return c
