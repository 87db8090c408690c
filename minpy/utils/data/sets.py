"""Whichever set of images a folder holds."""

from __future__ import annotations

import os

from minpy.errors import MissingDataError
from minpy.utils.data.bundled import digits
from minpy.utils.data.cifar import cifar10
from minpy.utils.data.idx import mnist
from minpy.utils.data.split import Images

__all__ = ["Images", "images"]


def images(folder: str | os.PathLike | None = None) -> Images:
    """CIFAR-10 or MNIST, whichever the folder holds; scikit-learn's digits without a folder.

    Parameters
    ----------
    folder : path, optional

    Raises
    ------
    MissingDataError
        If the folder holds neither; the text says where they come from.
    DataError
        If a file is damaged, or not the published one.
    """
    if folder is None:
        return digits()
    reasons = []
    for load in (cifar10, mnist):
        try:
            return load(folder)
        except MissingDataError as error:
            reasons.append(str(error).removesuffix(f" [{error.code}]"))
    raise MissingDataError("; ".join(reasons))
