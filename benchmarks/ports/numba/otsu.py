from numba import njit

from benchmarks.corpus import otsu

run = njit(cache=True)(otsu.run)
