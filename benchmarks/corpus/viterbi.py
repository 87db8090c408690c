"""The most likely path of a hidden Markov model."""

import numpy as np


def setup(size):
    states, length = {"tiny": (3, 5), "small": (12, 1200), "large": (64, 12_000)}[size]
    rng = np.random.default_rng(27)
    transition = rng.dirichlet(np.ones(states), states)
    emission = rng.dirichlet(np.ones(6), states)
    return np.log(transition), np.log(emission), rng.integers(0, 6, length)


def run(log_transition, log_emission, observed):
    states, length = len(log_transition), len(observed)
    score = np.empty((length, states))
    back = np.zeros((length, states), dtype=np.int64)
    score[0] = -np.log(states) + log_emission[:, observed[0]]
    for t in range(1, length):
        candidates = score[t - 1][:, None] + log_transition
        back[t] = np.argmax(candidates, axis=0)
        score[t] = np.max(candidates, axis=0) + log_emission[:, observed[t]]
    path = np.empty(length, dtype=np.int64)
    path[-1] = np.argmax(score[-1])
    for t in range(length - 2, -1, -1):
        path[t] = back[t + 1, path[t + 1]]
    return path, score[-1].max()
