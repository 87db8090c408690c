"""An American option on a binomial tree, element by element."""

import math

import numpy as np


def setup(size):
    return ({"tiny": 6, "small": 120, "large": 1000}[size],)


def run(steps):
    price, strike, rate, volatility, years = 100.0, 110.0, 0.05, 0.3, 1.0
    dt = years / steps
    up = math.exp(volatility * math.sqrt(dt))
    p = (math.exp(rate * dt) - 1 / up) / (up - 1 / up)
    discount = math.exp(-rate * dt)
    value = np.zeros(steps + 1)
    for i in range(steps + 1):
        value[i] = max(strike - price * up ** (2 * i - steps), 0.0)
    for level in range(steps - 1, -1, -1):
        for i in range(level + 1):
            hold = discount * (p * value[i + 1] + (1 - p) * value[i])
            exercise = strike - price * up ** (2 * i - level)
            value[i] = hold if hold > exercise else exercise
    return value[0]
