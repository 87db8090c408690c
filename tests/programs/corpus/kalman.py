"""A Kalman filter over noisy positions: the likelihood of the model's parameters."""

import numpy as np

MEASURED = np.sin(np.linspace(0.0, 3.0, 15)) + 0.1 * np.cos(np.arange(15.0) * 7)


def sample(rng):
    return rng.uniform(0.2, 0.9, size=3)


def run(parameters):
    q, r, damping = parameters
    f = np.eye(2)
    f[0, 1] = 0.2
    f[1, 1] = damping
    h = np.array([[1.0, 0.0]])
    x, p = np.zeros(2), np.eye(2)
    likelihood = 0.0
    for z in MEASURED:
        x = f @ x
        p = f @ p @ f.T
        p[np.diag_indices(2)] += q * np.array([0.01, 0.1])
        s = (h @ p @ h.T)[0, 0] + r
        gain = p @ h.T / s
        y = z - x[0]
        x = x + gain[:, 0] * y
        p -= gain @ h @ p
        likelihood += -0.5 * (y**2 / s + np.log(s))
    return likelihood
