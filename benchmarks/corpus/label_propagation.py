"""The connected parts of a graph: the smallest label spreads along the edges."""

import numpy as np


def setup(size):
    n, edges = {"tiny": (8, 6), "small": (15_000, 16_500), "large": (700_000, 770_000)}[size]
    rng = np.random.default_rng(53)
    return n, rng.integers(0, n, edges), rng.integers(0, n, edges)


def run(n, a, b):
    labels = np.arange(n)
    while True:
        lowest = np.minimum(labels[a], labels[b])
        new = labels.copy()
        np.minimum.at(new, a, lowest)
        np.minimum.at(new, b, lowest)
        new = new[new]
        if np.array_equal(new, labels):
            return labels, len(np.unique(labels))
        labels = new
