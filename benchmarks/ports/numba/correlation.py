import numpy as np
from numba import njit


@njit(cache=True)
def run(data):
    n, m = data.shape
    columns = np.empty((m, n))
    for j in range(m):
        column = data[:, j].copy()
        deviation = np.std(column)
        if deviation <= 0.1:
            deviation = 1.0
        columns[j] = (column - np.mean(column)) / (np.sqrt(n) * deviation)
    corr = np.dot(columns, columns.T)
    for j in range(m):
        corr[j, j] = 1.0
    return corr
