from numba import prange

from benchmarks.ports.numba import shared


@shared
def run(d):
    n = d.shape[0]
    for k in range(n):
        for i in prange(n):
            first = d[i, k]
            for j in range(n):
                d[i, j] = min(d[i, j], first + d[k, j])
    return d
