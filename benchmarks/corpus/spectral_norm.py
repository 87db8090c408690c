"""The spectral norm of an infinite matrix, as in the old game of languages."""

import numpy as np


def setup(size):
    n = {"tiny": 5, "small": 60, "large": 280}[size]
    return (n,)


def entry(i, j):
    return 1.0 / ((i + j) * (i + j + 1) // 2 + i + 1)


def times(x):
    n = len(x)
    y = np.zeros(n)
    for i in range(n):
        total = 0.0
        for j in range(n):
            total += entry(i, j) * x[j]
        y[i] = total
    return y


def times_transposed(x):
    n = len(x)
    y = np.zeros(n)
    for i in range(n):
        total = 0.0
        for j in range(n):
            total += entry(j, i) * x[j]
        y[i] = total
    return y


def run(n):
    u = np.ones(n)
    for _ in range(3):
        v = times_transposed(times(u))
        u = times_transposed(times(v))
    return np.sqrt(np.dot(u, v) / np.dot(v, v))
