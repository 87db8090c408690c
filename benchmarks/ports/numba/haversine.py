import math

import numpy as np
from numba import prange

from benchmarks.ports.numba import shared


@shared
def run(lat1, lon1, lat2, lon2):
    out = np.empty_like(lat1)
    for i in prange(len(out)):
        a1, o1, a2, o2 = (
            math.radians(lat1[i]),
            math.radians(lon1[i]),
            math.radians(lat2[i]),
            math.radians(lon2[i]),
        )
        a = math.sin((a2 - a1) / 2) ** 2 + math.cos(a1) * math.cos(a2) * math.sin((o2 - o1) / 2) ** 2
        out[i] = 2 * 6371.0 * math.atan2(math.sqrt(a), math.sqrt(1 - a))
    return out
