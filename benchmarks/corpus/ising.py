"""Magnets on a grid: single flips, accepted by Metropolis."""

import math

import numpy as np


def setup(size):
    n, sweeps = {"tiny": (5, 2), "small": (24, 25), "large": (64, 40)}[size]
    rng = np.random.default_rng(20)
    spins = 2 * rng.integers(0, 2, (n, n)) - 1
    return spins, rng.integers(0, n, (sweeps * n * n, 2)), rng.random(sweeps * n * n), 0.44


def run(spins, places, chances, beta):
    n = spins.shape[0]
    flips = 0
    for k in range(len(chances)):
        i = places[k, 0]
        j = places[k, 1]
        around = spins[(i + 1) % n, j] + spins[i - 1, j] + spins[i, (j + 1) % n] + spins[i, j - 1]
        cost = 2 * spins[i, j] * around
        if cost <= 0 or chances[k] < math.exp(-beta * cost):
            spins[i, j] = -spins[i, j]
            flips += 1
    return spins, flips
