import numpy as np
from numba import njit


@njit(cache=True)
def run(a):
    m, n = a.shape
    r = a.copy()
    q = np.eye(m)
    for k in range(min(m - 1, n)):
        x = r[k:, k].copy()
        x[0] += np.copysign(np.sqrt(np.dot(x, x)), x[0])
        length = np.sqrt(np.dot(x, x))
        if length == 0:
            continue
        x /= length
        row = np.zeros(n - k)
        for i in range(m - k):
            for j in range(n - k):
                row[j] += x[i] * r[k + i, k + j]
        for i in range(m - k):
            for j in range(n - k):
                r[k + i, k + j] -= 2.0 * x[i] * row[j]
        for i in range(m):
            total = 2.0 * np.dot(q[i, k:], x)
            for j in range(m - k):
                q[i, k + j] -= total * x[j]
    return q, r
