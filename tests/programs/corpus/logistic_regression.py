"""The loss of logistic regression after a few steps of gradient descent by hand."""

import numpy as np

X = np.random.RandomState(5).normal(size=(20, 4))
Y = X[:, 0] - X[:, 1] ** 2 > -0.5


def sample(rng):
    return rng.normal(size=4)


def large(rng):
    x = rng.normal(size=(20_000, 100))
    return 0.1 * rng.normal(size=100), {"x": x, "y": x[:, 0] > x[:, 1] ** 2 - 0.5}


def run(w, x=X, y=Y):
    for _ in range(3):
        p = 1 / (1 + np.exp(-x @ w))
        w -= 0.5 * x.T @ (p - y) / len(y)
    p = 1 / (1 + np.exp(-x.dot(w)))
    return -np.mean(np.where(y, np.log(p), np.log(1 - p))) + 0.1 * np.linalg.norm(w)
