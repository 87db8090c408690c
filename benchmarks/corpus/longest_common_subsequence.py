"""The longest common subsequence of two sequences, and the way back."""

import numpy as np


def setup(size):
    n = {"tiny": 8, "small": 120, "large": 700}[size]
    rng = np.random.default_rng(24)
    return rng.integers(0, 4, n), rng.integers(0, 4, n)


def run(a, b):
    n, m = len(a), len(b)
    table = np.zeros((n + 1, m + 1), dtype=int)
    for i in range(n):
        for j in range(m):
            if a[i] == b[j]:
                table[i + 1, j + 1] = table[i, j] + 1
            elif table[i, j + 1] >= table[i + 1, j]:
                table[i + 1, j + 1] = table[i, j + 1]
            else:
                table[i + 1, j + 1] = table[i + 1, j]
    found = []
    i, j = n, m
    while i > 0 and j > 0:
        if a[i - 1] == b[j - 1]:
            found.append(a[i - 1])
            i -= 1
            j -= 1
        elif table[i - 1, j] >= table[i, j - 1]:
            i -= 1
        else:
            j -= 1
    return np.array(found[::-1])
