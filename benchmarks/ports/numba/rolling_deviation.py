import math

import numpy as np
from numba import prange

from benchmarks.ports.numba import shared


@shared
def run(series, window):
    out = np.empty(len(series) - window + 1)
    for i in prange(len(out)):
        total = 0.0
        for j in range(i, i + window):
            total += series[j]
        mean = total / window
        squares = 0.0
        for j in range(i, i + window):
            squares += (series[j] - mean) ** 2
        out[i] = math.sqrt(squares / window)
    return out
