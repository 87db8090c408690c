from numba import njit

from benchmarks.corpus import pagerank

run = njit(cache=True)(pagerank.run)
