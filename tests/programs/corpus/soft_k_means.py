"""Soft k-means: the centres are moved in place, cluster by cluster."""

import numpy as np

POINTS = np.random.RandomState(3).normal(size=(20, 2)) + np.repeat([[0, 0], [3, 1]], 10, axis=0)


def sample(rng):
    return rng.normal(size=(3, 2))


def large(rng):
    return rng.normal(size=(8, 2)), {"points": rng.normal(size=(20_000, 2))}


def run(centres, points=POINTS):
    for _ in range(4):
        d = np.sum((points[:, None, :] - centres[None]) ** 2, axis=-1)
        w = np.exp(-d + np.min(d, axis=1, keepdims=True))
        w /= w.sum(axis=1, keepdims=True)
        for k in range(len(centres)):
            centres[k] = w[:, k] @ points / np.sum(w[:, k])
    return np.sum(w * d) + np.sum(np.sin(centres))
