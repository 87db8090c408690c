"""The kinds of arrays that the original told apart: NumPy's and MXNet's."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np


class ArrayType(enum.IntEnum):
    """A kind of array."""

    NUMPY = 0
    MXNET = 1


variants = {"numpy": ArrayType.NUMPY, "mxnet": ArrayType.MXNET}
variants_repr = {ArrayType.NUMPY: "NumPy", ArrayType.MXNET: "MXNet"}
number_types = {ArrayType.NUMPY: (int, float, np.integer, np.floating), ArrayType.MXNET: (int, float)}


def __getattr__(name: str) -> Any:
    if name == "array_types":  # loads MXNet, and so not before it is asked for
        from minpy.runtime.backends.mxnet import load

        return {ArrayType.NUMPY: np.ndarray, ArrayType.MXNET: load().nd.NDArray}
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
