import math

import numpy as np
from numba import njit


@njit(cache=True)
def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x))


@njit(cache=True)
def run(x, w, b):
    length, batch, n = x.shape
    both = np.zeros((batch, 2 * n))
    c = np.zeros((batch, n))
    outputs = np.zeros((length, batch, n))
    for t in range(length):
        both[:, :n] = x[t]
        z = np.dot(both, w)
        for s in range(batch):
            for k in range(n):
                i = sigmoid(z[s, k] + b[k])
                f = sigmoid(z[s, n + k] + b[n + k] + 1.0)
                o = sigmoid(z[s, 2 * n + k] + b[2 * n + k])
                g = math.tanh(z[s, 3 * n + k] + b[3 * n + k])
                c[s, k] = f * c[s, k] + i * g
                both[s, n + k] = o * math.tanh(c[s, k])
                outputs[t, s, k] = both[s, n + k]
    return outputs
