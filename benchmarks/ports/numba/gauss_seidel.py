from numba import njit

from benchmarks.corpus import gauss_seidel

run = njit(cache=True)(gauss_seidel.run)
