"""Problems whose data is drawn at random.

With a seed the data is the same every time; without one NumPy's global generator draws it (``np.random.seed``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.nn import checks


def _generator(seed: int | None) -> Any:
    return np.random if seed is None else np.random.RandomState(seed)


def adding_problem_generator(
    N: int, seq_len: int = 30, high: float = 1, seed: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The adding problem: sequences of numbers, of which two are marked, and the sum of those two.

    A network that always answers the mean, 1, has an error of 0.1767 where the numbers are from 0 to 1.

    Parameters
    ----------
    N : int
        How many sequences.
    seq_len : int
        How long they are, at least 2.
    high : float
        The numbers are uniform from 0 to this.
    seed : int, optional

    Returns
    -------
    X : numpy.ndarray
        The numbers and, beside them, the marks (0 or 1); shape (N, seq_len, 2).
    Y : numpy.ndarray
        The sums, shape (N, 1).
    """
    n = checks.positive("adding_problem_generator", "N", N)
    length = checks.positive("adding_problem_generator", "seq_len", seq_len)
    if length < 2:
        raise checks.fail("adding_problem_generator", "seq_len must be 2 at least, as two numbers are marked")
    generator = _generator(seed)
    X = np.zeros((n, length, 2))
    X[:, :, 0] = generator.uniform(0, high, (n, length))
    rows = np.arange(n)
    # Two different places, each pair as likely as any other: the second counts from the first, around the end.
    first = generator.randint(0, length, n)
    second = (first + generator.randint(1, length, n)) % length
    X[rows, first, 1] = X[rows, second, 1] = 1
    return X, (X[rows, first, 0] + X[rows, second, 0])[:, None]


def gaussian_cluster_generator(
    num_samples: int = 10000, num_features: int = 500, num_classes: int = 5, seed: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Clusters of points around random centres, each coordinate with a standard deviation of 0.1.

    Parameters
    ----------
    num_samples : int
        How many points; the clusters have as many each, or one more.
    num_features : int
        How many coordinates.
    num_classes : int
        How many clusters.
    seed : int, optional

    Returns
    -------
    x : numpy.ndarray
        The points, cluster after cluster; shape (num_samples, num_features).
    y : numpy.ndarray
        One-hot rows, shape (num_samples, num_classes).
    """
    for name, value in (
        ("num_samples", num_samples),
        ("num_features", num_features),
        ("num_classes", num_classes),
    ):
        checks.positive("gaussian_cluster_generator", name, value)
    generator = _generator(seed)
    centres = generator.uniform(0, 1, (num_classes, num_features))
    cluster = np.arange(num_samples) * num_classes // num_samples
    x = generator.normal(centres[cluster], 0.1)
    y = np.zeros((num_samples, num_classes))
    y[np.arange(num_samples), cluster] = 1
    return x, y
