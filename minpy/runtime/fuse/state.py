"""The floating-point state: which conditions would be reported, and finding them without reporting any."""

from __future__ import annotations

import contextvars
from typing import Any

import numpy as np

from minpy.runtime.fuse.ir import Irregular

DIVIDE, OVER, INVALID = 1, 2, 4
ALL = DIVIDE | OVER | INVALID
_DEFAULT = 521  # NumPy 1: what geterrobj gives for warn, warn, ignore, warn

_WARNINGS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}

try:
    from numpy.core.umath import geterrobj as _geterrobj  # NumPy 1 only, ten times as fast as geterr
    from numpy.core.umath import seterrobj as _seterrobj
except ImportError:
    _geterrobj = _seterrobj = None
try:
    from numpy._core.umath import _extobj_contextvar as _variable  # NumPy 2 only, the same
except ImportError:
    _variable = None


def checked_flags() -> int:
    """Which of `DIVIDE`, `OVER`, `INVALID` must not occur, as something would be said about them.

    Raises
    ------
    Irregular
        Underflow would be reported too.
    """
    if _geterrobj is not None and _geterrobj()[1] == _DEFAULT:
        return ALL
    state = np.geterr()
    if state["under"] != "ignore":
        raise Irregular
    flags = 0
    for flag, name in ((DIVIDE, "divide"), (OVER, "over"), (INVALID, "invalid")):
        if state[name] != "ignore":
            flags |= flag
    return flags


def present() -> Any:
    """The state of this thread, for `restore`."""
    if _geterrobj is not None:
        return list(_geterrobj())  # NumPy 1 gives the very list that `np.seterr` writes into
    return np.geterr() if _variable is None else _variable.get()


def restore(state: Any) -> None:
    """Make it what it was: an exception of a signal's handler may have come between a state and its end."""
    if _geterrobj is None and _variable is not None:
        if _variable.get() is not state:
            _variable.set(state)
    elif present() != state:
        if _seterrobj is None:
            np.seterr(**state)
        else:
            _seterrobj(state)


def usual_state() -> tuple[Any, int, Any] | None:
    """Where NumPy keeps the state, and how the usual one is known; None if this NumPy does it in another way.

    NumPy 1: a key of the thread's dictionary, which is absent, or leads to a list with that number; NumPy 2: a context
    variable and its value.
    """
    if _geterrobj is not None:
        return "UFUNC_PYVALS", _DEFAULT, None
    if _variable is None:
        return None
    # Equal states are different objects after `np.seterr`: the present one, if it is such, is as good as the first.
    usual = _variable.get() if np.geterr() == _WARNINGS else contextvars.Context().run(_variable.get)
    return _variable, 0, usual


def raising(flags: int) -> Any:
    """A context in which NumPy raises `FloatingPointError` for those of `flags` and ignores the others."""
    return np.errstate(
        under="ignore",
        divide="raise" if flags & DIVIDE else "ignore",
        over="raise" if flags & OVER else "ignore",
        invalid="raise" if flags & INVALID else "ignore",
    )
