import numpy as np
from numba import njit


@njit(cache=True)
def run(starts, columns, values, x):
    n = len(starts) - 1
    y = np.empty(n)
    for i in range(n):
        total = 0.0
        for k in range(starts[i], starts[i + 1]):
            total += values[k] * x[columns[k]]
        y[i] = total
    return y
