"""``--precision``: run a program in another width of floating point than it was written in.

Arrays are converted where they are created and where they enter a routed call, so work between is done in the
forced width.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.errors import UsageError
from minpy.runtime import entry

# The dtypes that are replaced, by what; None while the program's own are kept.
forced: dict[np.dtype, np.dtype] | None = None

_WIDTHS = {
    "float32": {np.dtype("f8"): np.dtype("f4"), np.dtype("c16"): np.dtype("c8")},
    "float64": {
        np.dtype("f2"): np.dtype("f8"),
        np.dtype("f4"): np.dtype("f8"),
        np.dtype("c8"): np.dtype("c16"),
    },
}


def force(name: str) -> None:
    """Force ``float32`` or ``float64``, or give the choice back to the ``program``."""
    global forced
    if name not in ("program", *_WIDTHS):
        raise UsageError(f"unknown precision {name!r}: choose from {', '.join(_WIDTHS)}")
    new = _WIDTHS.get(name)
    if new is not None:
        entry.activate()
    if forced is not None:
        entry.deactivate()
    forced = new


def narrow(value: Any) -> Any:
    """`value` with every floating-point array, NumPy scalar and dtype in it in the forced width."""
    kind = type(value)
    if kind is tuple or kind is list:
        return kind([narrow(v) for v in value])
    if kind is dict:
        return {key: narrow(v) for key, v in value.items()}
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype in forced:
        return value.astype(forced[value.dtype])
    if isinstance(value, np.dtype):
        return forced.get(value, value)
    if kind is type and issubclass(value, np.inexact):
        return forced.get(np.dtype(value), value)
    return value
