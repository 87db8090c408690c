from numba import njit

from benchmarks.corpus import ising

run = njit(cache=True)(ising.run)
