"""The floating-point state: which conditions would be reported, and finding them without reporting any."""

from __future__ import annotations

import contextvars
from functools import cache
from typing import Any

import numpy as np

from minpy.runtime.fuse.ir import Irregular

DIVIDE, OVER, INVALID = 1, 2, 4
ALL = DIVIDE | OVER | INVALID
_NAMES = {DIVIDE: "divide", OVER: "over", INVALID: "invalid"}
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
    if is_usual():
        return ALL
    state = np.geterr()
    if state["under"] != "ignore":
        raise Irregular
    flags = 0
    for flag, name in _NAMES.items():
        if state[name] != "ignore":
            flags |= flag
    return flags


def is_usual() -> bool:
    """Whether NumPy surely is as it is by default: it warns, but not of underflow."""
    return _geterrobj is not None and _geterrobj()[1] == _DEFAULT


def ignores_underflow() -> bool:
    """Whether nothing is said about results that are too small."""
    return is_usual() or np.geterr()["under"] == "ignore"


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


class raising:
    """A context in which NumPy raises `FloatingPointError` for those of `flags` and ignores the others.

    As `np.errstate`, which takes ten times as long (NumPy 1), where NumPy's own functions can be had.
    """

    __slots__ = ("_before", "_flags")

    def __init__(self, flags: int) -> None:
        self._flags = flags

    def __enter__(self) -> None:
        if _geterrobj is not None:
            self._before = before = _geterrobj()
            _seterrobj([before[0], _mask(self._flags), before[2]])
        elif _variable is not None:
            self._before = before = _variable.get()
            _variable.set(_derived(before, self._flags))
        else:
            self._before = np.seterr(**_words(self._flags))

    def __exit__(self, *error: Any) -> None:
        if _geterrobj is not None:
            _seterrobj(self._before)
        elif _variable is not None:
            _variable.set(self._before)
        else:
            np.seterr(**self._before)


def raising_lines(lines: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Lines of a function that do what `lines` do while NumPy raises for all flags, and what names they use.

    The usual state must be in force. It is put back by a function of C's: a signal's handler that raises comes before
    or after that.
    """
    if _geterrobj is not None:
        names = {"state": _geterrobj, "put": _seterrobj}
        enter = f"put([before[0], {_mask(ALL)}, before[2]])"
    elif _variable is not None:
        names = {"state": _variable.get, "put": _variable.set, "raises": _derived(_variable.get(), ALL)}
        enter = "put(raises)"
    else:
        raise Irregular
    return [
        "before = state()",
        "try:",
        f" {enter}",
        *(f" {each}" for each in lines),
        "finally:",
        " put(before)",
    ], names


def _words(flags: int) -> dict[str, Any]:
    how = {name: "raise" if flags & flag else "ignore" for flag, name in _NAMES.items()}
    return {"under": "ignore", **how}


@cache
def _mask(flags: int) -> int:
    """NumPy 1: the number that says so."""
    with np.errstate(**_words(flags)):
        return int(_geterrobj()[1])


_last: dict[int, tuple[Any, Any]] = {}


def _derived(before: Any, flags: int) -> Any:
    """NumPy 2: the state that `before` becomes where these flags raise."""
    known = _last.get(flags)
    if known is None or known[0] is not before:
        with np.errstate(**_words(flags)):
            known = _last[flags] = before, _variable.get()
    return known[1]
