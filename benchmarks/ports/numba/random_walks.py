from numba import njit

from benchmarks.corpus import random_walks

run = njit(cache=True)(random_walks.run)
