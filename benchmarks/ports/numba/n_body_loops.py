from numba import njit

from benchmarks.corpus import n_body_loops

run = njit(cache=True)(n_body_loops.run)
