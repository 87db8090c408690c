"""Products of the layers: by the BLAS that knows the processor, where everything is on the host."""

from __future__ import annotations

from typing import Any

import numpy

import minpy.numpy as np
from minpy.runtime import blas, entry
from minpy.runtime.array import Array


def dot(x: Any, y: Any) -> Any:
    """``np.dot``; its last bits may differ from NumPy's."""
    if type(x) is numpy.ndarray is type(y) and not entry.others:
        return blas.dot(x, y)
    return np.dot(x, y)


def is_active(x: Any) -> bool:
    """Whether a gradient may be asked for."""
    return type(x) is Array and x.storage.tape is not None


def on_host() -> bool:
    """Whether no device and no policy that may choose one is active."""
    return not entry.others
