"""A tridiagonal system by elimination, element by element."""

import numpy as np


def setup(size):
    n = {"tiny": 6, "small": 20_000, "large": 300_000}[size]
    rng = np.random.default_rng(13)
    return rng.random(n), rng.random(n) + 4.0, rng.random(n), rng.random(n)


def run(a, b, c, d):
    n = len(d)
    cc = np.empty(n)
    dd = np.empty(n)
    x = np.empty(n)
    cc[0] = c[0] / b[0]
    dd[0] = d[0] / b[0]
    for i in range(1, n):
        m = b[i] - a[i] * cc[i - 1]
        cc[i] = c[i] / m
        dd[i] = (d[i] - a[i] * dd[i - 1]) / m
    x[n - 1] = dd[n - 1]
    for i in range(n - 2, -1, -1):
        x[i] = dd[i] - cc[i] * x[i + 1]
    return x
