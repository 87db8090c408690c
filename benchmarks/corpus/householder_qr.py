"""QR decomposition by Householder reflections."""

import numpy as np


def setup(size):
    n = {"tiny": 6, "small": 60, "large": 450}[size]
    return (np.random.default_rng(9).standard_normal((n, n)),)


def run(a):
    m, n = a.shape
    r = a.copy()
    q = np.eye(m)
    for k in range(min(m - 1, n)):
        x = r[k:, k].copy()
        x[0] += np.copysign(np.linalg.norm(x), x[0])
        length = np.linalg.norm(x)
        if length == 0:
            continue
        x /= length
        r[k:, k:] -= 2.0 * np.outer(x, x @ r[k:, k:])
        q[:, k:] -= 2.0 * np.outer(q[:, k:] @ x, x)
    return q, r
