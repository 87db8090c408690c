"""An Asian option by simulated paths."""

import numpy as np


def setup(size):
    paths, steps = {"tiny": (10, 5), "small": (2_000, 100), "large": (100_000, 200)}[size]
    return paths, steps, 41


def run(paths, steps, seed):
    rng = np.random.default_rng(seed)
    price, strike, rate, volatility, years = 100.0, 105.0, 0.03, 0.25, 1.0
    dt = years / steps
    s = np.full(paths, price)
    total = np.zeros(paths)
    for _ in range(steps):
        z = rng.standard_normal(paths)
        s = s * np.exp((rate - 0.5 * volatility**2) * dt + volatility * np.sqrt(dt) * z)
        total += s
    payoff = np.exp(-rate * years) * np.maximum(total / steps - strike, 0.0)
    return payoff.mean(), payoff.std() / np.sqrt(paths)
