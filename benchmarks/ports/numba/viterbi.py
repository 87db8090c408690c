import math

import numpy as np
from numba import njit


@njit(cache=True)
def run(log_transition, log_emission, observed):
    states, length = len(log_transition), len(observed)
    score = np.empty((length, states))
    back = np.zeros((length, states), dtype=np.int64)
    score[0] = -math.log(states) + log_emission[:, observed[0]]
    for t in range(1, length):
        highest = score[t]
        highest[:] = -np.inf
        for i in range(states):
            before = score[t - 1, i]
            for j in range(states):
                candidate = before + log_transition[i, j]
                if candidate > highest[j]:
                    highest[j] = candidate
                    back[t, j] = i
        for j in range(states):
            highest[j] += log_emission[j, observed[t]]
    path = np.empty(length, dtype=np.int64)
    path[-1] = np.argmax(score[-1])
    for t in range(length - 2, -1, -1):
        path[t] = back[t + 1, path[t + 1]]
    return path, score[-1].max()
