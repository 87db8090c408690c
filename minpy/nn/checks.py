"""What arguments must be: each check raises `ArgumentError` with the function, the argument and what it was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minpy.autodiff import stop_gradient
from minpy.errors import ArgumentError
from minpy.runtime.array import Array

Size = int | str


def fail(function: str, text: str) -> ArgumentError:
    """The error of `function` with this text."""
    return ArgumentError(f"{function}: {text}")


def shape_of(function: str, name: str, x: Any, wanted: Sequence[Size], **sizes: int) -> tuple[int, ...]:
    """The shape of an argument, checked.

    Parameters
    ----------
    function, name : str
        Whose argument, and which.
    x : array_like
        The argument.
    wanted : sequence of int or str
        The axes: a length, or a letter; a letter of `sizes` is that length, any other may have any.
    **sizes : int
        Lengths of letters.
    """
    shape = x.shape if type(x) is Array or type(x) is np.ndarray else np.shape(x)
    if len(shape) == len(wanted):
        for n, axis in zip(shape, wanted, strict=True):
            if n != (sizes.get(axis, n) if type(axis) is str else axis):
                break
        else:
            return shape
    text = f"({', '.join(str(axis) for axis in wanted)}{',' if len(wanted) == 1 else ''})"
    known = [f"{axis} = {sizes[axis]}" for axis in dict.fromkeys(wanted) if axis in sizes]
    raise fail(
        function,
        f"{name} must have the shape {text}{' with ' + ', '.join(map(str, known)) if known else ''}, not {shape}",
    )


def choice(function: str, name: str, value: Any, allowed: Iterable[Any]) -> None:
    """Fail unless `value` is one of `allowed`."""
    allowed = list(allowed)
    if not any(value == each for each in allowed):
        raise fail(function, f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")


def fraction(function: str, name: str, value: Any) -> float:
    """A number from 0 to 1."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0.0 <= number <= 1.0:
        raise fail(function, f"{name} must be a number from 0 to 1, not {value!r}")
    return number


def number(function: str, name: str, value: Any) -> float:
    """A finite number."""
    try:
        found = float("nan") if isinstance(value, (str, bytes)) else float(value)
    except (TypeError, ValueError):
        found = float("nan")
    if not np.isfinite(found):
        raise fail(function, f"{name} must be a finite number, not {value!r}")
    return found


def positive(function: str, name: str, value: Any) -> int:
    """A whole number above zero."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise fail(function, f"{name} must be a whole number above 0, not {value!r}")
    return int(value)


def pair(function: str, name: str, value: Any, least: int = 1) -> tuple[int, int]:
    """Two whole numbers, of which one stands for both."""
    both = (value, value) if isinstance(value, (int, np.integer)) else value
    if (
        not isinstance(both, (tuple, list))
        or len(both) != 2
        or not all(isinstance(n, (int, np.integer)) and n >= least for n in both)
    ):
        raise fail(function, f"{name} must be a whole number, or two, of at least {least}, not {value!r}")
    return int(both[0]), int(both[1])


def class_numbers(function: str, name: str, label: Any, classes: int) -> np.ndarray:
    """Labels as whole numbers, each of which is a class; they may come as floating-point numbers."""
    values = label if type(label) is np.ndarray else np.asarray(stop_gradient(label))
    if values.dtype.kind not in "iuf":
        raise fail(function, f"{name} must hold class numbers, not {values.dtype}")
    if values.dtype == np.intp:
        # Not a negative number nor too large a one, in one comparison.
        if not (values.view(np.uintp) >= classes).any():
            return values.copy()
        numbers = values
    else:
        with np.errstate(invalid="ignore"):
            numbers = values.astype(np.intp)
    if values.dtype.kind == "f" and not np.array_equal(numbers, values):
        wrong = values[numbers != values].flat[0]
        raise fail(function, f"{name} holds {wrong}, which is no class number")
    if numbers.size and (numbers.min() < 0 or numbers.max() >= classes):
        place = tuple(int(i) for i in np.argwhere((numbers < 0) | (numbers >= classes))[0])
        raise fail(
            function,
            f"{name}[{', '.join(map(str, place))}] is {numbers[place]}, outside of the classes 0 to {classes - 1}",
        )
    return numbers
