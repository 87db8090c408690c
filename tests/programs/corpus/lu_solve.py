"""Gaussian elimination with pivoting, rows swapped by fancy indices, and both substitutions."""

import numpy as np


def sample(rng):
    return rng.normal(size=(5, 6))


def large(rng):
    return rng.normal(size=(700, 701)), {}


def run(system):
    a, b = system[:, :-1], system[:, -1]
    n = len(a)
    for k in range(n):
        p = k + int(np.argmax(np.abs(a[k:, k])))
        if p != k:
            a[[k, p]] = a[[p, k]]
            b[[k, p]] = b[[p, k]]
        factors = a[k + 1 :, k] / a[k, k]
        a[k + 1 :, k:] -= factors[:, None] * a[k, k:]
        b[k + 1 :] -= factors * b[k]
    for k in range(n - 1, -1, -1):
        b[k] = (b[k] - a[k, k + 1 :] @ b[k + 1 :]) / a[k, k]
    return np.sum(np.tanh(b))
