import numpy as np
from numba import njit


@njit(cache=True)
def run(x):
    n = len(x)
    bits = 0
    while 1 << bits < n:
        bits += 1
    out = np.empty_like(x)
    for i in range(n):
        place = 0
        for b in range(bits):
            place = (place << 1) | ((i >> b) & 1)
        out[i] = x[place]
    length = 2
    while length <= n:
        half = length // 2
        factors = np.exp(-2j * np.pi * np.arange(half) / length)
        for start in range(0, n, length):
            for k in range(start, start + half):
                even = out[k]
                odd = out[k + half] * factors[k - start]
                out[k] = even + odd
                out[k + half] = even - odd
        length *= 2
    return out
