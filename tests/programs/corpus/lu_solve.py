"""Gaussian elimination with pivoting, rows swapped by fancy indices, and both substitutions."""

import numpy as np


def sample(rng):
    return rng.normal(size=(5, 6))


def run(system):
    a, b = system[:, :5], system[:, 5]
    n = len(a)
    for k in range(n):
        p = k + int(np.argmax(np.abs(a[k:, k])))
        if p != k:
            a[[k, p]] = a[[p, k]]
            b[[k, p]] = b[[p, k]]
        for i in range(k + 1, n):
            factor = a[i, k] / a[k, k]
            a[i, k:] -= factor * a[k, k:]
            b[i] -= factor * b[k]
    for k in range(n - 1, -1, -1):
        b[k] = (b[k] - a[k, k + 1 :] @ b[k + 1 :]) / a[k, k]
    return np.sum(np.tanh(b))
