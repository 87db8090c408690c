import numpy as np
from numba import prange

from benchmarks.ports.numba import shared


@shared
def run(starts, columns, values, x):
    n = len(starts) - 1
    y = np.empty(n)
    for i in prange(n):
        total = 0.0
        for k in range(starts[i], starts[i + 1]):
            total += values[k] * x[columns[k]]
        y[i] = total
    return y
