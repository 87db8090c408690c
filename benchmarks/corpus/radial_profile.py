"""The mean of an image over rings around its centre."""

import numpy as np


def setup(size):
    n, rings = {"tiny": (10, 4), "small": (200, 60), "large": (1800, 60)}[size]
    data = np.random.default_rng(22).random((n, n))
    y, x = np.indices((n, n)) - n / 2
    return data, np.hypot(x, y), rings


def run(data, radius, rings):
    largest = radius.max()
    profile = np.zeros(rings)
    for i in range(rings):
        r1 = largest * i / rings
        r2 = largest * (i + 1) / rings
        ring = np.logical_and(r1 <= radius, radius < r2)
        values = data[ring]
        if values.size:
            profile[i] = values.mean()
    return profile
