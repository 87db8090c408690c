from numba import njit

from benchmarks.corpus import cholesky

run = njit(cache=True)(cholesky.run)
