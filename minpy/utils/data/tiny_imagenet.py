"""Tiny ImageNet: photographs of 64 by 64 points, of up to 200 classes, from the folder of its files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minpy.errors import DataError, MissingDataError

SIZE = 64
_WHERE = (
    "Tiny ImageNet (237 MB packed) comes from http://cs231n.stanford.edu/tiny-imagenet-200.zip: unpack it, and give "
    "the folder tiny-imagenet-200, which holds wnids.txt"
)


class TinyImageNet(NamedTuple):
    """Images, shape (N, 3, 64, 64), with their classes, in three parts.

    Attributes
    ----------
    class_names : list of list of str
        The words for each class.
    X_train, X_val, X_test : numpy.ndarray
        Images, from 0 to 255.
    y_train, y_val, y_test : numpy.ndarray
        Class numbers, shape (N,), int64; `y_test` is None in the published set, which keeps them to itself.
    """

    class_names: list[list[str]]
    X_train: np.ndarray
    y_train: np.ndarray
    X_val: np.ndarray
    y_val: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray | None


def load_tiny_imagenet(path: str | os.PathLike, dtype: Any = np.float32) -> TinyImageNet:
    """Tiny ImageNet, or a set that is laid out as it is (TinyImageNet-100-A, -100-B).

    Parameters
    ----------
    path : path
        The folder that holds ``wnids.txt``, ``words.txt``, ``train``, ``val`` and ``test``.
    dtype : dtype
        Of the images. In float32 the 120,000 of the published set take 5.9 GB.

    Returns
    -------
    TinyImageNet
        A named tuple of seven; those of the test are in the order of their names.

    Raises
    ------
    MissingDataError
        If a file is not there; the text says where the set comes from.
    DataError
        If a file is damaged, or Pillow, which reads the pictures, is not installed.
    """
    folder = Path(path)
    wnids = _lines(folder / "wnids.txt")
    number = {wnid: i for i, wnid in enumerate(wnids)}
    words = dict(line.split("\t", 1) for line in _lines(folder / "words.txt") if "\t" in line)
    missing = [wnid for wnid in wnids if wnid not in words]
    if missing:
        raise DataError(f"{folder / 'words.txt'} has no words for {missing[0]}, which wnids.txt names")
    names = [[word.strip() for word in words[wnid].split(",")] for wnid in wnids]
    files, labels = [], []
    for wnid in wnids:
        inside = folder / "train" / wnid
        found = [line.split("\t")[0] for line in _lines(inside / f"{wnid}_boxes.txt")]
        files += [inside / "images" / name for name in found]
        labels += [number[wnid]] * len(found)
    train = _pictures(files, dtype), np.array(labels, np.int64)
    listed = _labels(folder / "val" / "val_annotations.txt", number)
    val = _pictures([folder / "val" / "images" / name for name in listed], dtype)
    tests = folder / "test" / "images"
    if not tests.is_dir():
        raise MissingDataError(f"there is no folder {tests}. {_WHERE}")
    test_names = sorted(name for name in os.listdir(tests) if not name.startswith("."))
    known = folder / "test" / "test_annotations.txt"
    y_test = None
    if known.is_file():
        of_test = _labels(known, number)
        unknown = [name for name in test_names if name not in of_test]
        if unknown:
            raise DataError(f"{known} has no class for {unknown[0]}")
        y_test = np.array([of_test[name] for name in test_names], np.int64)
    test = _pictures([tests / name for name in test_names], dtype)
    return TinyImageNet(names, *train, val, np.array(list(listed.values()), np.int64), test, y_test)


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MissingDataError(f"{path} is not there. {_WHERE}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _labels(path: Path, number: dict[str, int]) -> dict[str, int]:
    """The class number of each picture that a file of annotations names."""
    found = {}
    for line in _lines(path):
        name, _, rest = line.partition("\t")
        wnid = rest.partition("\t")[0]
        if wnid not in number:
            raise DataError(f"{path} gives {name} the class {wnid!r}, which wnids.txt does not name")
        found[name] = number[wnid]
    return found


def _pictures(files: Iterable[Path], dtype: Any) -> np.ndarray:
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError("Pillow reads the pictures of Tiny ImageNet: pip install pillow") from error
    files = list(files)
    images = np.empty((len(files), 3, SIZE, SIZE), dtype)
    for i, file in enumerate(files):
        try:
            with Image.open(file) as picture:
                points = np.asarray(picture.convert("RGB"))  # some of them are grey
        except FileNotFoundError:
            raise MissingDataError(f"{file} is not there. {_WHERE}") from None
        except Exception as error:  # Pillow raises whatever a damaged file comes to
            raise DataError(
                f"{file} is no picture, or it is damaged: {type(error).__name__}: {error}"
            ) from error
        if points.shape != (SIZE, SIZE, 3):
            raise DataError(f"{file} is {points.shape[1]} by {points.shape[0]} points, not {SIZE} by {SIZE}")
        images[i] = points.transpose(2, 0, 1)
    return images
