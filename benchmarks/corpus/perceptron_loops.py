"""Rosenblatt's perceptron, sample by sample, weight by weight."""

import numpy as np


def setup(size):
    n, features, epochs = {"tiny": (6, 3, 2), "small": (150, 8, 6), "large": (1000, 20, 40)}[size]
    rng = np.random.default_rng(50)
    x = rng.standard_normal((n, features))
    return x, np.where(x @ rng.standard_normal(features) + 0.3 * rng.standard_normal(n) > 0, 1, -1), epochs


def run(x, y, epochs):
    n, features = x.shape
    w = np.zeros(features + 1)
    errors = np.zeros(epochs, dtype=int)
    for epoch in range(epochs):
        for i in range(n):
            score = w[features]
            for j in range(features):
                score += w[j] * x[i, j]
            if y[i] * score <= 0:
                errors[epoch] += 1
                for j in range(features):
                    w[j] += 0.1 * y[i] * x[i, j]
                w[features] += 0.1 * y[i]
    return w, errors
