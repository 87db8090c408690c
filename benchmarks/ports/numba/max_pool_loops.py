from numba import njit

from benchmarks.corpus import max_pool_loops

run = njit(cache=True)(max_pool_loops.run)
