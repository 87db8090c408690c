"""Straight lines in an image of points, by votes."""

import numpy as np


def setup(size):
    n, count = {"tiny": (12, 10), "small": (100, 300), "large": (800, 15_000)}[size]
    rng = np.random.default_rng(35)
    image = np.zeros((n, n), dtype=bool)
    image[rng.integers(0, n, count), rng.integers(0, n, count)] = True
    image[np.arange(n), np.arange(n)] = True
    return (image,)


def run(image):
    height, width = image.shape
    angles = np.deg2rad(np.arange(-90.0, 90.0))
    diagonal = int(np.ceil(np.hypot(height, width)))
    votes = np.zeros((2 * diagonal + 1, len(angles)), dtype=np.int64)
    cosines, sines = np.cos(angles), np.sin(angles)
    ys, xs = np.nonzero(image)
    for k in range(len(xs)):
        rho = np.round(xs[k] * cosines + ys[k] * sines).astype(int) + diagonal
        votes[rho, np.arange(len(angles))] += 1
    return votes, np.unravel_index(np.argmax(votes), votes.shape)
