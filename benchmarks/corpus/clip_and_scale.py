"""One array expression on two large arrays of integers."""

import numpy as np


def setup(size):
    n = {"tiny": 5, "small": 150, "large": 1500}[size]
    rng = np.random.default_rng(77)
    return rng.integers(0, 1000, (n, n)), rng.integers(0, 1000, (n, n)), 2 if size == "tiny" else 10


def run(a, b, times):
    for _ in range(times):
        result = np.clip(a, 2, 10) * 4 + b * 3 + 9
        b = result % 1000
    return result
