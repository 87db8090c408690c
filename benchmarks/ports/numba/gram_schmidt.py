import numpy as np
from numba import njit


@njit(cache=True)
def run(a):
    # Columns are worked on, so they become rows.
    a = a.T.copy()
    n, m = a.shape
    q = np.zeros((n, m))
    r = np.zeros((n, n))
    for k in range(n):
        r[k, k] = np.sqrt(np.dot(a[k], a[k]))
        q[k] = a[k] / r[k, k]
        for j in range(k + 1, n):
            factor = np.dot(q[k], a[j])
            r[k, j] = factor
            for i in range(m):
                a[j, i] -= q[k, i] * factor
    return q.T.copy(), r
