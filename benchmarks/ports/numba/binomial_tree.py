import math

import numpy as np
from numba import njit


@njit(cache=True)
def run(steps):
    price, strike, rate, volatility, years = 100.0, 110.0, 0.05, 0.3, 1.0
    dt = years / steps
    up = math.exp(volatility * math.sqrt(dt))
    down = 1 / up
    p = (math.exp(rate * dt) - down) / (up - down)
    discount = math.exp(-rate * dt)
    leaves = price * up ** np.arange(steps, -1, -1) * down ** np.arange(0, steps + 1)
    value = np.maximum(strike - leaves, 0)
    for level in range(steps, 0, -1):
        for i in range(level):
            leaves[i] *= down
            hold = discount * (p * value[i] + (1 - p) * value[i + 1])
            value[i] = max(hold, strike - leaves[i])
    return value[0]
