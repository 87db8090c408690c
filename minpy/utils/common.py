"""Checks of arguments, under the original's name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from minpy.errors import ArgumentError

F = TypeVar("F", bound=Callable[..., Any])


def enforce_type(T: type | tuple[type, ...], method: bool = False) -> Callable[[F], F]:
    """Decorate a function so that it takes nothing but instances of a type.

    Parameters
    ----------
    T : type or tuple of type
    method : bool
        The first argument is the object, which is not looked at.

    Returns
    -------
    callable
        The decorator. A call with another type raises `ArgumentError`, which names the argument.
    """
    names = " or ".join(t.__name__ for t in (T if isinstance(T, tuple) else (T,)))

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            for name, value in [*enumerate(args[1 if method else 0 :]), *kwargs.items()]:
                if not isinstance(value, T):
                    raise ArgumentError(
                        f"{function.__name__}: argument {name!r} must be of type {names}, not {type(value).__name__}"
                    )
            return function(*args, **kwargs)

        return wrapper  # type: ignore[return-value]

    return decorate
