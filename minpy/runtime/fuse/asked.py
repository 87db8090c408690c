"""Functions that stand in place of NumPy's at a site whose operand has no name.

::

    (__minpy__.blocks.c7_1_1a2b3c4d('_median(v0,axis=v1)') if … else np.median)(np.stack(windows), axis=0)

The operand is computed once, so whoever is called with it must make the call in any case. A built-in function asks the
site, and calls NumPy's where that says no: no frame of ours is in a traceback.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache
from time import perf_counter
from typing import Any

import numpy as np

from minpy.runtime import entry, ledger
from minpy.runtime.builtin import FASTCALL, KEYWORDS, function_at

# The words: whom to ask, with all arguments one after the other, and the type of the answer that says whom to call.
_ASK, _INSTEAD = range(2)
_ITEM = 24  # where a tuple's first item is
_OFTEN = 8  # times that a program comes by before the compiler is loaded for it

TEXT = f"""
declare ptr @minpy_PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare void @minpy_Py_DecRef(ptr)

define ptr @kernel(ptr %self, ptr %args, i64 %nargs, ptr %names) {{
entry:
  %dataat = getelementptr i8, ptr %self, i64 16
  %words = load ptr, ptr %dataat, align 8
  %askat = getelementptr i64, ptr %words, i64 {_ASK}
  %ask = load ptr, ptr %askat, align 8
  %insteadat = getelementptr i64, ptr %words, i64 {_INSTEAD}
  %instead = load ptr, ptr %insteadat, align 8
  %named = icmp ne ptr %names, null
  br i1 %named, label %keywords, label %counted
keywords:
  %keysat = getelementptr i64, ptr %names, i64 2
  %keys = load i64, ptr %keysat, align 8
  %all = add i64 %nargs, %keys
  br label %counted
counted:
  %n = phi i64 [ %nargs, %entry ], [ %all, %keywords ]
  %answer = call ptr @minpy_PyObject_Vectorcall(ptr %ask, ptr %args, i64 %n, ptr null)
  %failed = icmp eq ptr %answer, null
  br i1 %failed, label %done, label %look
look:
  %typeat = getelementptr i8, ptr %answer, i64 8
  %type = load ptr, ptr %typeat, align 8
  %no = icmp eq ptr %type, %instead
  br i1 %no, label %call, label %done
call:
  %itemat = getelementptr i8, ptr %answer, i64 {_ITEM}
  %function = load ptr, ptr %itemat, align 8
  %made = call ptr @minpy_PyObject_Vectorcall(ptr %function, ptr %args, i64 %nargs, ptr %names)
  call void @minpy_Py_DecRef(ptr %answer)
  ret ptr %made
done:
  ret ptr %answer
}}
"""


class Instead(tuple):
    """An answer: the function that is to be called."""

    __slots__ = ()


def written(name: str) -> Any:
    """What ``np.name`` stands for at present in rewritten code."""
    module, _, rest = name.partition("_") if name.startswith(("linalg_", "fft_")) else ("", "", name)
    door = entry.routed.np
    return getattr(getattr(door, module) if module else door, rest)


class TooSoon(Exception):
    """The compiler would have to be loaded for the function, before anybody has seen that it pays."""


_visits: list[float] = []  # when a function was asked for, while there was none


def _may_compile() -> bool:
    """Whether an earlier run left the code, or the program comes back, and has spent a while about it."""
    from minpy.runtime.fuse import memory, native, sites
    from minpy.runtime.jit import engine

    if sites.mode() != "auto" or memory.load_code(TEXT, engine.stamp()) is not None:
        return True
    if len(_visits) < _OFTEN:
        _visits.append(perf_counter())
        return False
    takes = native.takes()
    return perf_counter() - _visits[0] > 2 * takes and ledger.allows_sure(takes)


@lru_cache(maxsize=1)
def _code() -> int:
    """The address of the code of all such functions; 0 if there is none to be had.

    Raises
    ------
    TooSoon
        There may be later.
    """
    from minpy.runtime.fuse import native

    if not native.may_be_used():
        return 0
    if not _may_compile():
        raise TooSoon
    from minpy.runtime.fuse import shortcut

    if not shortcut.is_possible():
        return 0
    item = object()
    if ctypes.c_int64.from_address(id(Instead((item,))) + _ITEM).value != id(item):
        return 0
    from minpy.runtime.jit import engine

    try:
        outside = {
            f"minpy_{name}": ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0
            for name in ("PyObject_Vectorcall", "Py_DecRef")
        }
        return native.placed(TEXT, outside, quickly=True)
    except (AttributeError, engine.CompileError):
        return 0


def function_for(name: str, ask: Callable[..., Any]) -> Any:
    """A function that calls `ask` with all arguments; what that gives, or what the function in an `Instead` gives.

    None if there is no compiler for it. Raises `TooSoon`.
    """
    code = _code()
    if not code:
        return None
    kept: list[Any] = [ask]
    words = np.array([id(ask), id(Instead)], np.int64)
    made = function_at(code, name, words, kept, FASTCALL | KEYWORDS)
    _all.append(kept)
    return made


_all: list[Any] = []  # what the functions' words point to; a site is for ever
