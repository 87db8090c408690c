from numba import njit


@njit(cache=True)
def run(d):
    n = d.shape[0]
    for k in range(n):
        for i in range(n):
            first = d[i, k]
            for j in range(n):
                d[i, j] = min(d[i, j], first + d[k, j])
    return d
