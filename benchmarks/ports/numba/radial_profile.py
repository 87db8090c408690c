import numpy as np
from numba import njit


@njit(cache=True)
def run(data, radius, rings):
    largest = radius.max()
    edges = largest * np.arange(rings + 1) / rings
    sums = np.zeros(rings)
    counts = np.zeros(rings)
    h, w = data.shape
    for i in range(h):
        for j in range(w):
            r = radius[i, j]
            k = min(int(r / largest * rings), rings - 1)
            # Rounding may have put it beside its ring.
            if r < edges[k]:
                k -= 1
            elif r >= edges[k + 1]:
                k += 1
            if k < rings:
                sums[k] += data[i, j]
                counts[k] += 1
    return np.where(counts > 0, sums / np.maximum(counts, 1), 0.0)
