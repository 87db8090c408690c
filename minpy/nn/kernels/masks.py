"""Elements that a mask lets through."""

from __future__ import annotations

import numpy as np

_WHOLE = {2: np.int16, 4: np.int32, 8: np.int64}


def masked(x: np.ndarray, mask: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """``np.where(mask, x, 0)`` for floating-point numbers, without a jump for each element.

    (A product with the mask would make NaN of what is not finite.)

    Parameters
    ----------
    x : numpy.ndarray
    mask : numpy.ndarray of bool
        Of the shape of `x`.
    out : numpy.ndarray, optional
        Of the shape and dtype of `x`, in any layout.
    """
    whole = _WHOLE.get(x.itemsize) if x.dtype.kind == "f" else None
    if whole is None or not x.dtype.isnative:
        found = np.where(mask, x, x.dtype.type(0))
        if out is None:
            return found
        out[...] = found
        return out
    bits = np.bitwise_and(
        x.view(whole), np.negative(mask.view(np.int8)), out=None if out is None else out.view(whole)
    )
    return bits.view(x.dtype) if out is None else out
