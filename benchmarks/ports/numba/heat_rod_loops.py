from numba import njit

from benchmarks.corpus import heat_rod_loops

run = njit(cache=True)(heat_rod_loops.run)
