"""Cholesky, column by column over slices of the matrix itself."""

import numpy as np


def sample(rng):
    a = rng.normal(size=(5, 5))
    return a @ a.T + 5 * np.eye(5)


def large(rng):
    a = rng.normal(size=(1000, 1000))
    return a @ a.T + 1000 * np.eye(1000), {}


def run(a):
    n = len(a)
    for j in range(n):
        a[j, j] = np.sqrt(a[j, j] - np.dot(a[j, :j], a[j, :j]))
        a[j + 1 :, j] = (a[j + 1 :, j] - np.dot(a[j + 1 :, :j], a[j, :j])) / a[j, j]
        a[j, j + 1 :] = 0.0
    return 2 * np.sum(np.log(np.diagonal(a))) + np.sum(np.tril(a) ** 3)
