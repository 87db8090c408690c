"""How long Collatz' sequences are, number by number."""

import numpy as np


def setup(size):
    return ({"tiny": 20, "small": 3_000, "large": 300_000}[size],)


def run(n):
    lengths = np.zeros(n + 1, dtype=np.int64)
    for start in range(1, n + 1):
        x = start
        steps = 0
        while x != 1:
            x = x // 2 if x % 2 == 0 else 3 * x + 1
            steps += 1
            if x < start:
                steps += lengths[x]
                break
        lengths[start] = steps
    return lengths
