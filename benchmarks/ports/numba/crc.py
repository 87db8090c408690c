from numba import njit

from benchmarks.corpus import crc

run = njit(cache=True)(crc.run)
