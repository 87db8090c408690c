"""What the processor notes of a thread's arithmetic: whether something became too large or small, or has no value.

NumPy's functions look at that behind their work, and say it. For a library's product it is a small part of looking at
each element.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any

# Invalid, division by zero, overflow, underflow: of <fenv.h> for this processor.
ALL = 0x01 | 0x04 | 0x08 | 0x10


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


def _nothing(which: int) -> int:
    """Where nobody knows, whatever is asked for has been met."""
    return which


_found = _functions()
are_known = _found is not None
# ``forget(ALL)`` begins anew; ``met(ALL)`` is not 0 if some arithmetic in this thread met such a condition since.
forget, met = _found or (_nothing, _nothing)
