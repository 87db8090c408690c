"""The heat equation on a rod, a stencil written in place."""

import numpy as np


def sample(rng):
    return rng.normal(size=12)


def large(rng):
    return rng.normal(size=100_000), {"steps": 50}


def run(u0, steps=8):
    u = u0.copy()
    for _ in range(steps):
        u[1:-1] += 0.2 * (u[2:] - 2 * u[1:-1] + u[:-2])
        u[0], u[-1] = u[1], u[-2]
    return np.sum(u**2 * np.linspace(0, 1, u.size))
