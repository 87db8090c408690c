import math

import numpy as np
from numba import prange

from benchmarks.ports.numba import shared


@shared
def run(image, radius):
    h, w = image.shape
    width = 2 * radius + 1
    near = np.empty((width, width))
    for dy in range(width):
        for dx in range(width):
            near[dy, dx] = math.exp(-((dx - radius) ** 2 + (dy - radius) ** 2) / 8.0)
    padded = np.empty((h + 2 * radius, w + 2 * radius))
    for y in range(h + 2 * radius):
        row = h - 1 - abs(h - 1 - abs(y - radius))
        for x in range(w + 2 * radius):
            padded[y, x] = image[row, w - 1 - abs(w - 1 - abs(x - radius))]
    out = np.empty((h, w))
    for y in prange(h):
        for x in range(w):
            here = image[y, x]
            total = 0.0
            weights = 0.0
            for dy in range(width):
                for dx in range(width):
                    there = padded[y + dy, x + dx]
                    weight = near[dy, dx] * math.exp(-((there - here) ** 2) / 0.02)
                    total += weight * there
                    weights += weight
            out[y, x] = total / weights
    return out
