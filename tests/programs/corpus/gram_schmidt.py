"""Modified Gram-Schmidt, in place in the columns."""

import numpy as np


def sample(rng):
    return rng.normal(size=(6, 4))


def large(rng):
    return np.asfortranarray(rng.normal(size=(20_000, 12))), {}


def run(q):
    n = q.shape[1]
    r = np.zeros((n, n))
    for j in range(n):
        r[j, j] = np.linalg.norm(q[:, j])
        q[:, j] /= r[j, j]
        for k in range(j + 1, n):
            r[j, k] = q[:, j] @ q[:, k]
            q[:, k] -= r[j, k] * q[:, j]
    return np.sum(q * np.cos(np.arange(1.0 * q.size).reshape(q.shape))) + np.sum(r**2 * 0.1)
