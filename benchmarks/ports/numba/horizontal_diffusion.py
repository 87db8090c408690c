import numpy as np
from numba import njit, prange

from benchmarks.ports.numba import shared


@njit(cache=True)
def limited(difference, slope):
    return 0.0 if difference * slope > 0 else difference


@shared
def run(field, out, coefficient, times):
    ni, nj, nk = out.shape
    lap = np.empty((ni + 2, nj + 2, nk))
    flx = np.empty((ni + 1, nj, nk))
    fly = np.empty((ni, nj + 1, nk))
    for _ in range(times):
        for i in prange(ni + 2):
            for j in range(nj + 2):
                for k in range(nk):
                    lap[i, j, k] = 4.0 * field[i + 1, j + 1, k] - (
                        field[i + 2, j + 1, k]
                        + field[i, j + 1, k]
                        + field[i + 1, j + 2, k]
                        + field[i + 1, j, k]
                    )
        for i in prange(ni + 1):
            for j in range(nj):
                for k in range(nk):
                    flx[i, j, k] = limited(
                        lap[i + 1, j + 1, k] - lap[i, j + 1, k],
                        field[i + 2, j + 2, k] - field[i + 1, j + 2, k],
                    )
        for i in prange(ni):
            for j in range(nj + 1):
                for k in range(nk):
                    fly[i, j, k] = limited(
                        lap[i + 1, j + 1, k] - lap[i + 1, j, k],
                        field[i + 2, j + 2, k] - field[i + 2, j + 1, k],
                    )
        for i in prange(ni):
            for j in range(nj):
                for k in range(nk):
                    flow = flx[i + 1, j, k] - flx[i, j, k] + fly[i, j + 1, k] - fly[i, j, k]
                    out[i, j, k] = field[i + 2, j + 2, k] - coefficient[i, j, k] * flow
        field[2 : ni + 2, 2 : nj + 2, :] = out
    return out
