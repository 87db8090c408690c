"""A Kalman filter that follows a point."""

import numpy as np


def setup(size):
    steps = {"tiny": 4, "small": 600, "large": 8_000}[size]
    rng = np.random.default_rng(74)
    return (
        np.cumsum(np.cumsum(0.1 * rng.standard_normal((steps, 2)), 0), 0) + rng.standard_normal((steps, 2)),
    )


def run(measured):
    f = np.eye(4)
    f[0, 2] = f[1, 3] = 1.0
    h = np.eye(2, 4)
    q = 0.01 * np.eye(4)
    r = np.eye(2)
    x = np.zeros(4)
    p = 10.0 * np.eye(4)
    out = np.zeros((len(measured), 4))
    for t, z in enumerate(measured):
        x = f @ x
        p = f @ p @ f.T + q
        s = h @ p @ h.T + r
        gain = np.linalg.solve(s, h @ p).T
        x = x + gain @ (z - h @ x)
        p = (np.eye(4) - gain @ h) @ p
        out[t] = x
    return out
