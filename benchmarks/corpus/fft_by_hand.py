"""Fourier's transform by halving, butterflies of slices."""

import numpy as np


def setup(size):
    n = {"tiny": 16, "small": 1024, "large": 1 << 16}[size]
    rng = np.random.default_rng(37)
    return (rng.standard_normal(n) + 1j * rng.standard_normal(n),)


def run(x):
    n = len(x)
    bits = n.bit_length() - 1
    order = np.zeros(n, dtype=np.int64)
    for i in range(bits):
        order = (order << 1) | ((np.arange(n) >> i) & 1)
    x = x[order]
    length = 2
    while length <= n:
        half = length // 2
        factors = np.exp(-2j * np.pi * np.arange(half) / length)
        for start in range(0, n, length):
            even = x[start : start + half].copy()
            odd = x[start + half : start + length] * factors
            x[start : start + half] = even + odd
            x[start + half : start + length] = even - odd
        length *= 2
    return x
