"""The alignment of two sequences with a penalty for gaps."""

import numpy as np


def setup(size):
    n = {"tiny": 7, "small": 100, "large": 500}[size]
    rng = np.random.default_rng(26)
    return rng.integers(0, 4, n), rng.integers(0, 4, n + 5), 2 * np.eye(4) - 1.0, -1.5


def run(a, b, scores, gap):
    n, m = len(a), len(b)
    f = np.zeros((n + 1, m + 1))
    pointer = np.zeros((n + 1, m + 1), dtype=np.int8)
    for i in range(n + 1):
        f[i, 0] = gap * i
    for j in range(m + 1):
        f[0, j] = gap * j
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            match = f[i - 1, j - 1] + scores[a[i - 1], b[j - 1]]
            delete = f[i - 1, j] + gap
            insert = f[i, j - 1] + gap
            best = max(match, delete, insert)
            f[i, j] = best
            pointer[i, j] = 0 if best == match else (1 if best == delete else 2)
    return f[n, m], pointer
