"""Walks on a grid, and when each first comes back."""

import numpy as np


def setup(size):
    walks, steps = {"tiny": (3, 8), "small": (60, 200), "large": (800, 900)}[size]
    return (np.random.default_rng(75).integers(0, 4, (walks, steps)),)


def run(moves):
    walks, steps = moves.shape
    back = np.full(walks, -1)
    furthest = np.zeros(walks)
    for w in range(walks):
        x = y = 0
        for t in range(steps):
            m = moves[w, t]
            if m == 0:
                x += 1
            elif m == 1:
                x -= 1
            elif m == 2:
                y += 1
            else:
                y -= 1
            d = (x * x + y * y) ** 0.5
            if d > furthest[w]:
                furthest[w] = d
            if x == 0 and y == 0 and back[w] < 0:
                back[w] = t + 1
    return back, furthest
