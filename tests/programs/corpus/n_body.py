"""Planets by leapfrog: positions and velocities changed in place, pair by pair."""

import numpy as np


def sample(rng):
    return rng.normal(size=(4, 3)) + 3 * np.arange(4)[:, None]


def forces(x, m, out):
    out[:] = 0.0
    for i in range(len(x)):
        for j in range(i):
            d = x[j] - x[i]
            d *= 1.0 / (np.sum(d**2) + 0.01) ** 1.5
            out[i] += m[j] * d
            out[j] -= m[i] * d


def run(x):
    m = np.array([1.0, 0.5, 2.0, 0.1])
    v, a = np.zeros_like(x), np.zeros_like(x)
    forces(x, m, a)
    for _ in range(5):
        v += 0.05 * a
        x += 0.1 * v
        forces(x, m, a)
        v += 0.05 * a
    return 0.5 * np.sum(m * np.sum(v**2, axis=1)) + np.sum(np.sin(x))
