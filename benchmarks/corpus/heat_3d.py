"""Heat in a cube, explicit steps."""

import numpy as np


def setup(size):
    n, steps = {"tiny": (6, 2), "small": (25, 60), "large": (120, 4)}[size]
    i, j, k = np.indices((n, n, n))
    a = (i + j + (n - k)) * 10.0 / n
    return a, a.copy(), steps


def step(a, b):
    b[1:-1, 1:-1, 1:-1] = (
        0.125 * (a[2:, 1:-1, 1:-1] - 2.0 * a[1:-1, 1:-1, 1:-1] + a[:-2, 1:-1, 1:-1])
        + 0.125 * (a[1:-1, 2:, 1:-1] - 2.0 * a[1:-1, 1:-1, 1:-1] + a[1:-1, :-2, 1:-1])
        + 0.125 * (a[1:-1, 1:-1, 2:] - 2.0 * a[1:-1, 1:-1, 1:-1] + a[1:-1, 1:-1, :-2])
        + a[1:-1, 1:-1, 1:-1]
    )


def run(a, b, steps):
    for _ in range(steps):
        step(a, b)
        step(b, a)
    return a
