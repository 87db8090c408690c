import numpy as np
from numba import njit


@njit(cache=True)
def run(n, a, b):
    labels = np.arange(n)
    while True:
        new = labels.copy()
        for e in range(len(a)):
            lowest = min(labels[a[e]], labels[b[e]])
            new[a[e]] = min(new[a[e]], lowest)
            new[b[e]] = min(new[b[e]], lowest)
        changed = False
        moved = np.empty_like(new)
        for i in range(n):
            moved[i] = new[new[i]]
            changed |= moved[i] != labels[i]
        if not changed:
            return labels, np.sum(labels == np.arange(n))
        labels = moved
