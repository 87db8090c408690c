from numba import njit

from benchmarks.corpus import conjugate_gradient

run = njit(cache=True)(conjugate_gradient.run)
