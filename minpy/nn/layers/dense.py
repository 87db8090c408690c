"""The affine layer, activations and dropout."""

from __future__ import annotations

import math
from typing import Any

import numpy

import minpy.numpy as np
from minpy.autodiff import custom_vjp
from minpy.nn import checks
from minpy.nn.kernels import products, rectifier
from minpy.runtime import blas
from minpy.runtime.array import Array


def affine(x: Any, w: Any, b: Any) -> Any:
    """``x · w + b``, where each sample is flattened.

    The last bits may differ from those of ``np.dot``: on a processor that NumPy's BLAS does not know, another one
    multiplies.

    Parameters
    ----------
    x : array
        Shape (N, d1, …, dk).
    w : array
        Shape (D, M) with D = d1 · … · dk.
    b : array
        Shape (M,).

    Returns
    -------
    array
        Shape (N, M).
    """
    shape = x.shape if type(x) is Array or type(x) is numpy.ndarray else numpy.shape(x)
    inputs, outputs = checks.shape_of("affine", "w", w, ("D", "M"))
    checks.shape_of("affine", "b", b, ("M",), M=outputs)
    if len(shape) < 2 or math.prod(shape[1:]) != inputs:
        raise checks.fail(
            "affine",
            f"x must have the shape (N, d1, …) with {inputs} elements in each sample, the rows of w, not {shape}",
        )
    if shape[0] < _MANY or not products.on_host():
        rows = x if len(shape) == 2 else np.reshape(x, (shape[0], inputs))
        return np.dot(rows, w) + b
    return _affine(x, w, b)


# Rows from which a layer is one operation; with fewer the tape puts products together, should it be used in a loop.
_MANY = 33


def _affine_forward(x: Any, w: Any, b: Any) -> tuple[Any, Any]:
    shape = x.shape if hasattr(x, "shape") else numpy.shape(x)
    if len(shape) != 2:
        x = np.reshape(x, (shape[0], math.prod(shape[1:])))
    plain = type(x) is numpy.ndarray is type(w) and type(b) is numpy.ndarray and products.on_host()
    if plain and x.dtype is w.dtype is b.dtype and x.dtype.kind in "fc":
        return products.biased(x, w, b), (x, w, shape)
    y = products.dot(x, w)
    if type(y) is numpy.ndarray and type(b) is numpy.ndarray and numpy.result_type(y, b) == y.dtype:
        y += b
    else:
        y = y + b
    return y, (x, w, shape)


def _affine_backward(kept: tuple, g: Any) -> tuple:
    x, w, shape = kept
    if type(x) is numpy.ndarray is type(w) and type(g) is numpy.ndarray and products.on_host():

        def of_x() -> numpy.ndarray:
            dx = blas.dot(g, w.T)
            return dx if len(shape) == 2 else dx.reshape(shape)

        return of_x, lambda: blas.dot(x.T, g), lambda: blas.summed(g)
    ones = numpy.ones(numpy.shape(g)[0], g.dtype)
    return (
        lambda: np.reshape(products.dot(g, np.transpose(w)), shape),
        lambda: products.dot(np.transpose(x), g),
        lambda: np.dot(ones, g),
    )


def _with_the_relu_before(tape: Any, call: Any, g: numpy.ndarray) -> tuple[list, list] | None:
    """The part of the sweep of a layer whose argument is a `relu` of something, and of that; see `Operation.joins`."""
    (x, *others), (rows, w, shape) = call.arguments[0], call.residuals
    if type(x) is not Array or len(shape) != 2 or not products.on_host():
        return None
    if any(type(each) is Array and each.dtype is not g.dtype for each in others):
        return None
    before = rectifier.product_before(tape, x, g, w)
    if before is None:
        return None
    leaves, found = [before[0]], [before[1]]
    for each, slope in zip(others, (lambda: blas.dot(rows.T, g), lambda: blas.summed(g)), strict=True):
        if type(each) is Array:
            leaves.append(each)
            found.append(slope() if each.storage.tape is not None else None)
    return leaves, found


_affine = custom_vjp(lambda x, w, b: _affine_forward(x, w, b)[0])
_affine.__name__ = "affine"
_affine.defvjp(_affine_forward, _affine_backward)
_affine.stays = True
_affine.joins = _with_the_relu_before


def tanh(x: Any) -> Any:
    """The hyperbolic tangent of each element.

    Parameters
    ----------
    x : array
        Of any shape.

    Returns
    -------
    array
        Of the shape of `x`.
    """
    return np.tanh(x)


@custom_vjp
def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``, without overflow and exact for large negative `x` too.

    Parameters
    ----------
    x : array
        Of any shape.

    Returns
    -------
    array
        Of the shape of `x`.
    """
    e = np.exp(-np.abs(x))
    return np.where(np.greater_equal(x, 0), 1, e) / (1 + e)


def _sigmoid_forward(x: Any) -> tuple[Any, Any]:
    s = sigmoid(x)  # as an operation, so that derivatives of higher order do not see the kink of abs
    return s, s


sigmoid.defvjp(_sigmoid_forward, lambda s, g: (g * s * (1 - s),))
sigmoid.stays = True


def dropout(x: Any, prob: float, mode: str = "train", seed: int | None = None) -> Any:
    """Each element is dropped with the probability `prob` while training, and what is left is scaled to make up for it.

    In test mode nothing happens ("inverted" dropout).

    Parameters
    ----------
    x : array
        Any shape.
    prob : float
        The probability that an element becomes 0.
    mode : {'train', 'test'}
    seed : int, optional
        For the same choice every time. Without it, NumPy's global generator draws (``np.random.seed``).
    """
    checks.choice("dropout", "mode", mode, ("train", "test"))
    prob = checks.fraction("dropout", "prob", prob)
    if mode == "test" or prob == 0:
        return x
    generator = numpy.random if seed is None else numpy.random.RandomState(seed)
    dtype = getattr(x, "dtype", numpy.float64)
    kept = generator.random_sample(numpy.shape(x)) >= prob
    mask = kept.astype(dtype if numpy.dtype(dtype).kind in "fc" else numpy.float64)
    if prob < 1:
        mask *= 1 / (1 - prob)
    return x * mask
