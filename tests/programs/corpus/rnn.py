"""A recurrent network over a text of letters; the parameters are views of one vector."""

import numpy as np

TEXT = [ord(c) % 5 for c in "hello numpy"]


def sample(rng):
    return rng.normal(size=6 * 5 + 6 * 6 + 5 * 6) * 0.3


def run(theta):
    wx, wh, wy = theta[:30].reshape(6, 5), theta[30:66].reshape(6, 6), theta[66:].reshape(5, 6)
    h, loss = np.zeros(6), 0
    for now, following in zip(TEXT, TEXT[1:]):
        h = np.tanh(wx[:, now] + wh @ h)
        y = wy @ h
        loss -= y[following] - np.log(np.sum(np.exp(y)))
    return loss / len(TEXT)
