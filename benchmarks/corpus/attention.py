"""Attention with several heads and a mask, forward."""

import numpy as np


def setup(size):
    length, width, heads, layers = {
        "tiny": (4, 8, 2, 1),
        "small": (32, 64, 4, 20),
        "large": (512, 256, 8, 4),
    }[size]
    rng = np.random.default_rng(49)
    return rng.standard_normal((length, width)), 0.05 * rng.standard_normal((layers, 4, width, width)), heads


def run(x, weights, heads):
    length, width = x.shape
    d = width // heads
    mask = np.triu(np.full((length, length), -1e9), 1)
    for wq, wk, wv, wo in weights:
        q = (x @ wq).reshape(length, heads, d).transpose(1, 0, 2)
        k = (x @ wk).reshape(length, heads, d).transpose(1, 0, 2)
        v = (x @ wv).reshape(length, heads, d).transpose(1, 0, 2)
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(d) + mask
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        x = x + (scores @ v).transpose(1, 0, 2).reshape(length, width) @ wo
        x = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
    return x
