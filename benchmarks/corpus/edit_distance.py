"""Levenshtein's distance of two texts."""

import numpy as np


def setup(size):
    n = {"tiny": 8, "small": 120, "large": 600}[size]
    rng = np.random.default_rng(23)
    return "".join(rng.choice(list("acgt"), n)), "".join(rng.choice(list("acgt"), n + n // 5))


def run(a, b):
    n, m = len(a), len(b)
    d = np.zeros((n + 1, m + 1), dtype=np.int64)
    d[:, 0] = np.arange(n + 1)
    d[0, :] = np.arange(m + 1)
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            cost = 0 if a[i - 1] == b[j - 1] else 1
            d[i, j] = min(d[i - 1, j] + 1, d[i, j - 1] + 1, d[i - 1, j - 1] + cost)
    return d[n, m], d
