from numba import njit

from benchmarks.corpus import moving_average

run = njit(cache=True)(moving_average.run)
