"""Softmax over the last axis of a large array."""

import numpy as np


def setup(size):
    shape = {"tiny": (2, 2, 3, 3), "small": (8, 8, 100, 100), "large": (16, 16, 256, 256)}[size]
    return (np.random.default_rng(48).standard_normal(shape).astype(np.float32),)


def run(x):
    highest = np.max(x, axis=-1, keepdims=True)
    e = np.exp(x - highest)
    return e / np.sum(e, axis=-1, keepdims=True)
