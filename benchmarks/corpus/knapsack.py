"""What to pack: values and weights, each thing once."""

import numpy as np


def setup(size):
    n, capacity = {"tiny": (4, 20), "small": (40, 500), "large": (150, 3000)}[size]
    rng = np.random.default_rng(25)
    return rng.integers(1, 60, n), rng.integers(1, 100, n), capacity


def run(weights, values, capacity):
    n = len(weights)
    best = np.zeros(capacity + 1, dtype=np.int64)
    taken = np.zeros((n, capacity + 1), dtype=bool)
    for i in range(n):
        for c in range(capacity, weights[i] - 1, -1):
            candidate = best[c - weights[i]] + values[i]
            if candidate > best[c]:
                best[c] = candidate
                taken[i, c] = True
    c = capacity
    chosen = []
    for i in range(n - 1, -1, -1):
        if taken[i, c]:
            chosen.append(i)
            c -= weights[i]
    return best[capacity], chosen
