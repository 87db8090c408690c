"""Loaders and generators under the original's names; `minpy.utils.data` has more."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from minpy.errors import ArgumentError, CheckpointError, DataError, MissingDataError
from minpy.nn import files
from minpy.nn.io import NDArrayIter
from minpy.utils.data import adding_problem_generator, gaussian_cluster_generator, mnist
from minpy.utils.data.cifar import CIFAR10, find, load_batch, read_pickle
from minpy.utils.data.tiny_imagenet import load_tiny_imagenet

__all__ = [
    "adding_problem_generator",
    "gaussian_cluster_generator",
    "get_CIFAR10_data",
    "get_MNIST_data",
    "load_CIFAR10",
    "load_CIFAR_batch",
    "load_models",
    "load_tiny_imagenet",
]


def load_CIFAR_batch(filename: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """One file of CIFAR-10: images, float32 from 0 to 255 of shape (N, 32, 32, 3), and class numbers."""
    x, y = load_batch(filename)
    return x.transpose(0, 2, 3, 1).astype(np.float32), y


def load_CIFAR10(ROOT: str | os.PathLike, digests: Any = CIFAR10) -> tuple[np.ndarray, ...]:
    """All files of CIFAR-10: images and class numbers to train with, and to test with; see `load_CIFAR_batch`.

    Parameters
    ----------
    ROOT : path
        The folder ``cifar-10-batches-py``, or the one that holds it.
    digests : mapping of str to str, optional
        What the files must be, by default the published ones; None checks nothing.
    """
    inside = find(ROOT)
    batches = [load_batch(os.path.join(inside, name), name, digests) for name in CIFAR10]
    x, y = (np.concatenate(parts) for parts in zip(*batches[:5], strict=True))
    images = [each.transpose(0, 2, 3, 1).astype(np.float32) for each in (x, batches[5][0])]
    return images[0], y, images[1], batches[5][1]


def get_CIFAR10_data(
    data_dir: str | os.PathLike,
    num_training: int = 49000,
    num_validation: int = 1000,
    num_test: int = 1000,
    digests: Any = CIFAR10,
) -> dict[str, np.ndarray]:
    """CIFAR-10 with the mean image of the training images taken away.

    Parameters
    ----------
    data_dir : path
        The folder ``cifar-10-batches-py``, or the one that holds it.
    num_training, num_validation, num_test : int
        How many images of each part; the validation images follow the training images in the 50,000 of the set.
    digests : mapping of str to str, optional
        What the files must be, by default the published ones; None checks nothing.

    Returns
    -------
    dict
        ``X_train``, ``X_val``, ``X_test``: float32, shape (N, 3, 32, 32); ``y_train``, ``y_val``, ``y_test``: class
        numbers.

    Raises
    ------
    ArgumentError
        If there are fewer images.
    """
    x, y, x_test, y_test = load_CIFAR10(data_dir, digests)
    for name, number, there in (
        ("num_training + num_validation", num_training + num_validation, len(x)),
        ("num_test", num_test, len(x_test)),
    ):
        if number > there:
            raise ArgumentError(f"get_CIFAR10_data: {name} is {number}, but there are {there} images")
    chosen = {
        "train": (x[:num_training], y[:num_training]),
        "val": tuple(each[num_training : num_training + num_validation] for each in (x, y)),
        "test": (x_test[:num_test], y_test[:num_test]),
    }
    mean = chosen["train"][0].mean(axis=0, dtype=np.float64).astype(np.float32)
    found = {}
    for part, (images, labels) in chosen.items():
        found[f"X_{part}"] = np.ascontiguousarray((images - mean).transpose(0, 3, 1, 2))
        found[f"y_{part}"] = labels
    return found


def get_MNIST_data(
    data_dir: str | os.PathLike,
    batch_size: int,
    normalize: bool = True,
    shape: tuple[int, ...] | None = None,
    **options: Any,
) -> tuple[NDArrayIter, NDArrayIter]:
    """Batches of MNIST to train with, in a new order for each pass, and to test with.

    Parameters
    ----------
    data_dir : path
        The folder of the four files.
    batch_size : int
    normalize : bool
        Make the mean of each pixel of the training images 0 and its standard deviation 1 (where it is not 0).
    shape : tuple of int, optional
        Of a sample, such as ``(112, 7)``; by default ``(784,)``.
    **options
        ``digests``, as for `minpy.utils.data.mnist`.
    """
    split = mnist(data_dir, **options)
    parts = [np.reshape(x, (len(x), -1)) for x in (split.x_train, split.x_test)]
    if normalize:
        mean, deviation = parts[0].mean(axis=0), parts[0].std(axis=0)
        parts = [(x - mean) / (deviation + np.float32(1e-5)) for x in parts]
    if shape is not None:
        parts = [np.reshape(x, (len(x), *shape)) for x in parts]
    return (
        NDArrayIter(parts[0], split.y_train, batch_size, shuffle=True),
        NDArrayIter(parts[1], split.y_test, batch_size),
    )


def load_models(models_dir: str | os.PathLike) -> dict[str, Any]:
    """The models that a folder holds, by the names of their files.

    Parameters
    ----------
    models_dir : path

    Returns
    -------
    dict
        Of a file that `ModelBase.save` or a solver wrote, its arrays by name; of a pickled dictionary what stands under
        ``'model'``, if it is made of arrays, numbers, strings, lists, tuples and dictionaries. A pickle of anything
        else could run code of whoever made it: it is left out, as are files that hold no model.

    Raises
    ------
    MissingDataError
        If there is no such folder.
    """
    if not os.path.isdir(models_dir):
        raise MissingDataError(f"there is no folder {os.fspath(models_dir)} of models")
    models = {}
    for name in sorted(os.listdir(models_dir)):
        path = os.path.join(models_dir, name)
        if not os.path.isfile(path):
            continue
        try:
            models[name] = files.load(path)[0]
        except CheckpointError:
            try:
                with open(path, "rb") as file:
                    models[name] = read_pickle(file.read(), path)["model"]
            except (DataError, KeyError, TypeError, IndexError):
                continue
    return models
