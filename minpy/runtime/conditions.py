"""What the processor notes of a thread's arithmetic: whether something became too large, or has no value.

NumPy's functions look at that behind their work, and say it. For a library's product it is a small part of looking at
each element.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any

# Invalid, division by zero, overflow: of <fenv.h> for this processor.
_LOOKED_FOR = 0x01 | 0x04 | 0x08


def _functions() -> tuple[Callable[[int], Any], Callable[[int], int]] | None:
    """What forgets conditions and what tests for them; None where that is not known to work."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return None
    try:
        library = ctypes.PyDLL("libm.so.6")  # they take no time for which others could be let in
        found = library.feclearexcept, library.fetestexcept
    except (OSError, AttributeError):
        return None
    for each in found:
        each.restype, each.argtypes = ctypes.c_int, (ctypes.c_int,)
    return found


_found = _functions()


def are_known() -> bool:
    """Whether `forget` and `are_met` say anything here."""
    return _found is not None


def forget() -> None:
    """Begin anew."""
    if _found is not None:
        _found[0](_LOOKED_FOR)


def are_met() -> bool:
    """Whether some arithmetic in this thread overflowed or had no value since `forget`; True where nobody knows."""
    return _found is None or _found[1](_LOOKED_FOR) != 0
