"""What the loaders of images give."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minpy.errors import ArgumentError


class Images(NamedTuple):
    """Images with their classes, to train and to test with.

    Attributes
    ----------
    x_train, x_test : numpy.ndarray
        Images, shape (N, C, H, W), float32 from 0 to 1.
    y_train, y_test : numpy.ndarray
        Class numbers, shape (N,), int64.
    classes : tuple of str
        What the numbers stand for.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """That of an image: (C, H, W)."""
        return self.x_train.shape[1:]

    def hold_out(self, share: float = 0.2) -> tuple[Images, tuple[np.ndarray, np.ndarray]]:
        """Keep a share of the training images to choose by, so that the test images have no part in any choice.

        Parameters
        ----------
        share : float
            From 0 to 1; the last images are taken.

        Returns
        -------
        Images
            The others.
        tuple of numpy.ndarray
            The images that are kept, and their class numbers.
        """
        if not 0 <= share <= 1:
            raise ArgumentError(f"hold_out: share must be a number from 0 to 1, not {share!r}")
        cut = len(self.x_train) - round(len(self.x_train) * share)
        kept = self.x_train[cut:], self.y_train[cut:]
        return self._replace(x_train=self.x_train[:cut], y_train=self.y_train[:cut]), kept

    def first(self, train: int, test: int | None = None) -> Images:
        """A smaller set: the first images of each part.

        Parameters
        ----------
        train : int
        test : int, optional
            As many as `train` without it.
        """
        test = train if test is None else test
        return self._replace(
            x_train=self.x_train[:train],
            y_train=self.y_train[:train],
            x_test=self.x_test[:test],
            y_test=self.y_test[:test],
        )


def scaled(pixels: np.ndarray, largest: float = 255.0) -> np.ndarray:
    """Pixels as float32 from 0 to 1."""
    return np.multiply(pixels, 1 / largest, dtype=np.float32)
