"""The shortest ways from one place, edge by edge."""

import numpy as np


def setup(size):
    n, edges = {"tiny": (6, 12), "small": (300, 2_000), "large": (5_000, 60_000)}[size]
    rng = np.random.default_rng(54)
    return n, rng.integers(0, n, edges), rng.integers(0, n, edges), rng.integers(1, 50, edges).astype(float)


def run(n, sources, targets, costs):
    distance = np.full(n, np.inf)
    distance[0] = 0.0
    for _ in range(n - 1):
        changed = False
        for e in range(len(costs)):
            d = distance[sources[e]] + costs[e]
            if d < distance[targets[e]]:
                distance[targets[e]] = d
                changed = True
        if not changed:
            break
    return distance
