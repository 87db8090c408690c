"""The primes up to a number, by Eratosthenes' sieve."""

import numpy as np


def setup(size):
    return ({"tiny": 50, "small": 600_000, "large": 20_000_000}[size],)


def run(n):
    prime = np.ones(n + 1, dtype=bool)
    prime[:2] = False
    for i in range(2, int(n**0.5) + 1):
        if prime[i]:
            prime[i * i :: i] = False
    return np.nonzero(prime)[0]
