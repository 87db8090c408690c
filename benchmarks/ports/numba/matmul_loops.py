import numpy as np
from numba import prange

from benchmarks.ports.numba import shared


@shared
def run(a, b):
    # The same sums in an order that reads rows.
    n, m, p = a.shape[0], a.shape[1], b.shape[1]
    c = np.zeros((n, p))
    for i in prange(n):
        for k in range(m):
            for j in range(p):
                c[i, j] += a[i, k] * b[k, j]
    return c
