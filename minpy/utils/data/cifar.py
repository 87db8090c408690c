"""CIFAR-10, from the files of its Python version."""

from __future__ import annotations

import importlib
import io
import os
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np

from minpy.errors import DataError, MissingDataError
from minpy.utils.data.digests import check
from minpy.utils.data.split import Images, scaled

CIFAR10 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
"""MD5 digests of the files of CIFAR-10, Python version."""

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_INNER = "cifar-10-batches-py"
_WHERE = (
    "CIFAR-10 (163 MB packed) comes from https://www.cs.toronto.edu/~kriz/cifar.html: unpack its Python version, "
    f"cifar-10-python.tar.gz, and give the folder {_INNER}, or the one that holds it"
)


def cifar10(folder: str | os.PathLike, digests: Mapping[str, str] | None = CIFAR10) -> Images:
    """The 60,000 colour images of CIFAR-10, 32 by 32, of ten classes.

    Parameters
    ----------
    folder : path
        Where ``data_batch_1`` to ``data_batch_5`` and ``test_batch`` are, or what holds ``cifar-10-batches-py``.
    digests : mapping of str to str, optional
        What the files must be: MD5 or SHA-256 digests by file name. The published ones by default; None checks nothing.

    Returns
    -------
    Images
        50,000 images to train with, 10,000 to test with.

    Raises
    ------
    MissingDataError
        If the files are not there; the text says where they come from.
    DataError
        If a file is damaged, or not the published one.
    """
    inside = find(folder)
    batches = [load_batch(os.path.join(inside, name), name, digests) for name in CIFAR10]
    x_train, y_train = (np.concatenate(parts) for parts in zip(*batches[:5], strict=True))
    x_test, y_test = batches[5]
    return Images(scaled(x_train), y_train, scaled(x_test), y_test, CLASSES)


def find(folder: str | os.PathLike) -> str:
    """The folder that holds the files.

    Raises
    ------
    MissingDataError
        If one is not there.
    """
    inner = os.path.join(folder, _INNER)
    inside = inner if os.path.isdir(inner) else os.fspath(folder)
    if not os.path.isdir(inside):
        raise MissingDataError(f"there is no folder {inside}. {_WHERE}")
    for name in CIFAR10:
        if not os.path.isfile(os.path.join(inside, name)):
            raise MissingDataError(f"{inside} has no file {name}. {_WHERE}")
    return inside


def load_batch(
    path: str | os.PathLike, name: str = "", digests: Mapping[str, str] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Images, bytes of shape (N, 3, 32, 32), and class numbers of one file."""
    with open(path, "rb") as file:
        contents = file.read()
    check(path, name, contents, digests)
    batch = read_pickle(contents, path, "a batch of CIFAR-10")
    try:
        data, labels = np.asarray(batch["data"]), np.asarray(batch["labels"])
    except Exception as error:
        raise DataError(
            f"{os.fspath(path)} is not a batch of CIFAR-10: {type(error).__name__}: {error}"
        ) from error
    if data.dtype != np.uint8 or data.shape != (len(labels), 3072) or labels.dtype.kind != "i":
        raise DataError(
            f"{os.fspath(path)} must hold images, bytes of shape (N, 3072), and as many class numbers, not "
            f"{data.dtype} of shape {data.shape} and {labels.dtype} of shape {labels.shape}"
        )
    if labels.size and not 0 <= labels.min() <= labels.max() <= 9:
        raise DataError(f"{os.fspath(path)} holds labels outside of 0 to 9")
    return data.reshape(-1, 3, 32, 32), labels.astype(np.int64)


def read_pickle(contents: bytes, path: str | os.PathLike, what: str = "a pickle of arrays") -> Any:
    """What a pickle of arrays, numbers, strings and containers holds; nothing else is made, and nothing called.

    Raises
    ------
    DataError
        If it is damaged, or holds something else; names `path`.
    """
    try:
        return _ArraysOnly(io.BytesIO(contents), encoding="latin1").load()
    except Exception as error:  # a damaged pickle raises whatever it comes to
        raise DataError(
            f"{os.fspath(path)} is not {what}, or it is damaged: {type(error).__name__}: {error}"
        ) from error


class _ArraysOnly(pickle.Unpickler):
    """Reads a pickle of numbers, strings and arrays. One of anything else, such as a call, is refused."""

    _ALLOWED = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        """The named object, if it is one of those that make arrays."""
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it wants {module}.{name}, which is not part of an array")
        if name == "_reconstruct":
            return np.ndarray.__reduce__(np.zeros(0))[0]  # wherever this NumPy has it
        return getattr(importlib.import_module(module), name)
