"""Simple and exponential averages of a series, and its bands, by a loop."""

import numpy as np


def setup(size):
    n, window = {"tiny": (20, 4), "small": (8_000, 20), "large": (400_000, 50)}[size]
    return np.cumsum(np.random.default_rng(58).standard_normal(n)), window


def run(series, window):
    n = len(series)
    simple = np.full(n, np.nan)
    smooth = np.empty(n)
    alpha = 2.0 / (window + 1)
    total = 0.0
    smooth[0] = series[0]
    for i in range(n):
        total += series[i]
        if i >= window:
            total -= series[i - window]
        if i >= window - 1:
            simple[i] = total / window
        if i > 0:
            smooth[i] = alpha * series[i] + (1 - alpha) * smooth[i - 1]
    return simple, smooth
