"""A mixture of normal distributions, by expectation and maximisation."""

import numpy as np


def setup(size):
    n, k, steps = {"tiny": (12, 2, 2), "small": (800, 4, 60), "large": (100_000, 5, 15)}[size]
    rng = np.random.default_rng(61)
    x = np.concatenate([rng.normal(3.0 * i, 1.0, n // k) for i in range(k)])
    return x, np.linspace(x.min(), x.max(), k), steps


def run(x, means, steps):
    k = len(means)
    variances = np.full(k, x.var())
    weights = np.full(k, 1.0 / k)
    likelihoods = np.zeros(steps)
    for step in range(steps):
        d = x[:, None] - means
        density = weights * np.exp(-0.5 * d**2 / variances) / np.sqrt(2 * np.pi * variances)
        total = density.sum(axis=1, keepdims=True)
        r = density / total
        likelihoods[step] = np.sum(np.log(total))
        count = r.sum(axis=0)
        weights = count / len(x)
        means = (r * x[:, None]).sum(axis=0) / count
        variances = (r * (x[:, None] - means) ** 2).sum(axis=0) / count
    return weights, means, variances, likelihoods
