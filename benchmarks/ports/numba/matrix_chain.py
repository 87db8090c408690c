from numba import njit

from benchmarks.corpus import matrix_chain

run = njit(cache=True)(matrix_chain.run)
