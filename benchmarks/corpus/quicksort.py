"""Quicksort in place, with a stack of its own."""

import numpy as np


def setup(size):
    n = {"tiny": 20, "small": 3_000, "large": 100_000}[size]
    return (np.random.default_rng(69).random(n),)


def run(a):
    stack = [(0, len(a) - 1)]
    while stack:
        low, high = stack.pop()
        while low < high:
            pivot = a[(low + high) // 2]
            i, j = low, high
            while i <= j:
                while a[i] < pivot:
                    i += 1
                while a[j] > pivot:
                    j -= 1
                if i <= j:
                    a[i], a[j] = a[j], a[i]
                    i += 1
                    j -= 1
            if j - low < high - i:
                stack.append((i, high))
                high = j
            else:
                stack.append((low, j))
                low = i
    return a
