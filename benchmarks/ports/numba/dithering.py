from numba import njit

from benchmarks.corpus import dithering

run = njit(cache=True)(dithering.run)
