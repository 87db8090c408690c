import math

import numpy as np
from numba import njit


@njit(cache=True)
def run(x, means, steps):
    k = len(means)
    variances = np.full(k, x.var())
    weights = np.full(k, 1.0 / k)
    likelihoods = np.zeros(steps)
    r = np.empty((len(x), k))
    for step in range(steps):
        factors = weights / np.sqrt(2 * np.pi * variances)
        likelihood = 0.0
        for i in range(len(x)):
            total = 0.0
            for c in range(k):
                r[i, c] = factors[c] * math.exp(-0.5 * (x[i] - means[c]) ** 2 / variances[c])
                total += r[i, c]
            for c in range(k):
                r[i, c] /= total
            likelihood += math.log(total)
        likelihoods[step] = likelihood
        count = np.zeros(k)
        sums = np.zeros(k)
        for i in range(len(x)):
            for c in range(k):
                count[c] += r[i, c]
                sums[c] += r[i, c] * x[i]
        weights = count / len(x)
        means = sums / count
        squares = np.zeros(k)
        for i in range(len(x)):
            for c in range(k):
                squares[c] += r[i, c] * (x[i] - means[c]) ** 2
        variances = squares / count
    return weights, means, variances, likelihoods
