"""Blur, sharpen, clip and normalise an image, through padded buffers and shifted windows."""

import numpy as np


def sample(rng):
    return rng.uniform(size=(7, 6))


def large(rng):
    return rng.uniform(size=(500, 600)), {}


def run(image):
    padded = np.pad(image, 1, mode="edge")
    blurred = np.zeros_like(image)
    for dy in range(3):
        for dx in range(3):
            weight = (2 - abs(dy - 1)) * (2 - abs(dx - 1)) / 16
            blurred += weight * padded[dy : dy + image.shape[0], dx : dx + image.shape[1]]
    sharp = image + 0.7 * (image - blurred)
    np.clip(sharp, 0.0501, 0.9502, out=sharp)
    sharp -= sharp.mean()
    sharp /= sharp.std() + 0.1
    edges = np.hypot(sharp[1:, :-1] - sharp[:-1, :-1], sharp[:-1, 1:] - sharp[:-1, :-1] + 0.01)
    return np.percentile(edges, 60) + np.sum(edges**2) / edges.size
