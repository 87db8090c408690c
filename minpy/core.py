"""Gradients, MXNet symbols as functions, and arrays in and out, under the original's names.

See `minpy.autodiff`, `minpy.symbols` and `minpy.array`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from minpy import array, autodiff
from minpy.autodiff import trees
from minpy.autodiff.calls import Argnum
from minpy.symbols import Function, MXNetSymbolError

__all__ = [
    "Function",
    "MXNetSymbolError",
    "convert_args",
    "grad",
    "grad_and_loss",
    "minpy_to_numpy",
    "numpy_to_minpy",
    "return_numpy",
]

F = TypeVar("F", bound=Callable[..., Any])


def grad(func: Callable[..., Any], argnum: Argnum = 0, *, has_aux: bool = False) -> Callable[..., Any]:
    """`minpy.grad`, whose first parameter has the original's name here.

    Parameters
    ----------
    func : callable
        The function.
    argnum, has_aux
        As in `minpy.grad`.

    Returns
    -------
    callable
        Takes the arguments of `func`; returns the gradient.
    """
    return autodiff.grad(func, argnum, has_aux=has_aux)


def grad_and_loss(
    func: Callable[..., Any], argnum: Argnum = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    """`minpy.grad_and_loss`, whose first parameter has the original's name here.

    Parameters
    ----------
    func : callable
        The function.
    argnum, has_aux
        As in `minpy.grad`.

    Returns
    -------
    callable
        Takes the arguments of `func`; returns a pair: the gradient, and the result.
    """
    return autodiff.grad_and_loss(func, argnum, has_aux=has_aux)


def numpy_to_minpy(var: Any) -> Any:
    """What stands for the arrays in `var` among MinPy's: see `minpy.array.wrap`.

    Parameters
    ----------
    var : array, or lists, tuples, dicts of arrays
        Plain arrays on the host are MinPy's, and come back as they are; under a policy or in a context that wants a
        device, operators on the result go there.

    Returns
    -------
    array or container
    """
    return trees.transform(array.wrap, var)


def minpy_to_numpy(var: Any) -> Any:
    """The arrays in `var` as plain ``numpy.ndarray``.

    Parameters
    ----------
    var : array, or lists, tuples, dicts of arrays

    Returns
    -------
    array or container
        The same memory where it is on the host; `asnumpy` copies. Of what is being differentiated it is a copy, through
        which no gradient flows.
    """
    return trees.transform(array._unwrapped, var)


def convert_args(func: F) -> F:
    """Decorate a function: it gets `numpy_to_minpy` of all its arguments.

    Parameters
    ----------
    func : callable

    Returns
    -------
    callable
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return func(*map(numpy_to_minpy, args), **{k: numpy_to_minpy(v) for k, v in kwargs.items()})

    return wrapper  # type: ignore[return-value]


def return_numpy(func: F) -> F:
    """Decorate a function: it gives `minpy_to_numpy` of its result.

    Parameters
    ----------
    func : callable

    Returns
    -------
    callable
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return minpy_to_numpy(func(*args, **kwargs))

    return wrapper  # type: ignore[return-value]
