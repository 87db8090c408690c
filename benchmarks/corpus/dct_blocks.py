"""The cosine transform of blocks of eight by eight, quantised and back, as in JPEG."""

import numpy as np


def setup(size):
    n = {"tiny": 16, "small": 128, "large": 1400}[size]
    return (np.random.default_rng(36).integers(0, 256, (n, n)).astype(np.float64) - 128.0,)


def run(image):
    k = np.arange(8)
    basis = np.sqrt(2 / 8) * np.cos(np.pi * (2 * k[None, :] + 1) * k[:, None] / 16)
    basis[0] /= np.sqrt(2)
    quantiser = 10.0 + 4.0 * (k[:, None] + k[None, :])
    out = np.empty_like(image)
    for i in range(0, image.shape[0], 8):
        for j in range(0, image.shape[1], 8):
            block = image[i : i + 8, j : j + 8]
            coefficients = np.round(basis @ block @ basis.T / quantiser)
            out[i : i + 8, j : j + 8] = basis.T @ (coefficients * quantiser) @ basis
    return out
