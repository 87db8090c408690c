"""Ports to Numba. Their results are NumPy's objects as they are.

Loops over independent elements are `prange` under `shared`, which shares them out where there is more than one thread.
"""

from numba import config, njit

finish = None
shared = njit(cache=True, parallel=config.NUMBA_NUM_THREADS > 1)
