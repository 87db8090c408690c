"""A Kalman filter over noisy positions: the likelihood of the model's parameters."""

import numpy as np

MEASURED = np.sin(np.linspace(0.0, 3.0, 15)) + 0.1 * np.cos(np.arange(15.0) * 7)


def sample(rng):
    return rng.uniform(0.2, 0.9, size=3)


def large(rng):
    return sample(rng), {"n": 150}


def run(parameters, n=2):
    q, r, damping = parameters
    f = np.eye(n) + 0.2 * np.eye(n, k=1)
    f[-1, -1] = damping
    h = np.zeros((1, n))
    h[0, 0] = 1.0
    x, p = np.zeros(n), np.eye(n)
    likelihood = 0.0
    for z in MEASURED:
        x = f @ x
        p = f @ p @ f.T
        p[np.diag_indices(n)] += q * np.linspace(0.01, 0.1, n)
        s = (h @ p @ h.T)[0, 0] + r
        gain = p @ h.T / s
        y = z - x[0]
        x = x + gain[:, 0] * y
        p -= gain @ h @ p
        likelihood += -0.5 * (y**2 / s + np.log(s))
    return likelihood
