"""Atoms in a periodic box under Lennard-Jones forces."""

import numpy as np


def setup(size):
    side, steps = {"tiny": (2, 2), "small": (4, 60), "large": (8, 15)}[size]
    n = side**3
    rng = np.random.default_rng(19)
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(n, 3) * 1.2
    return grid + 0.02 * rng.standard_normal((n, 3)), 0.1 * rng.standard_normal((n, 3)), side * 1.2, steps


def forces(x, box):
    d = x[:, None, :] - x[None, :, :]
    d -= box * np.round(d / box)
    r2 = np.sum(d * d, axis=-1)
    np.fill_diagonal(r2, 1.0)
    inverse6 = 1.0 / r2**3
    strength = 24.0 * (2.0 * inverse6**2 - inverse6) / r2
    np.fill_diagonal(strength, 0.0)
    energy = 2.0 * np.sum(np.triu(inverse6**2 - inverse6, 1))
    return np.sum(strength[:, :, None] * d, axis=1), energy


def run(x, v, box, steps):
    dt = 0.002
    f, energy = forces(x, box)
    energies = []
    for _ in range(steps):
        v += 0.5 * dt * f
        x = (x + dt * v) % box
        f, energy = forces(x, box)
        v += 0.5 * dt * f
        energies.append(energy + 0.5 * np.sum(v * v))
    return x, np.array(energies)
