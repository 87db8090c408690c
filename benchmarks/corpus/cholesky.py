"""Cholesky decomposition, three loops over elements."""

import math

import numpy as np


def setup(size):
    n = {"tiny": 5, "small": 40, "large": 150}[size]
    a = np.random.default_rng(6).random((n, n))
    return (a @ a.T + n * np.eye(n),)


def run(a):
    n = len(a)
    lower = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            total = a[i, j]
            for k in range(j):
                total -= lower[i, k] * lower[j, k]
            if i == j:
                lower[i, i] = math.sqrt(total)
            else:
                lower[i, j] = total / lower[j, j]
    return lower
