"""The data that comes with scikit-learn, without a network."""

from __future__ import annotations

import numpy as np

from minpy.errors import ArgumentError, MissingDataError
from minpy.utils.data.split import Images, scaled


def digits(test_share: float = 0.2, seed: int = 0) -> Images:
    """The 1,797 digits of scikit-learn, 8 by 8, in an order of their own.

    Parameters
    ----------
    test_share : float
        Which share of the images is kept to test with, from 0 to 1.
    seed : int
        Draws the order.

    Raises
    ------
    MissingDataError
        If scikit-learn is not installed.
    """
    if not 0 <= test_share <= 1:
        raise ArgumentError(f"digits: test_share must be a number from 0 to 1, not {test_share!r}")
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingDataError("the digits come with scikit-learn: pip install 'minpy[examples]'") from error
    found = load_digits()
    order = np.random.default_rng(seed).permutation(len(found.images))
    x, y = scaled(found.images[order], 16.0)[:, None], found.target[order].astype(np.int64)
    cut = round(len(x) * (1 - test_share))
    return Images(x[:cut], y[:cut], x[cut:], y[cut:], tuple("0123456789"))
