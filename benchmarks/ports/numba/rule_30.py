import numpy as np
from numba import njit


@njit(cache=True)
def run(n, steps, rule):
    table = np.array([(rule >> k) & 1 for k in range(8)], dtype=np.uint8)
    history = np.zeros((steps, n), dtype=np.uint8)
    history[0, n // 2] = 1
    for t in range(1, steps):
        line = history[t - 1]
        new = history[t]
        new[0] = table[4 * line[n - 1] + 2 * line[0] + line[1]]
        for i in range(1, n - 1):
            new[i] = table[4 * line[i - 1] + 2 * line[i] + line[i + 1]]
        new[n - 1] = table[4 * line[n - 2] + 2 * line[n - 1] + line[0]]
    return history
