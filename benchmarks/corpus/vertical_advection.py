"""A tridiagonal solve along each column of air, one level at a time."""

import numpy as np


def setup(size):
    i, j, k = {"tiny": (3, 4, 5), "small": (32, 32, 50), "large": (192, 192, 80)}[size]
    rng = np.random.default_rng(4)
    return rng.random((i, j, k)), rng.random((i, j, k)) + 3.0, rng.random((i, j, k)), rng.random((i, j, k))


def run(lower, diagonal, upper, rhs):
    levels = rhs.shape[2]
    c = np.zeros_like(rhs)
    d = np.zeros_like(rhs)
    c[:, :, 0] = upper[:, :, 0] / diagonal[:, :, 0]
    d[:, :, 0] = rhs[:, :, 0] / diagonal[:, :, 0]
    for k in range(1, levels):
        pivot = 1.0 / (diagonal[:, :, k] - lower[:, :, k] * c[:, :, k - 1])
        c[:, :, k] = upper[:, :, k] * pivot
        d[:, :, k] = (rhs[:, :, k] - lower[:, :, k] * d[:, :, k - 1]) * pivot
    x = np.zeros_like(rhs)
    x[:, :, levels - 1] = d[:, :, levels - 1]
    for k in range(levels - 2, -1, -1):
        x[:, :, k] = d[:, :, k] - c[:, :, k] * x[:, :, k + 1]
    return x
