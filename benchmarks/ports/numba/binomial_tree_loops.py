from numba import njit

from benchmarks.corpus import binomial_tree_loops

run = njit(cache=True)(binomial_tree_loops.run)
