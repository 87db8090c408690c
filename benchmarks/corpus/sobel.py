"""Edges of an image by Sobel's operator."""

import numpy as np


def setup(size):
    n = {"tiny": 9, "small": 200, "large": 1500}[size]
    return np.random.default_rng(30).random((n, n)), {"tiny": 1, "small": 12, "large": 3}[size]


def run(image, times):
    for _ in range(times):
        gx = (
            image[:-2, 2:] - image[:-2, :-2]
            + 2 * (image[1:-1, 2:] - image[1:-1, :-2])
            + image[2:, 2:] - image[2:, :-2]
        )  # fmt: skip
        gy = (
            image[2:, :-2] - image[:-2, :-2]
            + 2 * (image[2:, 1:-1] - image[:-2, 1:-1])
            + image[2:, 2:] - image[:-2, 2:]
        )  # fmt: skip
        edges = np.sqrt(gx**2 + gy**2)
    return edges > edges.mean(), edges
