"""An American option by a binomial tree that shrinks in place."""

import math

import numpy as np


def sample(rng):
    return np.array([100.0, 103.0, 0.31, 0.04]) + 0.01 * rng.normal(size=4)


def large(rng):
    return sample(rng), {"steps": 6000}


def run(inputs, steps=12, years=0.7):
    spot, strike, sigma, rate = inputs
    dt = years / steps
    up = math.exp(float(sigma) * math.sqrt(dt))
    p = (math.exp(rate * dt) - 1 / up) / (up - 1 / up)
    prices = spot * up ** (2.0 * np.arange(steps + 1) - steps)
    values = np.maximum(strike - prices, 0.0)
    for n in range(steps, 0, -1):
        values[:n] = math.exp(-rate * dt) * (p * values[1 : n + 1] + (1 - p) * values[:n])
        prices[:n] = prices[1 : n + 1] / up
        np.maximum(values[:n], strike - prices[:n], out=values[:n])
    return values[0]
