from numba import njit

from benchmarks.corpus import histogram_loops

run = njit(cache=True)(histogram_loops.run)
