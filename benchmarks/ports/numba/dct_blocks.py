import math

import numpy as np
from numba import njit

# A coefficient in the middle between two integers may become either.
FEW = 0.01


@njit(cache=True)
def product(a, b, out):
    for i in range(8):
        for j in range(8):
            total = 0.0
            for k in range(8):
                total += a[i, k] * b[k, j]
            out[i, j] = total


@njit(cache=True)
def run(image):
    basis = np.empty((8, 8))
    quantiser = np.empty((8, 8))
    for i in range(8):
        for j in range(8):
            basis[i, j] = math.sqrt(2 / 8) * math.cos(math.pi * (2 * j + 1) * i / 16)
            quantiser[i, j] = 10.0 + 4.0 * (i + j)
    basis[0] /= math.sqrt(2)
    inverse = basis.T.copy()
    half = np.empty((8, 8))
    coefficients = np.empty((8, 8))
    out = np.empty_like(image)
    for i in range(0, image.shape[0], 8):
        for j in range(0, image.shape[1], 8):
            product(basis, image[i : i + 8, j : j + 8], half)
            product(half, inverse, coefficients)
            for y in range(8):
                for x in range(8):
                    q = quantiser[y, x]
                    coefficients[y, x] = np.round(coefficients[y, x] / q) * q
            product(inverse, coefficients, half)
            product(half, basis, out[i : i + 8, j : j + 8])
    return out
