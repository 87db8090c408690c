import numpy as np
from numba import prange

from benchmarks.ports.numba import shared


@shared
def run(lower, diagonal, upper, rhs):
    ni, nj, levels = rhs.shape
    x = np.empty_like(rhs)
    for i in prange(ni):
        c = np.empty(levels)
        for j in range(nj):
            c[0] = upper[i, j, 0] / diagonal[i, j, 0]
            x[i, j, 0] = rhs[i, j, 0] / diagonal[i, j, 0]
            for k in range(1, levels):
                pivot = 1.0 / (diagonal[i, j, k] - lower[i, j, k] * c[k - 1])
                c[k] = upper[i, j, k] * pivot
                x[i, j, k] = (rhs[i, j, k] - lower[i, j, k] * x[i, j, k - 1]) * pivot
            for k in range(levels - 2, -1, -1):
                x[i, j, k] -= c[k] * x[i, j, k + 1]
    return x
