"""Losses: one number for a batch, the mean over its samples."""

from __future__ import annotations

import functools
from typing import Any

import numpy

import minpy.numpy as np
from minpy.autodiff import custom_vjp, stop_gradient
from minpy.nn import checks
from minpy.nn.kernels import products
from minpy.nn.layers.sequences import one_hot
from minpy.runtime import entry


def _labels(function: str, label: Any, name: str, n: int, classes: int) -> Any:
    """Class numbers, shape (N,), or a distribution for each sample, shape (N, C)."""
    shape = label.shape if type(label) is numpy.ndarray else numpy.shape(label)
    if shape == (n, classes) and not (classes == 1 and not _is_float(label)):
        return label
    if shape not in ((n,), (n, 1)):
        raise checks.fail(
            function,
            f"{name} must hold class numbers, shape ({n},), or a row for each sample, shape ({n}, {classes}), "
            f"not {shape}",
        )
    return checks.class_numbers(function, name, label, classes).reshape(n)


def _is_float(label: Any) -> bool:
    return numpy.dtype(getattr(label, "dtype", type(label) if isinstance(label, float) else int)).kind == "f"


def _floating(x: Any) -> Any:
    return numpy.result_type(getattr(x, "dtype", numpy.float64), numpy.float16)


def _count(x: Any, n: int) -> Any:
    # Of the type of `x`: NumPy 1 makes float64 of a float32 scalar and a Python number.
    return _floating(x).type(n)


# ----- softmax

# What `numpy.max` and `numpy.sum` call.
_greatest, _total = numpy.maximum.reduce, numpy.add.reduce


def _entropy_forward(x: Any, label: Any, weights: Any) -> tuple[Any, Any]:
    """Weighted sum of cross entropies of the rows of `x`, and what its derivative needs."""
    here = type(x) is numpy.ndarray and products.on_host()
    xp = numpy if here else np
    shifted = x - (_greatest(x, 1, None, None, True) if here else np.max(x, axis=1, keepdims=True))
    e = xp.exp(shifted)
    total = _total(e, 1, None, None, True) if here else np.sum(e, axis=1, keepdims=True)
    probability = e / total
    if (label.ndim if type(label) is numpy.ndarray else numpy.ndim(label)) == 1:
        if entry.others and type(shifted) is not numpy.ndarray:
            own = np.sum(np.where(_hot(label, shifted), shifted, 0), axis=1)
        else:
            own = shifted[class_range(len(label)), label]
        terms = (xp.log(total)[:, 0] - own) * weights
        return _total(terms) if here else np.sum(terms), (probability, None, label, weights)
    logs = shifted - xp.log(total)
    loss = -xp.sum(xp.sum(logs * label, axis=1) * weights)
    return loss, (probability, logs, label, weights)


def _hot(label: numpy.ndarray, x: Any) -> Any:
    """Where each row of `x` has its class: of all that, only the numbers are sent to a device."""
    return np.equal(numpy.reshape(label, (-1, 1)), class_range(numpy.shape(x)[1]))


@functools.lru_cache(maxsize=64)
def class_range(classes: int, dtype: Any = int) -> numpy.ndarray:
    """The numbers of all classes, or of rows: the same array each time, which a device is sent once."""
    found = numpy.arange(classes, dtype=dtype)
    found.flags.writeable = False
    return found


def _entropy_backward(kept: tuple, g: Any) -> tuple[Any, Any, Any]:
    probability, logs, label, weights = kept
    scale = np.reshape(weights * g, (-1, 1)) if numpy.ndim(weights) else weights * g
    if logs is None:
        if type(probability) is numpy.ndarray:
            dx = probability.copy()
            dx[class_range(len(label)), label] -= 1
        else:
            dx = np.where(_hot(label, probability), probability - 1, probability)
        return dx * scale, None, None
    dx = (probability * np.sum(label, axis=1, keepdims=True) - label) * scale
    return dx, -logs * scale, None


_entropy = custom_vjp(lambda *args: _entropy_forward(*args)[0])
_entropy.defvjp(_entropy_forward, _entropy_backward)
_entropy.stays = True


def softmax_loss(x: Any, label: Any) -> Any:
    """The cross entropy of the softmax of `x`, mean over the samples.

    Parameters
    ----------
    x : array
        Scores, shape (N, C).
    label : array
        Class numbers, shape (N,), or distributions (one-hot rows), shape (N, C).
    """
    n, classes = checks.shape_of("softmax_loss", "x", x, ("N", "C"))
    _some("softmax_loss", n)
    label = _labels("softmax_loss", label, "label", n, classes)
    return _entropy(x, label, _floating(x).type(1 / n))


def temporal_softmax_loss(x: Any, y: Any, mask: Any) -> Any:
    """As `softmax_loss` at each step of sequences, summed over the steps that count.

    Parameters
    ----------
    x : array
        Scores, shape (N, T, C).
    y : array of int
        Class numbers, shape (N, T).
    mask : array
        Which steps count (0 or 1, or weights), shape (N, T).

    Returns
    -------
    float
        The sum over the steps, divided by N.
    """
    n, t, classes = checks.shape_of("temporal_softmax_loss", "x", x, ("N", "T", "C"))
    _some("temporal_softmax_loss", n)
    checks.shape_of("temporal_softmax_loss", "y", y, ("N", "T"), N=n, T=t)
    checks.shape_of("temporal_softmax_loss", "mask", mask, ("N", "T"), N=n, T=t)
    weights = numpy.asarray(stop_gradient(mask)).reshape(n * t).astype(_floating(x)) / n
    # What does not count may hold anything: a number for padding, such as -1.
    label = numpy.where(weights != 0, numpy.asarray(stop_gradient(y)).reshape(n * t), 0)
    label = checks.class_numbers("temporal_softmax_loss", "y", label.reshape(n, t), classes).reshape(n * t)
    return _entropy(np.reshape(x, (n * t, classes)), label, weights)


def softmax_cross_entropy(prob: Any, label: Any) -> Any:
    """The cross entropy of probabilities, mean over the samples.

    Probabilities below the smallest number of their precision count as that, so that the result is finite.

    Parameters
    ----------
    prob : array
        Probabilities, shape (N, C).
    label : array
        Class numbers, shape (N,), or distributions (one-hot rows), shape (N, C).
    """
    n, classes = checks.shape_of("softmax_cross_entropy", "prob", prob, ("N", "C"))
    _some("softmax_cross_entropy", n)
    label = _labels("softmax_cross_entropy", label, "label", n, classes)
    least = numpy.finfo(_floating(prob)).tiny
    if numpy.ndim(label) == 1:
        return -np.sum(np.log(np.maximum(prob[numpy.arange(n), label], least))) / _count(prob, n)
    return -np.sum(np.log(np.maximum(prob, least)) * label) / _count(prob, n)


# ----- others


def svm_loss(x: Any, y: Any) -> Any:
    """The sum of the margins by which other classes come within 1 of the right one, mean over the samples.

    Parameters
    ----------
    x : array
        Scores, shape (N, C).
    y : array
        Class numbers, shape (N,), or one-hot rows, shape (N, C).
    """
    n, classes = checks.shape_of("svm_loss", "x", x, ("N", "C"))
    _some("svm_loss", n)
    label = _labels("svm_loss", y, "y", n, classes)
    if numpy.ndim(label) == 2:
        rows = numpy.asarray(stop_gradient(label))
        if not ((rows == 0) | (rows == 1)).all() or not (rows.sum(axis=1) == 1).all():
            raise checks.fail("svm_loss", "y has the shape of x, but its rows are not one-hot")
        label = rows.argmax(axis=1)
    right = x[numpy.arange(n), label]
    margins = np.maximum(x - np.reshape(right, (n, 1)) + 1, 0)
    return np.sum(margins * (1 - one_hot(label, classes, _floating(x)))) / _count(x, n)


def l2_loss(x: Any, label: Any) -> Any:
    """The sum of squared differences, divided by the number of samples.

    Parameters
    ----------
    x : array
        Predictions, shape (N, …).
    label : array
        The shape of `x`. For a single column, shape (N, 1), it may also be (N,). For more columns, shape (N, C), a
        `label` of shape (N,) holds class numbers, which stand for one-hot rows.
    """
    shape, given = numpy.shape(x), numpy.shape(label)
    if not shape:
        raise checks.fail("l2_loss", "x must have the shape (N, …), not ()")
    _some("l2_loss", shape[0])
    if given != shape:
        if {shape, given} == {(shape[0],), (shape[0], 1)}:
            label = np.reshape(label, shape)
        elif len(shape) == 2 and given == shape[:1]:
            label = one_hot(checks.class_numbers("l2_loss", "label", label, shape[1]), shape[1], _floating(x))
        else:
            raise checks.fail("l2_loss", f"label must have the shape of x, {shape}, not {given}")
    return np.sum(np.square(x - label)) / _count(x, shape[0])


def _some(function: str, n: int) -> None:
    if n == 0:
        raise checks.fail(function, "the batch has no samples")
