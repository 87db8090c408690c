import numpy as np
from numba import njit


@njit(cache=True)
def run(a, b):
    n, m = len(a), len(b)
    table = np.zeros((n + 1, m + 1), dtype=np.int64)
    for i in range(n):
        for j in range(m):
            if a[i] == b[j]:
                table[i + 1, j + 1] = table[i, j] + 1
            else:
                table[i + 1, j + 1] = max(table[i, j + 1], table[i + 1, j])
    found = np.empty(table[n, m], dtype=np.int64)
    i, j = n, m
    place = len(found)
    while i > 0 and j > 0:
        if a[i - 1] == b[j - 1]:
            place -= 1
            found[place] = a[i - 1]
            i -= 1
            j -= 1
        elif table[i - 1, j] >= table[i, j - 1]:
            i -= 1
        else:
            j -= 1
    return found
