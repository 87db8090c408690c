"""Otsu's threshold between the dark and the light of an image."""

import numpy as np


def setup(size):
    n = {"tiny": 10, "small": 500, "large": 4000}[size]
    rng = np.random.default_rng(34)
    image = np.where(rng.random((n, n)) < 0.4, rng.normal(80, 20, (n, n)), rng.normal(170, 25, (n, n)))
    return (np.clip(image, 0, 255).astype(np.uint8),)


def run(image):
    counts = np.bincount(image.ravel(), minlength=256)
    total = image.size
    overall = np.sum(np.arange(256) * counts)
    below, weight, best, threshold = 0.0, 0, 0.0, 0
    for t in range(256):
        weight += counts[t]
        if weight == 0 or weight == total:
            continue
        below += t * counts[t]
        mean_low = below / weight
        mean_high = (overall - below) / (total - weight)
        between = weight * (total - weight) * (mean_low - mean_high) ** 2
        if between > best:
            best, threshold = between, t
    return threshold, image > threshold
