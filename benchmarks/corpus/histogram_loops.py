"""A histogram counted one value after the other."""

import numpy as np


def setup(size):
    n, bins = {"tiny": (50, 5), "small": (20_000, 64), "large": (500_000, 256)}[size]
    return np.random.default_rng(21).random(n), bins


def run(data, bins):
    counts = np.zeros(bins, dtype=np.int64)
    low, high = data.min(), data.max()
    width = (high - low) / bins
    for x in data:
        k = int((x - low) / width)
        if k == bins:
            k = bins - 1
        counts[k] += 1
    return counts
