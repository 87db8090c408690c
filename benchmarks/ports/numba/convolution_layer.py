import numpy as np
from numba import prange

from benchmarks.ports.numba import shared


@shared
def run(images, weights, bias):
    k, _, c_in, c_out = weights.shape
    n, h, w, _ = images.shape
    out = np.empty((n, h - k + 1, w - k + 1, c_out))
    for s in prange(n):
        for i in range(h - k + 1):
            for j in range(w - k + 1):
                total = bias.copy()
                for di in range(k):
                    for dj in range(k):
                        for c in range(c_in):
                            x = images[s, i + di, j + dj, c]
                            for o in range(c_out):
                                total[o] += x * weights[di, dj, c, o]
                for o in range(c_out):
                    out[s, i, j, o] = max(total[o], 0.0)
    return out
