from numba import njit

from benchmarks.corpus import fft_loops

run = njit(cache=True)(fft_loops.run)
