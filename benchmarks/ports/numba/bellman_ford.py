from numba import njit

from benchmarks.corpus import bellman_ford

run = njit(cache=True)(bellman_ford.run)
