from numba import njit

from benchmarks.corpus import pairwise_distances

run = njit(cache=True)(pairwise_distances.run)
