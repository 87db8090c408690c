import numpy as np
from numba import njit


@njit(cache=True)
def run(weights, values, capacity):
    n = len(weights)
    best = np.zeros(capacity + 1, dtype=np.int64)
    taken = np.zeros((n, capacity + 1), dtype=np.bool_)
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
