"""A recurrent network over a text of letters; the parameters are views of one vector."""

import numpy as np

TEXT = [ord(c) % 5 for c in "hello numpy"]


def sample(rng):
    return rng.normal(size=6 * 5 + 6 * 6 + 5 * 6) * 0.3


def large(rng):
    return rng.normal(size=1500 * 1510) * 0.03, {"n": 1500, "text": TEXT * 5}


def run(theta, n=6, text=TEXT):
    wx, wh, wy = (
        theta[: 5 * n].reshape(n, 5),
        theta[5 * n : -5 * n].reshape(n, n),
        theta[-5 * n :].reshape(5, n),
    )
    h, loss = np.zeros(n), 0
    for now, following in zip(text, text[1:]):
        h = np.tanh(wx[:, now] + wh @ h)
        y = wy @ h
        loss -= y[following] - np.log(np.sum(np.exp(y)))
    return loss / len(text)
