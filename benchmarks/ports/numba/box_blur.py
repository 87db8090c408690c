from numba import njit

from benchmarks.corpus import box_blur

run = njit(cache=True)(box_blur.run)
