"""The short way into compiled loops: a built-in function, compiled by LLVM, that stands where a loop's site stood.

It finds the variables of the frame that called it, compares them with what some kernel was made for, fills the words,
runs the kernel and sets the variables: all that `drive.run` does in Python, in about a microsecond. One function serves
all loops: what it compares and where things go is in tables (`layout`, `plans`) that `shortcut` has laid out. Wherever
something is not as the tables say it has done nothing yet, and asks the site, which is Python.
"""

from __future__ import annotations

from functools import lru_cache

from minpy.runtime.jit.guard.looking import kind_of, range_, take, usual
from minpy.runtime.jit.guard.running import kernel, now, release, size, undo
from minpy.runtime.jit.guard.setting import finish, make, object_of, put
from minpy.runtime.jit.guard.writing import FUNCTIONS, LIBRARY, NUMPY_KINDS, Text


@lru_cache(maxsize=1)
def text() -> str:
    """The module."""
    outside = FUNCTIONS | NUMPY_KINDS | LIBRARY
    declared = "".join(f"declare {kind} @minpy_{name}({kinds})\n" for name, (kind, kinds) in outside.items())
    declared += (
        "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)\ndeclare double @llvm.fabs.f64(double)\n"
    )
    parts = (
        usual,
        kind_of,
        object_of,
        range_,
        take,
        put,
        make,
        finish,
        now,
        size,
        undo,
        release,
        kernel,
    )
    return declared + "".join(part(Text()) for part in parts)
