from numba import njit

from benchmarks.corpus import wave_loops

run = njit(cache=True)(wave_loops.run)
