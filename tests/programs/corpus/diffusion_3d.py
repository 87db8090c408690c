"""Diffusion in a box with a coefficient that depends on what diffuses, axis by axis through views."""

import numpy as np


def sample(rng):
    return rng.uniform(0.5, 1.5, size=(4, 5, 3))


def large(rng):
    return rng.uniform(0.5, 1.5, size=(60, 60, 60)), {}


def run(c):
    for _ in range(3):
        flow = np.zeros(c.shape)
        for axis in range(3):
            a, f = np.moveaxis(c, axis, 0), np.moveaxis(flow, axis, 0)
            d = (a[1:] - a[:-1]) * 0.05 * (1 + (a[1:] + a[:-1]) ** 2)
            f[:-1] += d
            f[1:] -= d
        c += flow
    return float(np.sum(c**3))
