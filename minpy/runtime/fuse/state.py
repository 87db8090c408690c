"""The floating-point state: which conditions would be reported, and finding them without reporting any."""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.runtime.fuse.ir import Irregular

DIVIDE, OVER, INVALID = 1, 2, 4
_ALL = DIVIDE | OVER | INVALID
_DEFAULT = 521  # NumPy 1: what geterrobj gives for warn, warn, ignore, warn

try:
    from numpy.core.umath import geterrobj as _geterrobj  # NumPy 1 only, ten times as fast as geterr
except ImportError:
    _geterrobj = None


def checked_flags() -> int:
    """Which of `DIVIDE`, `OVER`, `INVALID` must not occur, as something would be said about them.

    Raises
    ------
    Irregular
        Underflow would be reported too.
    """
    if _geterrobj is not None and _geterrobj()[1] == _DEFAULT:
        return _ALL
    state = np.geterr()
    if state["under"] != "ignore":
        raise Irregular
    flags = 0
    for flag, name in ((DIVIDE, "divide"), (OVER, "over"), (INVALID, "invalid")):
        if state[name] != "ignore":
            flags |= flag
    return flags


def raising(flags: int) -> Any:
    """A context in which NumPy raises `FloatingPointError` for those of `flags` and ignores the others."""
    return np.errstate(
        under="ignore",
        divide="raise" if flags & DIVIDE else "ignore",
        over="raise" if flags & OVER else "ignore",
        invalid="raise" if flags & INVALID else "ignore",
    )
