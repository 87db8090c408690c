"""The primes up to a number, multiple by multiple."""

import numpy as np


def setup(size):
    return ({"tiny": 50, "small": 30_000, "large": 1_200_000}[size],)


def run(n):
    prime = np.ones(n + 1, dtype=bool)
    count = 0
    for i in range(2, n + 1):
        if prime[i]:
            count += 1
            for j in range(i * i, n + 1, i):
                prime[j] = False
    return count, prime
