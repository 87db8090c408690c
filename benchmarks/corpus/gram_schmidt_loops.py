"""Modified Gram-Schmidt, element by element."""

import math

import numpy as np


def setup(size):
    m, n = {"tiny": (7, 5), "small": (30, 20), "large": (120, 100)}[size]
    return (np.random.default_rng(86).standard_normal((m, n)),)


def run(a):
    m, n = a.shape
    q = np.zeros((m, n))
    r = np.zeros((n, n))
    for k in range(n):
        norm = 0.0
        for i in range(m):
            norm += a[i, k] * a[i, k]
        r[k, k] = math.sqrt(norm)
        for i in range(m):
            q[i, k] = a[i, k] / r[k, k]
        for j in range(k + 1, n):
            total = 0.0
            for i in range(m):
                total += q[i, k] * a[i, j]
            r[k, j] = total
            for i in range(m):
                a[i, j] -= q[i, k] * total
    return q, r
