import numpy as np
from numba import njit, prange

from benchmarks.ports.numba import shared


@njit(cache=True)
def entry(i, j):
    return 1.0 / ((i + j) * (i + j + 1) // 2 + i + 1)


@shared
def times(x):
    n = len(x)
    y = np.zeros(n)
    for i in prange(n):
        total = 0.0
        for j in range(n):
            total += entry(i, j) * x[j]
        y[i] = total
    return y


@shared
def times_transposed(x):
    n = len(x)
    y = np.zeros(n)
    for i in prange(n):
        total = 0.0
        for j in range(n):
            total += entry(j, i) * x[j]
        y[i] = total
    return y


@njit(cache=True)
def run(n):
    u = np.ones(n)
    v = u
    for _ in range(3):
        v = times_transposed(times(u))
        u = times_transposed(times(v))
    return np.sqrt(np.dot(u, v) / np.dot(v, v))
