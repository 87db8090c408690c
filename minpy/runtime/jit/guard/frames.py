"""Where the variables of a frame are, in memory: what the guard reads and sets them by."""

from __future__ import annotations

import builtins
import ctypes
import sys
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any

from minpy.runtime.jit.bind import CO_OPTIMIZED, MISSING
from minpy.runtime.jit.guard import layout


class Irregular(Exception):
    """What a loop meets is not such that the short way could be laid out."""


def word(address: int) -> int:
    return ctypes.c_int64.from_address(address).value


def object_at(address: int) -> Any:
    return ctypes.cast(address, ctypes.py_object).value


@lru_cache(maxsize=1)
def frame_layout() -> tuple[int, int] | None:
    """Where a frame's variables are: where a pointer to them is (0: none), and how far from there; None: not known."""
    if not (3, 10) <= sys.version_info[:2] <= (3, 13):
        return None

    def variables(one: object, two: object) -> tuple[int, int] | None:
        three = object()
        frame = sys._getframe()
        through, locals_ = (0, 352) if sys.version_info < (3, 11) else (24, 72)
        start = word(id(frame) + through) if through else id(frame)
        found = [word(start + locals_ + 8 * k) for k in range(3)]
        known = frame.f_code.co_varnames[:3] == ("one", "two", "three")
        del frame  # it would hold itself, and all its callers
        return (through, locals_) if known and found == [id(one), id(two), id(three)] else None

    return variables(object(), object())


class Places:
    """Where the variables of a frame are."""

    def __init__(self, frame: FrameType) -> None:
        self._frame = frame
        self._locals = dict(frame.f_locals)
        code = frame.f_code
        self._optimized = bool(code.co_flags & CO_OPTIMIZED)
        self._fast = list(code.co_varnames)
        self._cells = _cells(code)

    def of(self, name: str, is_global: bool) -> tuple[int, int, Any]:
        """The kind of place, a number, and a key."""
        if self._optimized and not is_global:
            if name in self._cells:
                return layout.CELL, self._cells[name], None
            if name in self._fast:
                return layout.FAST, self._fast.index(name), None
        return layout.GLOBAL, 0, sys.intern(name)

    def value(self, name: str, is_global: bool) -> Any:
        place, _, _ = self.of(name, is_global)
        if place != layout.GLOBAL:
            return self._locals.get(name, MISSING)
        value = self._frame.f_globals.get(name, MISSING)
        return getattr(builtins, name, MISSING) if value is MISSING else value

    def check(self, used: set[int]) -> None:
        """Make sure that the variables are where they are taken to be."""
        through, locals_ = frame_layout()  # type: ignore[misc]
        start = (word(id(self._frame) + through) if through else id(self._frame)) + locals_
        for number in used:
            value = self._locals.get(self._fast[number], MISSING)
            if word(start + 8 * number) != (0 if value is MISSING else id(value)):
                raise Irregular
        for name, number in self._cells.items():
            held = word(start + 8 * number)
            value = self._locals.get(name, MISSING)
            if not held or word(held + 16) != (0 if value is MISSING else id(value)):
                raise Irregular


def _cells(code: CodeType) -> dict[str, int]:
    """The numbers of the variables that are shared with functions inside or outside."""
    names = list(code.co_varnames)
    if sys.version_info < (3, 11):
        shared = [*code.co_cellvars, *code.co_freevars]
        return {name: len(names) + k for k, name in enumerate(shared)}
    names += [name for name in code.co_cellvars if name not in names]
    names += code.co_freevars
    return {name: names.index(name) for name in (*code.co_cellvars, *code.co_freevars)}
