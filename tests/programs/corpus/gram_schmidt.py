"""Modified Gram-Schmidt, in place in the columns."""

import numpy as np


def sample(rng):
    return rng.normal(size=(6, 4))


def run(q):
    r = np.zeros((4, 4))
    for j in range(4):
        r[j, j] = np.linalg.norm(q[:, j])
        q[:, j] /= r[j, j]
        for k in range(j + 1, 4):
            r[j, k] = q[:, j] @ q[:, k]
            q[:, k] -= r[j, k] * q[:, j]
    return np.sum(q * np.cos(np.arange(24.0).reshape(6, 4))) + np.sum(r**2 * 0.1)
