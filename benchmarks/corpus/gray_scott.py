"""Spots and stripes: the Gray-Scott reaction and diffusion on a torus."""

import numpy as np


def setup(size):
    n, steps = {"tiny": (16, 3), "small": (100, 100), "large": (600, 30)}[size]
    rng = np.random.default_rng(1)
    u = np.ones((n, n))
    v = np.zeros((n, n))
    m = n // 8
    u[n // 2 - m : n // 2 + m, n // 2 - m : n // 2 + m] = 0.5
    v[n // 2 - m : n // 2 + m, n // 2 - m : n // 2 + m] = 0.25
    return u + 0.05 * rng.random((n, n)), v + 0.05 * rng.random((n, n)), steps


def laplacian(z):
    return np.roll(z, 1, 0) + np.roll(z, -1, 0) + np.roll(z, 1, 1) + np.roll(z, -1, 1) - 4 * z


def run(u, v, steps):
    feed, kill = 0.035, 0.065
    for _ in range(steps):
        uvv = u * v * v
        u = u + 0.16 * laplacian(u) - uvv + feed * (1 - u)
        v = v + 0.08 * laplacian(v) + uvv - (feed + kill) * v
    return u, v
