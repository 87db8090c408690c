"""Batch normalisation, of columns and of channels."""

from __future__ import annotations

from typing import Any

import numpy

import minpy.numpy as np
from minpy.autodiff import custom_vjp, stop_gradient
from minpy.nn import checks


def _forward(x: Any, gamma: Any, beta: Any, eps: float, axes: tuple[int, ...]) -> tuple[Any, Any]:
    mean = np.mean(x, axis=axes, keepdims=True)
    centred = x - mean
    var = np.mean(np.square(centred), axis=axes, keepdims=True)
    inverse = 1 / np.sqrt(var + eps)
    normal = centred * inverse
    return (normal * gamma + beta, mean, var), (normal, inverse, gamma)


# The statistics are results too, for the running averages; no gradient flows through them.
_normalized = custom_vjp(lambda *args: _forward(*args)[0], nondiff_argnums=(3, 4))


def _backward(eps: float, axes: tuple[int, ...], kept: tuple, gs: tuple) -> tuple[Any, Any, Any]:
    normal, inverse, gamma = kept
    g = gs[0]
    d_beta = np.sum(g, axis=axes, keepdims=True)
    d_gamma = np.sum(g * normal, axis=axes, keepdims=True)
    count = normal.size // inverse.size
    dx = (gamma * inverse) * (g - d_beta / count - normal * (d_gamma / count))
    return dx, d_gamma, d_beta


_normalized.defvjp(_forward, _backward)
_normalized.stays = True


def _batchnorm(
    function: str,
    x: Any,
    gamma: Any,
    beta: Any,
    mode: str,
    eps: float,
    momentum: float,
    running_mean: Any,
    running_var: Any,
    axes: tuple[int, ...],
) -> tuple[Any, Any, Any]:
    shape = numpy.shape(x)
    columns = shape[1]
    dtype = numpy.result_type(getattr(x, "dtype", numpy.float64), numpy.float16)
    for name, value in (("gamma", gamma), ("beta", beta)):
        checks.shape_of(function, name, value, ("D",), D=columns)
    if running_mean is None:
        running_mean = numpy.zeros(columns, dtype)
    if running_var is None:
        running_var = numpy.ones(columns, dtype)
    for name, value in (("running_mean", running_mean), ("running_var", running_var)):
        checks.shape_of(function, name, value, ("D",), D=columns)
    checks.choice(function, "mode", mode, ("train", "test"))
    along = (1, columns, *(1 for _ in shape[2:]))
    gamma, beta = np.reshape(gamma, along), np.reshape(beta, along)
    if mode == "test":
        scale = gamma / np.sqrt(np.reshape(running_var, along) + eps)
        return x * scale + (beta - np.reshape(running_mean, along) * scale), running_mean, running_var
    momentum = checks.fraction(function, "momentum", momentum)
    if not numpy.prod(shape):
        raise checks.fail(function, f"x has no samples to normalise by: its shape is {shape}")
    out, mean, var = _normalized(x, gamma, beta, eps, axes)
    mean, var = stop_gradient((mean, var))
    running_mean = stop_gradient(running_mean) * momentum + mean.reshape(columns) * (1 - momentum)
    running_var = stop_gradient(running_var) * momentum + var.reshape(columns) * (1 - momentum)
    return out, running_mean, running_var


def batchnorm(
    x: Any,
    gamma: Any,
    beta: Any,
    mode: str = "train",
    eps: float = 1e-5,
    momentum: float = 0.9,
    running_mean: Any = None,
    running_var: Any = None,
) -> tuple[Any, Any, Any]:
    """Columns of mean 0 and variance 1 within the batch, scaled by `gamma` and shifted by `beta`.

    Parameters
    ----------
    x : array
        Shape (N, D).
    gamma, beta : array
        Shape (D,).
    mode : {'train', 'test'}
        In test mode the running averages take the place of the batch's statistics.
    eps : float
        Added to the variance.
    momentum : float
        What is kept of the running averages at each batch.
    running_mean, running_var : array, optional
        The running averages so far, shape (D,); at first 0 and 1.

    Returns
    -------
    out : array
        Shape (N, D).
    running_mean, running_var : numpy.ndarray
        The running averages after this batch (of the biased variance); constants for derivatives.
    """
    checks.shape_of("batchnorm", "x", x, ("N", "D"))
    return _batchnorm("batchnorm", x, gamma, beta, mode, eps, momentum, running_mean, running_var, (0,))


def spatial_batchnorm(
    x: Any,
    gamma: Any,
    beta: Any,
    mode: str = "train",
    eps: float = 1e-5,
    momentum: float = 0.9,
    running_mean: Any = None,
    running_var: Any = None,
) -> tuple[Any, Any, Any]:
    """As `batchnorm` for images: channels of mean 0 and variance 1 over samples and places.

    Parameters
    ----------
    x : array
        Shape (N, C, H, W).
    gamma, beta, running_mean, running_var : array
        Shape (C,).
    mode, eps, momentum
        As for `batchnorm`.
    """
    checks.shape_of("spatial_batchnorm", "x", x, ("N", "C", "H", "W"))
    return _batchnorm(
        "spatial_batchnorm", x, gamma, beta, mode, eps, momentum, running_mean, running_var, (0, 2, 3)
    )
