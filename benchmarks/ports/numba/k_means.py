import numpy as np
from numba import njit


@njit(cache=True)
def run(x, centers, steps):
    n, d = x.shape
    k = len(centers)
    nearest = np.empty(n, dtype=np.int64)
    for _ in range(steps):
        sums = np.zeros((k, d))
        counts = np.zeros(k, dtype=np.int64)
        for i in range(n):
            least = np.inf
            for c in range(k):
                distance = 0.0
                for j in range(d):
                    distance += (x[i, j] - centers[c, j]) ** 2
                if distance < least:
                    least = distance
                    nearest[i] = c
            counts[nearest[i]] += 1
            for j in range(d):
                sums[nearest[i], j] += x[i, j]
        for c in range(k):
            if counts[c]:
                centers[c] = sums[c] / counts[c]
    return centers, nearest
