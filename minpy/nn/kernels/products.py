"""Products of the layers: by the BLAS that knows the processor, where everything is on the host."""

from __future__ import annotations

from typing import Any

import numpy

import minpy.numpy as np
from minpy.nn.kernels import arithmetic
from minpy.runtime import blas, entry
from minpy.runtime.array import Array
from minpy.runtime.cblas import address
from minpy.runtime.fuse import native, state


def dot(x: Any, y: Any) -> Any:
    """``np.dot``; its last bits may differ from NumPy's."""
    if type(x) is numpy.ndarray is type(y) and not entry.others:
        return blas.dot(x, y)
    return np.dot(x, y)


_BIASED = arithmetic.Rows(("y", "half", "b"), ("y",), "y = (y + half) + b")


def biased(x: numpy.ndarray, w: numpy.ndarray, b: numpy.ndarray) -> numpy.ndarray:
    """``np.dot(x, w) + b``, of matrices and a vector of one dtype; a product in two halves is added up with `b`."""
    fits = (
        x.dtype is w.dtype is b.dtype and x.dtype.char in "fd" and x.dtype.isnative and b.flags.c_contiguous
    )
    flags: list[int] = []

    def add(y: numpy.ndarray, half: numpy.ndarray) -> bool:
        function = _BIASED.ready(y.dtype.char)
        if function is not None:
            step = y.strides[0]
            flags.append(function(*y.shape, step, step, 0, address(y), address(half), address(b)))
        return function is not None

    y = blas.dot_adding(x, w, add) if fits else dot(x, w)
    if flags:
        if not flags[0] & native.bits_of(state.ALL):
            return y
        y = dot(x, w)  # for NumPy's warning
    y += b
    return y


def is_active(x: Any) -> bool:
    """Whether a gradient may be asked for."""
    return type(x) is Array and x.storage.tape is not None


def on_host() -> bool:
    """Whether no device and no policy that may choose one is active."""
    return not entry.others
