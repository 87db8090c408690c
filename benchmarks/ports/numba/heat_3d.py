from numba import njit, prange

from benchmarks.ports.numba import shared


@shared
def step(a, b):
    n, m, o = a.shape
    for i in prange(1, n - 1):
        for j in range(1, m - 1):
            for k in range(1, o - 1):
                b[i, j, k] = (
                    0.125 * (a[i + 1, j, k] - 2.0 * a[i, j, k] + a[i - 1, j, k])
                    + 0.125 * (a[i, j + 1, k] - 2.0 * a[i, j, k] + a[i, j - 1, k])
                    + 0.125 * (a[i, j, k + 1] - 2.0 * a[i, j, k] + a[i, j, k - 1])
                    + a[i, j, k]
                )


@njit(cache=True)
def run(a, b, steps):
    for _ in range(steps):
        step(a, b)
        step(b, a)
    return a
