"""Modified Gram-Schmidt, column by column."""

import numpy as np


def setup(size):
    m, n = {"tiny": (7, 5), "small": (120, 80), "large": (600, 300)}[size]
    return (np.random.default_rng(7).standard_normal((m, n)),)


def run(a):
    n = a.shape[1]
    q = np.zeros_like(a)
    r = np.zeros((n, n))
    for k in range(n):
        norm = np.dot(a[:, k], a[:, k])
        r[k, k] = np.sqrt(norm)
        q[:, k] = a[:, k] / r[k, k]
        for j in range(k + 1, n):
            r[k, j] = np.dot(q[:, k], a[:, j])
            a[:, j] -= q[:, k] * r[k, j]
    return q, r
