"""Mandelbrot's set, all points at once, until they leave."""

import numpy as np


def setup(size):
    n, steps = {"tiny": (6, 5), "small": (100, 60), "large": (1200, 40)}[size]
    return n, steps


def run(n, steps):
    x = np.linspace(-2.25, 0.75, n)
    y = np.linspace(-1.25, 1.25, n)
    c = x + y[:, None] * 1j
    z = np.zeros(c.shape, dtype=np.complex128)
    left = np.zeros(c.shape, dtype=np.int64)
    for i in range(steps):
        inside = np.less(abs(z), 2.0)
        left[inside] = i
        z[inside] = z[inside] ** 2 + c[inside]
    left[left == steps - 1] = 0
    return z, left
