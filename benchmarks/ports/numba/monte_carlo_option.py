import math

import numpy as np
from numba import njit


@njit(cache=True)
def step(s, total, z, drift, spread):
    for i in range(len(s)):
        s[i] *= math.exp(drift + spread * z[i])
        total[i] += s[i]


def run(paths, steps, seed):
    # NumPy's own generator fills an array faster than Numba's version of it gives single numbers.
    rng = np.random.default_rng(seed)
    price, strike, rate, volatility, years = 100.0, 105.0, 0.03, 0.25, 1.0
    dt = years / steps
    s = np.full(paths, price)
    total = np.zeros(paths)
    z = np.empty(paths)
    for _ in range(steps):
        rng.standard_normal(out=z)
        step(s, total, z, (rate - 0.5 * volatility**2) * dt, volatility * math.sqrt(dt))
    payoff = math.exp(-rate * years) * np.maximum(total / steps - strike, 0.0)
    return payoff.mean(), payoff.std() / math.sqrt(paths)
