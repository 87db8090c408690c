"""Maxwell's equations in a plane: finite differences in the time domain, with a pulsing source."""

import numpy as np


def setup(size):
    n, steps = {"tiny": (10, 3), "small": (120, 150), "large": (900, 20)}[size]
    return np.zeros((n, n)), np.zeros((n, n)), np.zeros((n, n)), steps


def run(ex, ey, hz, steps):
    n = hz.shape[0]
    for t in range(steps):
        ey[1:, :] -= 0.5 * (hz[1:, :] - hz[:-1, :])
        ex[:, 1:] -= 0.5 * (hz[:, 1:] - hz[:, :-1])
        hz[:-1, :-1] -= 0.7 * (ex[:-1, 1:] - ex[:-1, :-1] + ey[1:, :-1] - ey[:-1, :-1])
        hz[n // 2, n // 2] += np.sin(0.3 * t)
    return ex, ey, hz
