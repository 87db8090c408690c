import math

import numpy as np
from numba import prange

from benchmarks.ports.numba import shared


@shared
def run(x):
    out = np.empty_like(x)
    rows, result = x.reshape(-1, x.shape[-1]), out.reshape(-1, x.shape[-1])
    for i in prange(len(rows)):
        highest = rows[i, 0]
        for value in rows[i]:
            highest = max(highest, value)
        total = np.float32(0.0)
        for j in range(rows.shape[1]):
            e = math.exp(rows[i, j] - highest)
            result[i, j] = e
            total += e
        for j in range(rows.shape[1]):
            result[i, j] /= total
    return out
