"""Logistic regression by Newton's method."""

import numpy as np


def setup(size):
    n, m, steps = {"tiny": (12, 3, 2), "small": (400, 8, 80), "large": (60_000, 40, 12)}[size]
    rng = np.random.default_rng(62)
    x = np.hstack([np.ones((n, 1)), rng.standard_normal((n, m))])
    p = 1.0 / (1.0 + np.exp(-x @ rng.standard_normal(m + 1)))
    return x, (rng.random(n) < p).astype(float), steps


def run(x, y, steps):
    w = np.zeros(x.shape[1])
    for _ in range(steps):
        p = 1.0 / (1.0 + np.exp(-np.dot(x, w)))
        gradient = x.T @ (y - p) - 0.1 * w
        hessian = (x.T * (p * (1 - p))) @ x + 0.1 * np.eye(len(w))
        w += np.linalg.solve(hessian, gradient)
    return w
