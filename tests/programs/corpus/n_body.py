"""Planets by leapfrog: positions and velocities changed in place, row by row of the pairs."""

import numpy as np


def sample(rng):
    return rng.normal(size=(4, 3)) + 3 * np.arange(4)[:, None]


def large(rng):
    return rng.normal(size=(3000, 3)) * 5, {"m": rng.uniform(0.1, 1.0, size=3000), "steps": 1}


def forces(x, m, out):
    out[:] = 0.0
    for i in range(len(x)):
        d = x[:i] - x[i]
        d *= (1.0 / (np.sum(d**2, axis=1) + 0.01) ** 1.5)[:, None]
        out[i] += m[:i] @ d
        out[:i] -= m[i] * d


def run(x, m=(1.0, 0.5, 2.0, 0.1), steps=5):
    m = np.array(m)
    v, a = np.zeros_like(x), np.zeros_like(x)
    forces(x, m, a)
    for _ in range(steps):
        v += 0.05 * a
        x += 0.1 * v
        forces(x, m, a)
        v += 0.05 * a
    return 0.5 * np.sum(m * np.sum(v**2, axis=1)) + np.sum(np.sin(x))
