"""Gauss-Seidel relaxation of a plate, in place: each element needs its new neighbours."""

import numpy as np


def setup(size):
    n, sweeps = {"tiny": (6, 2), "small": (40, 15), "large": (200, 12)}[size]
    a = np.zeros((n, n))
    a[0, :] = 1.0
    a[:, -1] = np.linspace(1.0, 0.0, n)
    return a, sweeps


def run(a, sweeps):
    n = a.shape[0]
    for _ in range(sweeps):
        change = 0.0
        for i in range(1, n - 1):
            for j in range(1, n - 1):
                new = 0.25 * (a[i - 1, j] + a[i + 1, j] + a[i, j - 1] + a[i, j + 1])
                change = max(change, abs(new - a[i, j]))
                a[i, j] = new
    return a, change
