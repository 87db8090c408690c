"""An interval of confidence by drawing the sample again and again."""

import numpy as np


def setup(size):
    n, draws = {"tiny": (10, 5), "small": (200, 800), "large": (20_000, 400)}[size]
    return np.random.default_rng(56).exponential(2.0, n), draws, 57


def run(sample, draws, seed):
    rng = np.random.default_rng(seed)
    n = len(sample)
    medians = np.empty(draws)
    means = np.empty(draws)
    for i in range(draws):
        again = sample[rng.integers(0, n, n)]
        medians[i] = np.median(again)
        means[i] = again.mean()
    return np.percentile(medians, [2.5, 97.5]), np.percentile(means, [2.5, 97.5])
