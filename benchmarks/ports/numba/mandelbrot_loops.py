from numba import njit

from benchmarks.corpus import mandelbrot_loops

run = njit(cache=True)(mandelbrot_loops.run)
