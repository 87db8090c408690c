"""In which order to multiply a chain of matrices."""

import numpy as np


def setup(size):
    n = {"tiny": 5, "small": 40, "large": 150}[size]
    return (np.random.default_rng(29).integers(5, 100, n + 1),)


def run(shapes):
    n = len(shapes) - 1
    cost = np.zeros((n, n), dtype=np.int64)
    split = np.zeros((n, n), dtype=np.int64)
    for length in range(2, n + 1):
        for i in range(n - length + 1):
            j = i + length - 1
            cost[i, j] = 2**62
            for k in range(i, j):
                q = cost[i, k] + cost[k + 1, j] + shapes[i] * shapes[k + 1] * shapes[j + 1]
                if q < cost[i, j]:
                    cost[i, j] = q
                    split[i, j] = k
    return cost[0, n - 1], split
