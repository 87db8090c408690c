from numba import njit

from benchmarks.corpus import needleman_wunsch

run = njit(cache=True)(needleman_wunsch.run)
