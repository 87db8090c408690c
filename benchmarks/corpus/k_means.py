"""Clusters of points by Lloyd's iteration."""

import numpy as np


def setup(size):
    n, k, steps = {"tiny": (12, 3, 2), "small": (1_000, 8, 40), "large": (40_000, 12, 8)}[size]
    x = np.random.default_rng(55).standard_normal((n, 3))
    return x, x[:k].copy(), steps


def run(x, centers, steps):
    for _ in range(steps):
        distance = np.sqrt(((x[:, np.newaxis, :] - centers[np.newaxis, :, :]) ** 2).sum(axis=2))
        nearest = np.argmin(distance, axis=1)
        for c in range(len(centers)):
            members = x[nearest == c]
            if len(members):
                centers[c] = members.mean(axis=0)
    return centers, nearest
