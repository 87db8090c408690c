"""An American option on a binomial tree, level by level."""

import numpy as np


def setup(size):
    return ({"tiny": 6, "small": 500, "large": 10_000}[size],)


def run(steps):
    price, strike, rate, volatility, years = 100.0, 110.0, 0.05, 0.3, 1.0
    dt = years / steps
    up = np.exp(volatility * np.sqrt(dt))
    down = 1 / up
    p = (np.exp(rate * dt) - down) / (up - down)
    discount = np.exp(-rate * dt)
    leaves = price * up ** np.arange(steps, -1, -1) * down ** np.arange(0, steps + 1)
    value = np.maximum(strike - leaves, 0)
    for _ in range(steps - 1, -1, -1):
        leaves = leaves[:-1] * down
        value = discount * (p * value[:-1] + (1 - p) * value[1:])
        value = np.maximum(value, strike - leaves)
    return value[0]
