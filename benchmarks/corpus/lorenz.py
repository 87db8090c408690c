"""Lorenz' attractor by Runge and Kutta's method, on small arrays."""

import numpy as np


def setup(size):
    return np.array([1.0, 1.0, 1.0]), {"tiny": 4, "small": 1_000, "large": 15_000}[size]


def slope(s):
    x, y, z = s
    return np.array([10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z])


def run(state, steps):
    dt = 0.005
    path = np.empty((steps + 1, 3))
    path[0] = state
    for i in range(steps):
        k1 = slope(state)
        k2 = slope(state + 0.5 * dt * k1)
        k3 = slope(state + 0.5 * dt * k2)
        k4 = slope(state + dt * k3)
        state = state + dt / 6.0 * (k1 + 2 * k2 + 2 * k3 + k4)
        path[i + 1] = state
    return path
