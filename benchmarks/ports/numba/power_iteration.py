from numba import njit

from benchmarks.corpus import power_iteration

run = njit(cache=True)(power_iteration.run)
