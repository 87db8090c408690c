import numpy as np
from numba import njit


@njit(cache=True)
def run(n):
    prime = np.ones(n + 1, dtype=np.bool_)
    count = 0
    for i in range(2, n + 1):
        if prime[i]:
            count += 1
            for j in range(i * i, n + 1, i):
                prime[j] = False
    return count, prime
