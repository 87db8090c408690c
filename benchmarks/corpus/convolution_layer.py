"""A convolution of images written as loops over the places of the window."""

import numpy as np


def setup(size):
    n, side, c_in, c_out, k = {
        "tiny": (2, 6, 2, 3, 3),
        "small": (2, 20, 3, 8, 3),
        "large": (16, 64, 3, 16, 5),
    }[size]
    rng = np.random.default_rng(46)
    return rng.random((n, side, side, c_in)), rng.random((k, k, c_in, c_out)), rng.random(c_out)


def run(images, weights, bias):
    k = weights.shape[0]
    n, h, w, _ = images.shape
    out = np.empty((n, h - k + 1, w - k + 1, weights.shape[3]))
    for i in range(h - k + 1):
        for j in range(w - k + 1):
            window = images[:, i : i + k, j : j + k, :, np.newaxis]
            out[:, i, j, :] = np.sum(window * weights[np.newaxis], axis=(1, 2, 3))
    return np.maximum(out + bias, 0)
