from numba import njit

from benchmarks.corpus import quicksort

run = njit(cache=True)(quicksort.run)
