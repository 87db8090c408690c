import math

import numpy as np
from numba import njit


@njit(cache=True)
def run(a, b):
    out = np.empty_like(a)
    for i in range(len(a)):
        out[i] = math.tanh(a[i] * b[i] + a[i]) - math.exp(-b[i])
    return out
