import numpy as np
from numba import njit


@njit(cache=True)
def run(x, y, steps):
    n, m = x.shape
    w = np.zeros(m)
    weighted = np.empty_like(x)
    for _ in range(steps):
        p = 1.0 / (1.0 + np.exp(-np.dot(x, w)))
        gradient = np.dot(x.T, y - p) - 0.1 * w
        for i in range(n):
            factor = p[i] * (1 - p[i])
            for j in range(m):
                weighted[i, j] = x[i, j] * factor
        hessian = np.dot(weighted.T, x) + 0.1 * np.eye(m)
        w += np.linalg.solve(hessian, gradient)
    return w
