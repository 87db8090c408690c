"""An elementary cellular automaton, one line after the other."""

import numpy as np


def setup(size):
    n, steps = {"tiny": (11, 4), "small": (400, 400), "large": (20_000, 1500)}[size]
    return n, steps, 30


def run(n, steps, rule):
    table = np.array([(rule >> k) & 1 for k in range(8)], dtype=np.uint8)
    history = np.zeros((steps, n), dtype=np.uint8)
    history[0, n // 2] = 1
    for t in range(1, steps):
        line = history[t - 1]
        history[t] = table[4 * np.roll(line, 1) + 2 * line + np.roll(line, -1)]
    return history
