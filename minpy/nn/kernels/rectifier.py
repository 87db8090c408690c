"""The positive part, and its derivative in one compiled pass."""

from __future__ import annotations

from typing import Any

import numpy

import minpy.numpy as np
from minpy.autodiff import custom_vjp
from minpy.nn.kernels import arithmetic, chain, products, shared
from minpy.nn.kernels.masks import masked
from minpy.runtime import blas
from minpy.runtime.array import Array
from minpy.runtime.cblas import address
from minpy.runtime.storage import COTANGENT


def relu(x: Any) -> Any:
    """The positive part of `x`; its derivative at 0 is 0.

    Parameters
    ----------
    x : array
        Of any shape.

    Returns
    -------
    array
        Of the shape of `x`.
    """
    if type(x) is Array:
        kept = chain.result_of(x)
        tape = None if kept is None else chain.tape_of(x)
        y = None if tape is None else chain.pending(kept, positive=True)
        if y is not None:
            _relu.put(tape, (x,), y).residuals = y
            return y
    return _relu(x)


def _positive_part(x: Any) -> Any:
    return np.maximum(x, 0)


_positive_part.__name__ = relu.__name__
_relu = custom_vjp(_positive_part)


def _relu_forward(x: Any) -> tuple[Any, Any]:
    here = type(x) is numpy.ndarray and products.on_host()
    y = positive(x) if here else np.maximum(x, 0)
    return y, y


def positive(x: numpy.ndarray) -> numpy.ndarray:
    """``np.maximum(x, 0)``, by as many threads as it pays."""
    if x.size < _SHARED or x.dtype.char not in "fd" or not x.flags.c_contiguous:
        return numpy.maximum(x, 0)
    y = numpy.empty(x.shape, x.dtype)
    read, written = x.reshape(-1), y.reshape(-1)

    def some(first: int, count: int) -> None:
        place = slice(first, first + count)
        numpy.maximum(read[place], 0, written[place])

    shared.over(some, x.size, x.size)
    return y


def _relu_backward(y: Any, g: Any) -> tuple:
    if type(y) is Array and type(g) is numpy.ndarray:  # it was pending
        y = y.contents
    if type(y) is numpy.ndarray is type(g):
        return (where_positive(y, g),)
    return (g * np.greater(y, 0),)


_RELU_BACK = arithmetic.Rows(("y", "g"), ("d",), "d = where_positive(y, g)")
_MASKED = arithmetic.Rows(("y", "g"), ("g",), "g = where_positive(y, g)", locked=False)
_COMPILED = 1 << 14  # elements from which it is one pass
_SHARED = 1 << 19  # elements from which threads may share it


def where_positive(y: numpy.ndarray, g: numpy.ndarray) -> numpy.ndarray:
    """``np.where(y > 0, g, 0)`` for floating-point numbers."""
    if (
        y.size >= _COMPILED
        and y.dtype is g.dtype
        and g.dtype.char in "fd"
        and y.flags.c_contiguous
        and g.flags.c_contiguous
    ):
        function = _RELU_BACK.ready(g.dtype.char)
        if function is not None:
            d = numpy.empty(g.shape, g.dtype)
            function(1, g.size, 0, 0, 0, y.ctypes.data, g.ctypes.data, d.ctypes.data)
            return d
    return masked(g, numpy.greater(y, 0))


_relu.defvjp(_relu_forward, _relu_backward)
_relu.stays = True


def product_before(
    tape: Any, x: Array, g: numpy.ndarray, w: numpy.ndarray
) -> tuple[Array, numpy.ndarray] | None:
    """What `x`, a factor of a product with `w`, is the positive part of, and its cotangent for that of the product.

    So it is if that was the last that went onto the tape, and if nothing else has used `x`; its record is taken off.
    Each part of the product is masked by the thread that has made it. Else None.
    """
    storage = x.storage
    call = _relu.last_call(tape, x)
    if call is None or storage.cell[COTANGENT] is not None or storage.tape is not tape:
        return None
    (source,), y = call.arguments[0], call.residuals
    if type(source) is not Array or type(y) is not numpy.ndarray or type(w) is not numpy.ndarray:
        return None
    if source.storage.remote is not None or source.storage.tape is not tape or y.ndim != 2:
        return None
    if not y.dtype is g.dtype is w.dtype or y.size < _COMPILED or g.ndim != 2 or not y.flags.c_contiguous:
        return None
    function = _MASKED.ready(g.dtype.char) if g.dtype.char in "fd" and g.dtype.isnative else None
    if function is None:
        return None
    step, first = y.strides[0], address(y)

    def mask(result: numpy.ndarray, rows: int, columns: int, place: int) -> None:
        function(rows, columns, step, step, first + place, address(result) + place)

    found = blas.dot_then(g, w.T, mask)
    tape.records.pop()
    return source, found


def rectified(y: Any) -> Array | None:
    """What `y` is the positive part of, if that was the last that went onto the only tape; else None.

    Neither of them can have been written to since.
    """
    call = _relu.call_of(y) if type(y) is Array and products.on_host() else None
    return None if call is None else call.arguments[0][0]
