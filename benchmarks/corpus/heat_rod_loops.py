"""Heat in a rod, element by element, as a textbook writes it."""

import numpy as np


def setup(size):
    n, steps = {"tiny": (12, 3), "small": (200, 300), "large": (2_000, 400)}[size]
    u = np.zeros(n)
    u[n // 4 : n // 2] = 100.0
    return u, 0.24, steps


def run(u, alpha, steps):
    n = len(u)
    for _ in range(steps):
        new = u.copy()
        for i in range(1, n - 1):
            new[i] = u[i] + alpha * (u[i - 1] - 2.0 * u[i] + u[i + 1])
        u = new
    return u
