import math

import numpy as np
from numba import prange

from benchmarks.ports.numba import shared


@shared
def run(image, times):
    h, w = image.shape
    edges = np.empty((h - 2, w - 2))
    for _ in range(times):
        total = 0.0
        for i in prange(h - 2):
            for j in range(w - 2):
                gx = (
                    (image[i, j + 2] - image[i, j])
                    + 2 * (image[i + 1, j + 2] - image[i + 1, j])
                    + (image[i + 2, j + 2] - image[i + 2, j])
                )
                gy = (
                    (image[i + 2, j] - image[i, j])
                    + 2 * (image[i + 2, j + 1] - image[i, j + 1])
                    + (image[i + 2, j + 2] - image[i, j + 2])
                )
                edges[i, j] = math.sqrt(gx * gx + gy * gy)
                total += edges[i, j]
    return edges > total / edges.size, edges
