"""Colours of some photographs: contrast, grey and a vignette."""

import numpy as np


def setup(size):
    n, side = {"tiny": (2, 6), "small": (4, 64), "large": (20, 300)}[size]
    return (np.random.default_rng(78).integers(0, 256, (n, side, side, 3)).astype(np.uint8),)


def run(images):
    out = []
    for image in images:
        x = image.astype(np.float32) / 255.0
        low = np.percentile(x, 2, axis=(0, 1))
        high = np.percentile(x, 98, axis=(0, 1))
        x = np.clip((x - low) / (high - low), 0.0, 1.0)
        grey = x @ np.array([0.299, 0.587, 0.114], dtype=np.float64)
        h, w = grey.shape
        yy, xx = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
        out.append(grey * (1.0 - 0.4 * (xx**2 + yy**2)))
    return np.stack(out)
