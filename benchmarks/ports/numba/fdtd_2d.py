import math

from numba import prange

from benchmarks.ports.numba import shared


@shared
def run(ex, ey, hz, steps):
    n, m = hz.shape
    for t in range(steps):
        for i in prange(1, n):
            for j in range(m):
                ey[i, j] -= 0.5 * (hz[i, j] - hz[i - 1, j])
        for i in prange(n):
            for j in range(1, m):
                ex[i, j] -= 0.5 * (hz[i, j] - hz[i, j - 1])
        for i in prange(n - 1):
            for j in range(m - 1):
                hz[i, j] -= 0.7 * (ex[i, j + 1] - ex[i, j] + ey[i + 1, j] - ey[i, j])
        hz[n // 2, n // 2] += math.sin(0.3 * t)
    return ex, ey, hz
