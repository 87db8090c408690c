"""A quick check of one gradient; `minpy.check_grads` is the thorough one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minpy.autodiff import grad
from minpy.errors import ArgumentError
from minpy.runtime.array import host


def quick_grad_check(
    fun: Callable[[Any], Any],
    arg: Any,
    verbose: bool = True,
    eps: float = 1e-2,
    rtol: float = 1e-2,
    atol: float = 1e-2,
    rs: np.random.RandomState | None = None,
) -> bool:
    """Compare the gradient of a function with its slope along one random direction.

    Parameters
    ----------
    fun : callable
        A function of one array; if its result is an array, the sum of its elements is meant.
    arg : array
        Where.
    verbose : bool
        Print both numbers.
    eps : float
        The distance of the two points between which the slope is taken.
    rtol, atol : float
        How far the two may differ: ``atol + rtol * abs(slope)``.
    rs : numpy.random.RandomState, optional
        Draws the direction; NumPy's global generator by default.

    Returns
    -------
    bool
        Whether they agree. Not a number agrees with nothing.

    Examples
    --------
    >>> quick_grad_check(lambda x: np.sum(x**2), np.ones(3), verbose=False)
    True
    """
    point = np.asarray(host(arg))
    if point.dtype.kind != "f":
        raise ArgumentError(
            f"quick_grad_check: arg must be an array of floating-point numbers, not {point.dtype}"
        )
    direction = np.asarray((np.random if rs is None else rs).standard_normal(point.shape), point.dtype)
    length = np.linalg.norm(direction)
    if length:
        direction = direction / length
    slope = np.sum(np.asarray(grad(fun)(arg)) * direction)

    def value(x: np.ndarray) -> Any:
        return np.sum(np.asarray(host(fun(x))), dtype=np.float64)

    step = point.dtype.type(eps / 2) * direction
    expected = (value(point + step) - value(point - step)) / eps
    agree = bool(abs(slope - expected) <= atol + rtol * abs(expected))
    if verbose:
        print(
            f"gradient {'agrees' if agree else 'DOES NOT AGREE'}: slope along a random direction "
            f"{float(expected):.8g} by difference, {float(slope):.8g} by gradient"
        )
    return agree
