from numba import njit

from benchmarks.corpus import thomas

run = njit(cache=True)(thomas.run)
