"""A sparse matrix (compressed rows) times a vector, row by row."""

import numpy as np


def setup(size):
    n, per_row = {"tiny": (8, 3), "small": (1500, 20), "large": (100_000, 30)}[size]
    rng = np.random.default_rng(12)
    starts = np.arange(0, n * per_row + 1, per_row)
    return starts, rng.integers(0, n, n * per_row), rng.random(n * per_row), rng.random(n)


def run(starts, columns, values, x):
    n = len(starts) - 1
    y = np.empty(n)
    for i in range(n):
        cols = columns[starts[i] : starts[i + 1]]
        vals = values[starts[i] : starts[i + 1]]
        y[i] = vals @ x[cols]
    return y
