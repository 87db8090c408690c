import numpy as np
from numba import njit

# The generator is NumPy's own, and so are the numbers.


@njit(cache=True)
def draw(sample, draws, rng):
    n = len(sample)
    medians = np.empty(draws)
    means = np.empty(draws)
    for i in range(draws):
        again = sample[rng.integers(0, n, n)]
        medians[i] = np.median(again)
        means[i] = again.mean()
    ends = np.array([2.5, 97.5])
    return np.percentile(medians, ends), np.percentile(means, ends)


def run(sample, draws, seed):
    return draw(sample, draws, np.random.default_rng(seed))
