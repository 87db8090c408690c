"""Maximum pooling, element by element."""

import numpy as np


def setup(size):
    channels, side = {"tiny": (2, 6), "small": (4, 48), "large": (16, 220)}[size]
    return (np.random.default_rng(47).random((channels, side, side)).astype(np.float32),)


def run(x):
    channels, h, w = x.shape
    out = np.zeros((channels, h // 2, w // 2), dtype=x.dtype)
    for c in range(channels):
        for i in range(h // 2):
            for j in range(w // 2):
                best = x[c, 2 * i, 2 * j]
                for di in range(2):
                    for dj in range(2):
                        if x[c, 2 * i + di, 2 * j + dj] > best:
                            best = x[c, 2 * i + di, 2 * j + dj]
                out[c, i, j] = best
    return out
