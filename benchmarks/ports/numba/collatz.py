from numba import njit

from benchmarks.corpus import collatz

run = njit(cache=True)(collatz.run)
