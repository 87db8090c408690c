import numpy as np
from numba import prange

from benchmarks.ports.numba import shared


@shared
def run(a, b, times):
    n, m = a.shape
    result = np.empty_like(a)
    for t in range(times):
        for i in prange(n):
            for j in range(m):
                value = min(max(a[i, j], 2), 10) * 4 + (b[i, j] if t == 0 else result[i, j] % 1000) * 3 + 9
                result[i, j] = value
    return result
