from numba import njit


@njit(cache=True)
def run(a):
    # The same sums in an order that reads rows.
    n = a.shape[0]
    for i in range(n):
        for k in range(i):
            a[i, k] /= a[k, k]
            factor = a[i, k]
            for j in range(k + 1, n):
                a[i, j] -= factor * a[k, j]
    return a
