"""The C library's last error, which MXNet takes for its own.

MXNet writes numbers as text and reads them again. It takes ``inf`` for a number out of range if the C library's
``errno`` says that of any earlier one, whoever read it: ``1e-320`` in a program is enough, and nothing ever clears it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any


def _place() -> Callable[[], Any] | None:
    """What says where the last error of this thread is; None if the C library has nothing of that name."""
    try:
        found = ctypes.CDLL(None).__errno_location
    except (OSError, AttributeError, TypeError):
        return None
    found.restype = ctypes.POINTER(ctypes.c_int)
    return found


_where = _place()


def forget() -> None:
    """Set this thread's ``errno`` to 0."""
    if _where is not None:
        _where()[0] = 0
