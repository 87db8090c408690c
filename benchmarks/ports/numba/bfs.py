from numba import njit

from benchmarks.corpus import bfs

run = njit(cache=True)(bfs.run)
