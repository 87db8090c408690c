"""The deviation of each window of a series."""

import numpy as np


def setup(size):
    n, window = {"tiny": (20, 4), "small": (1_500, 30), "large": (25_000, 60)}[size]
    return np.random.default_rng(59).standard_normal(n), window


def run(series, window):
    out = np.empty(len(series) - window + 1)
    for i in range(len(out)):
        out[i] = np.std(series[i : i + window])
    return out
