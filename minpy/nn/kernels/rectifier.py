"""The positive part, and its derivative in one compiled pass."""

from __future__ import annotations

from typing import Any

import numpy

import minpy.numpy as np
from minpy.autodiff import custom_vjp
from minpy.nn.kernels import arithmetic, chain, products, shared
from minpy.nn.kernels.masks import masked
from minpy.runtime.array import Array


def relu(x: Any) -> Any:
    """The positive part of `x`; its derivative at 0 is 0."""
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


def rectified(y: Any) -> Array | None:
    """What `y` is the positive part of, if that was the last that went onto the only tape; else None.

    Neither of them can have been written to since.
    """
    call = _relu.call_of(y) if type(y) is Array and products.on_host() else None
    return None if call is None else call.arguments[0][0]
