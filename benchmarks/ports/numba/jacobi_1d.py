from numba import njit, prange

from benchmarks.ports.numba import shared


@shared
def step(a, b):
    for i in prange(1, len(a) - 1):
        b[i] = 0.33333 * (a[i - 1] + a[i] + a[i + 1])


@njit(cache=True)
def run(a, b, steps):
    for _ in range(steps):
        step(a, b)
        step(b, a)
    return a, b
