"""MNIST, and other sets in files of its format (IDX)."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Mapping

import numpy as np

from minpy.errors import DataError, MissingDataError
from minpy.utils.data.digests import check
from minpy.utils.data.split import Images, scaled

MNIST = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
"""MD5 digests of the files of MNIST, unpacked."""

_WHERE = (
    "MNIST (11 MB packed, from http://yann.lecun.com/exdb/mnist/ and its mirrors, such as "
    "https://ossci-datasets.s3.amazonaws.com/mnist/) is four files: "
    + ", ".join(MNIST)
    + ", each as it is or as .gz. "
    "Put them in a folder and give that folder"
)
_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def mnist(folder: str | os.PathLike, digests: Mapping[str, str] | None = MNIST) -> Images:
    """The 70,000 digits of MNIST, 28 by 28.

    Parameters
    ----------
    folder : path
        Where the four files are, packed (``.gz``) or not.
    digests : mapping of str to str, optional
        What the unpacked files must be: MD5 or SHA-256 digests by file name. Those of MNIST by default; for another set
        in the same format give its own, or None to check nothing.

    Returns
    -------
    Images
        60,000 images to train with, 10,000 to test with.

    Raises
    ------
    MissingDataError
        If the files are not there; the text says where they come from.
    DataError
        If a file is damaged, or not the published one.
    """
    parts = []
    for part in ("train", "t10k"):
        x_name, y_name = f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"
        x_path, y_path = _find(folder, x_name), _find(folder, y_name)
        x, y = _read(x_path, x_name, digests), _read(y_path, y_name, digests)
        if x.ndim != 3 or y.ndim != 1 or x.dtype != np.uint8 or y.dtype != np.uint8:
            raise DataError(
                f"{x_path} and {y_path} must hold images, bytes of shape (N, H, W), and labels, bytes of shape (N,), "
                f"not {x.dtype} of shape {x.shape} and {y.dtype} of shape {y.shape}"
            )
        if len(x) != len(y):
            raise DataError(f"{x_path} has {len(x)} images, but {y_path} has {len(y)} labels")
        if y.size and y.max() > 9:
            raise DataError(f"{y_path} holds the label {y.max()}, which is none of 0 to 9")
        parts += [scaled(x)[:, None], y.astype(np.int64)]
    return Images(*parts, tuple("0123456789"))


def read_idx(path: str | os.PathLike) -> np.ndarray:
    """The array that a file in IDX format holds, packed (``.gz``) or not.

    Raises
    ------
    DataError
        If it is damaged, or no such file.
    """
    return _read(os.fspath(path), "", None)


def _find(folder: str | os.PathLike, name: str) -> str:
    spellings = (name, name.replace("-idx", ".idx"))
    for spelling in spellings:
        for end in ("", ".gz"):
            path = os.path.join(folder, spelling + end)
            if os.path.isfile(path):
                return path
    what = f"there is no folder {os.fspath(folder)}"
    if os.path.isdir(folder):
        what = f"{os.fspath(folder)} has no file {name} or {name}.gz"
    raise MissingDataError(f"{what}. {_WHERE}")


def _read(path: str, name: str, digests: Mapping[str, str] | None) -> np.ndarray:
    with open(path, "rb") as file:
        contents = file.read()
    if contents[:2] == b"\x1f\x8b":
        try:
            contents = gzip.decompress(contents)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path} is damaged: {error}") from error
    check(path, name, contents, digests)
    axes = contents[3] if len(contents) > 3 else 0
    start = 4 + 4 * axes
    if contents[:2] != b"\0\0" or len(contents) < start or contents[2] not in _TYPES:
        raise DataError(f"{path} is not a file in IDX format, or it is damaged")
    shape = tuple(int(n) for n in np.frombuffer(contents, ">u4", axes, 4))
    dtype = np.dtype(_TYPES[contents[2]])
    size = dtype.itemsize
    for n in shape:
        size *= n
    if len(contents) - start != size:
        raise DataError(
            f"{path} is damaged: an array of shape {shape} has {size} bytes, but {len(contents) - start} follow"
        )
    return np.frombuffer(contents, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))
