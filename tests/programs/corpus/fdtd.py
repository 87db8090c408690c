"""Maxwell's equations in a plane (FDTD) with a medium: two staggered fields in place."""

import numpy as np


def sample(rng):
    return rng.uniform(1.0, 2.0, size=(8, 8))


def large(rng):
    return rng.uniform(1.0, 2.0, size=(400, 400)), {}


def run(medium):
    n = len(medium)
    e, hx, hy = np.zeros((n, n)), np.zeros((n, n - 1)), np.zeros((n - 1, n))
    received = []
    for t in range(12):
        hx -= 0.5 * np.diff(e, axis=1)
        hy += 0.5 * np.diff(e, axis=0)
        e[1:-1, 1:-1] += 0.5 / medium[1:-1, 1:-1] * (np.diff(hy, axis=0)[:, 1:-1] - np.diff(hx, axis=1)[1:-1])
        e[n // 2, n // 2] += np.exp(-(((t - 4) / 2) ** 2))
        received.append(e[n // 4, 5 * n // 8])
    return np.sum(np.array(received) ** 2) + np.sum(e**2)
