import math

import numpy as np
from numba import njit, prange

from benchmarks.ports.numba import shared


@njit(cache=True)
def distance(x, y, z):
    ball = math.sqrt(x * x + y * y + (z - 4.0) ** 2) - 1.0
    ripple = 0.05 * math.sin(8.0 * x) * math.sin(8.0 * y)
    return min(ball + ripple, y + 1.2)


@shared
def run(n, steps):
    out = np.zeros((n, n))
    heights, widths = np.linspace(1, -1, n), np.linspace(-1, 1, n)
    size = math.sqrt(0.98)
    for i in prange(n):
        for j in range(n):
            length = math.sqrt(heights[i] ** 2 + widths[j] ** 2 + 1.5**2)
            dx, dy, dz = widths[j] / length, heights[i] / length, 1.5 / length
            along = 0.0
            for _ in range(steps):
                along = min(along + 0.8 * distance(along * dx, along * dy, along * dz), 20.0)
            if along < 20.0:
                x, y, z = along * dx, along * dy, along * dz
                near = distance(x, y, z)
                light = (
                    0.5 * (distance(x + 1e-4, y, z) - near)
                    + 0.8 * (distance(x, y + 1e-4, z) - near)
                    - 0.3 * (distance(x, y, z + 1e-4) - near)
                ) / (1e-4 * size)
                out[i, j] = min(max(light, 0.1), 1.0)
    return out
