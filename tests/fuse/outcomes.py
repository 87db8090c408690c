"""Running a program's text, and all that can be seen of what it came to, bit by bit."""

from __future__ import annotations

import copy
import os
import traceback
import warnings
from typing import Any

import numpy as np

import minpy

_OWN = os.path.dirname(minpy.__file__)


def shown(value: Any) -> Any:
    """All that can be seen of a value, bit by bit; of a NaN, that it is one."""
    if isinstance(value, (np.ma.MaskedArray, np.matrix)):
        return type(value).__name__, repr(value)
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "fc":
            value = value.copy(order="K")
            parts = [value.real, value.imag] if value.dtype.kind == "c" else [value]
            for part in parts:
                part[np.isnan(part)] = np.nan
            if value.dtype.itemsize > 8 * len(
                parts
            ):  # of a long double, whose bytes hold some that mean nothing
                return type(value).__name__, value.dtype.str, value.shape, value.strides, repr(value.tolist())
        if value.dtype == object:
            return type(value).__name__, [shown(item) for item in value.ravel()], value.shape, value.strides
        if value.dtype.names:  # there may be gaps between the fields
            return (
                type(value).__name__,
                value.dtype.str,
                value.strides,
                [shown(value[each]) for each in value.dtype.names],
            )
        return type(value).__name__, value.dtype.str, value.shape, value.strides, value.tobytes("A")
    if isinstance(value, np.generic):
        return type(value), repr(value)
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [shown(item) for item in value]
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    if hasattr(value, "__dict__") and not callable(value):
        return (
            type(value).__name__,
            shown(vars(value)),
            [shown(e) for e in value] if isinstance(value, list) else [],
        )
    if type(value) is int:
        return "int", hex(value)  # of whatever size
    return type(value).__name__, repr(value) if isinstance(
        value, (int, str, float, complex, type(None))
    ) else ""


def execute(code: Any, names: dict[str, Any]) -> dict[str, Any]:
    """Run a program; what is left of it, with its error and its warnings."""
    space = {"__name__": "program", "np": np, **copy.deepcopy(names)}
    error = None
    with np.errstate(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            exec(code, space)
        except Exception as raised:
            frames = traceback.extract_tb(raised.__traceback__)[1:]
            lines = [frame.lineno for frame in frames if not frame.filename.startswith(_OWN)]
            error = type(raised), str(raised), lines
    left = {
        name: shown(value)
        for name, value in space.items()
        if not name.startswith("__") and not callable(value) and type(value).__name__ != "module"
    }
    said = [(each.category, str(each.message), each.lineno, each.filename) for each in caught]
    return {**left, "error": error, "warnings": said}
