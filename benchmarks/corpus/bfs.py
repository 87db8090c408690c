"""Distances in a graph by breadth, with a queue in an array."""

import numpy as np


def setup(size):
    n, degree = {"tiny": (8, 2), "small": (3_000, 4), "large": (80_000, 5)}[size]
    rng = np.random.default_rng(52)
    return np.arange(0, n * degree + 1, degree), rng.integers(0, n, n * degree)


def run(starts, targets):
    n = len(starts) - 1
    distance = np.full(n, -1)
    queue = np.empty(n, dtype=np.int64)
    queue[0] = 0
    distance[0] = 0
    head, tail = 0, 1
    while head < tail:
        node = queue[head]
        head += 1
        for k in range(starts[node], starts[node + 1]):
            other = targets[k]
            if distance[other] < 0:
                distance[other] = distance[node] + 1
                queue[tail] = other
                tail += 1
    return distance
