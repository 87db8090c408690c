"""An LSTM that fills outputs made before, gates as views of one buffer."""

import numpy as np

INPUTS = np.random.RandomState(1).normal(size=(6, 3))


def sample(rng):
    return rng.normal(size=(8, 16)) * 0.4


def run(w):
    n = 4
    h, c = np.zeros((7, n)), np.zeros((7, n))
    gates = np.empty(4 * n)
    row = np.ones(8)
    for t in range(6):
        row[:3], row[3:7] = INPUTS[t], h[t]
        np.dot(row, w, out=gates)
        s = gates[: 3 * n]
        s[:] = 1 / (1 + np.exp(-s))
        gates[3 * n :] = np.tanh(gates[3 * n :])
        i, f, o, g = np.split(gates, 4)
        c[t + 1] = f * c[t] + i * g
        h[t + 1] = o * np.tanh(c[t + 1])
    return np.sum(h[1:] ** 2) + h[-1, 0]
