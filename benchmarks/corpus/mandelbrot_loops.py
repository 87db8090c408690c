"""Mandelbrot's set, point by point."""

import numpy as np


def setup(size):
    n, steps = {"tiny": (6, 5), "small": (40, 60), "large": (240, 200)}[size]
    return n, steps


def run(n, steps):
    counts = np.zeros((n, n), dtype=np.int32)
    for row in range(n):
        ci = -1.25 + 2.5 * row / n
        for column in range(n):
            cr = -2.25 + 3.0 * column / n
            zr = zi = 0.0
            k = 0
            while k < steps and zr * zr + zi * zi < 4.0:
                zr, zi = zr * zr - zi * zi + cr, 2.0 * zr * zi + ci
                k += 1
            counts[row, column] = k
    return counts
