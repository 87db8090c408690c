"""A soft edit distance: dynamic programming over a table, number by number, with math."""

import math

import numpy as np


def sample(rng):
    return rng.normal(size=(2, 6))


def large(rng):
    return rng.normal(size=(2, 60)), {}


def soft_min(*values):
    least = min(values)
    return least - 0.3 * math.log(sum(math.exp((least - v) / 0.3) for v in values))


def run(words):
    a, b = words
    n = len(a) + 1
    table = np.zeros((n, n))
    table[0, 1:] = np.arange(1, n)
    table[1:, 0] = np.arange(1, n)
    for i in range(1, n):
        for j in range(1, n):
            cost = (a[i - 1] - b[j - 1]) ** 2
            table[i, j] = soft_min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + cost)
    return table[-1, -1]
