"""A few planets that attract each other: loops over pairs and coordinates."""

import math

import numpy as np


def setup(size):
    n, steps = {"tiny": (3, 2), "small": (5, 300), "large": (12, 800)}[size]
    rng = np.random.default_rng(18)
    return rng.random(n) + 0.5, rng.standard_normal((n, 3)), 0.1 * rng.standard_normal((n, 3)), steps


def run(mass, position, velocity, steps):
    n = len(mass)
    dt = 0.001
    for _ in range(steps):
        for i in range(n):
            for j in range(i + 1, n):
                dx = position[i, 0] - position[j, 0]
                dy = position[i, 1] - position[j, 1]
                dz = position[i, 2] - position[j, 2]
                squared = dx * dx + dy * dy + dz * dz + 0.01
                force = dt / (squared * math.sqrt(squared))
                velocity[i, 0] -= dx * mass[j] * force
                velocity[i, 1] -= dy * mass[j] * force
                velocity[i, 2] -= dz * mass[j] * force
                velocity[j, 0] += dx * mass[i] * force
                velocity[j, 1] += dy * mass[i] * force
                velocity[j, 2] += dz * mass[i] * force
        for i in range(n):
            for k in range(3):
                position[i, k] += dt * velocity[i, k]
    return position, velocity
