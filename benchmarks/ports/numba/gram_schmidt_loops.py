from numba import njit

from benchmarks.corpus import gram_schmidt_loops

run = njit(cache=True)(gram_schmidt_loops.run)
