import numpy as np
from numba import njit


@njit(cache=True)
def run(x, labels, w1, b1, w2, b2, steps):
    n = len(x)
    losses = np.empty(steps)
    for step in range(steps):
        h = np.maximum(0, np.dot(x, w1) + b1)
        p = np.dot(h, w2) + b2
        loss = 0.0
        for i in range(n):
            highest = p[i].max()
            total = 0.0
            for c in range(p.shape[1]):
                p[i, c] = np.exp(p[i, c] - highest)
                total += p[i, c]
            for c in range(p.shape[1]):
                p[i, c] /= total
            loss -= np.log(p[i, labels[i]])
            p[i, labels[i]] -= 1
            for c in range(p.shape[1]):
                p[i, c] /= n
        losses[step] = loss / n
        dh = np.dot(p, w2.T)
        for i in range(n):
            for k in range(h.shape[1]):
                if h[i, k] <= 0:
                    dh[i, k] = 0
        w2 -= 0.1 * np.dot(h.T, p)
        b2 -= 0.1 * p.sum(axis=0)
        w1 -= 0.1 * np.dot(x.T, dh)
        b1 -= 0.1 * dh.sum(axis=0)
    return losses, w1, w2
