import numpy as np
from numba import njit


@njit(cache=True)
def run(x, y, epochs):
    n, features = x.shape
    w = np.zeros(features + 1)
    errors = np.zeros(epochs, dtype=np.int64)
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
