"""The correlation matrix of some columns, pair by pair."""

import numpy as np


def setup(size):
    n, m = {"tiny": (10, 3), "small": (500, 120), "large": (4000, 500)}[size]
    return (np.random.default_rng(60).standard_normal((n, m)),)


def run(data):
    m = data.shape[1]
    mean = np.mean(data, axis=0)
    deviation = np.std(data, axis=0)
    deviation[deviation <= 0.1] = 1.0
    data -= mean
    data /= np.sqrt(data.shape[0]) * deviation
    corr = np.eye(m)
    for i in range(m - 1):
        corr[i + 1 : m, i] = corr[i, i + 1 : m] = data[:, i] @ data[:, i + 1 : m]
    return corr
