"""Fourier's transform by halving, real and imaginary parts by loops over elements."""

import math

import numpy as np


def setup(size):
    n = {"tiny": 16, "small": 1024, "large": 1 << 15}[size]
    rng = np.random.default_rng(38)
    return rng.standard_normal(n), rng.standard_normal(n)


def run(re, im):
    n = len(re)
    j = 0
    for i in range(1, n):
        bit = n >> 1
        while j & bit:
            j ^= bit
            bit >>= 1
        j |= bit
        if i < j:
            re[i], re[j] = re[j], re[i]
            im[i], im[j] = im[j], im[i]
    length = 2
    while length <= n:
        half = length // 2
        for k in range(half):
            c = math.cos(2 * math.pi * k / length)
            s = -math.sin(2 * math.pi * k / length)
            for a in range(k, n, length):
                b = a + half
                tr = re[b] * c - im[b] * s
                ti = re[b] * s + im[b] * c
                re[b] = re[a] - tr
                im[b] = im[a] - ti
                re[a] += tr
                im[a] += ti
        length *= 2
    return re, im
