import numpy as np
from numba import prange

from benchmarks.ports.numba import shared


@shared
def run(n, steps):
    x = np.linspace(-2.25, 0.75, n)
    y = np.linspace(-1.25, 1.25, n)
    z = np.zeros((n, n), dtype=np.complex128)
    left = np.zeros((n, n), dtype=np.int64)
    for row in prange(n):
        for column in range(n):
            cr, ci = x[column], y[row]
            zr = zi = 0.0
            last = 0
            for i in range(steps):
                if zr * zr + zi * zi >= 4.0:
                    break
                last = i
                zr, zi = zr * zr - zi * zi + cr, 2.0 * zr * zi + ci
            z[row, column] = complex(zr, zi)
            left[row, column] = 0 if last == steps - 1 else last
    return z, left
