"""The short way from a block's site to its compiled code, for geometries that were met before.

A site whose block runs compiled on one thread is replaced by a built-in function (`guard`): it compares the operands
with those of the last few geometries and runs the code, in less than a microsecond. Whatever is new goes the long way,
through the site, and is laid out here for the next time.
"""

from __future__ import annotations

import ctypes
import struct
import sys
import types
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from minpy.runtime.builtin import Kept, function_at
from minpy.runtime.fuse import guard, native
from minpy.runtime.fuse.guard import layout, writing
from minpy.runtime.fuse.guard.geometry import Geometry
from minpy.runtime.fuse.ir import ITEM, Irregular, Program, _attribute
from minpy.runtime.fuse.state import usual_state

if TYPE_CHECKING:
    from minpy.runtime.fuse.plan import Plan

COST = 1.5e-6  # seconds that the short way takes, with what the interpreter does around it
COST_OF_NUMBERS = 2.5e-6  # the same of what is computed first, in Python
_MOST_LAID_OUT = 24  # geometries of one block: more means that they do not repeat
_KEY = "minpy blocks' results"
# What computing numbers and small arrays may raise because the program does.
_EXPECTED = (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, MemoryError, RecursionError)


@lru_cache(maxsize=1)
def _guard() -> int:
    """The address of the compiled guard; raises `native.Unfit`.

    It is compiled quickly, in a tenth of the time: it looks at a few words and calls Python's functions, which no
    compiler makes faster.
    """
    from minpy.runtime.jit import engine

    outside = {}
    try:
        for name in writing.FUNCTIONS:
            function = getattr(ctypes.pythonapi, name)
            outside[f"minpy_{name}"] = ctypes.cast(function, ctypes.c_void_p).value or 0
        return native.placed(guard.text(), outside, quickly=True)
    except (AttributeError, engine.CompileError) as error:
        raise native.Unfit(str(error)) from error


def is_made() -> bool:
    """Whether the guard is there."""
    return _guard.cache_info().currsize > 0


def is_possible() -> bool:
    """Whether this Python and this NumPy are laid out as the guard reads them."""
    return _is_possible()


@lru_cache(maxsize=1)
def _is_possible() -> bool:
    if sys.implementation.name != "cpython" or not native._layout_is_known():
        return False
    if not getattr(sys, "_is_gil_enabled", lambda: True)() or struct.calcsize("P") != 8:
        return False
    array = np.ones((3, 5), np.float32)[1:, ::2]
    at = id(array)

    def word(offset: int, base: int = at) -> int:
        return ctypes.c_int64.from_address(base + offset).value

    extents = [[word(8 * k, word(offset)) for k in range(2)] for offset in (32, 40)]
    state = usual_state()
    return (
        ctypes.c_int.from_address(at + 24).value == 2
        and extents == [list(array.shape), list(array.strides)]
        and word(56) == id(array.dtype)
        and ctypes.c_int.from_address(at + 64).value == array.flags.num
        and word(8) == id(np.ndarray)
        and ctypes.c_double.from_address(id(2.5) + 16).value == 2.5
        and ctypes.c_double.from_address(id(np.float64(2.5)) + 16).value == 2.5
        and state is not None
    )


@lru_cache(maxsize=1)
def _knows_versions() -> bool:
    """Whether a type's version stands where the guard looks for it."""

    class Sample:
        pass

    sample = Sample()
    versions = []
    for name in ("one", "two"):
        setattr(Sample, name, name)
        versions.append(_version(Sample))
        versions.append((getattr(sample, name), _version(Sample))[1])
    return versions[0] == versions[2] == 0 and 0 < versions[1] != versions[3] > 0


def _version(kind: type) -> int:
    return ctypes.c_uint32.from_address(id(kind) + writing.VERSION).value


def can_follow(program: Program) -> bool:
    """Whether the guard can find all that a block starts from: the names, and what chains of attributes lead to."""
    steps = [step for _, each in program.chains for step in each]
    if program.names + len(steps) > layout.MOST_VALUES:
        return False
    return all(step[0] == ITEM for step in steps) or _knows_versions()


def join(results: list[Any]) -> None:
    """Let the guards of this thread hand their results over in a list."""
    # The dictionary is the thread's: a borrowed reference, which `py_object` as the kind of a result would give up.
    address = ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyThreadState_GetDict", ctypes.pythonapi))()
    if address:
        ctypes.cast(address, ctypes.py_object).value[_KEY] = results


class _Words(np.ndarray):
    """The words of a site, which own all that is in them: the function lives as long as anybody has it."""

    owner: Shortcut


class Shortcut(Kept):
    """The guard of one site.

    Attributes
    ----------
    function : builtin_function_or_method
        What is called in place of the site.
    """

    def __init__(self, site: Any) -> None:
        self._words = np.zeros(layout.GEOMETRIES + layout.MOST_GEOMETRIES, np.int64).view(_Words)
        self._words.owner = self
        super().__init__()
        # All of them: some thread may be using one that was replaced.
        self._geometries: list[Any] = []
        self.laid_out = 0
        words = self._words
        state, value, usual = usual_state()
        words[layout.SLOW] = self._of(site)
        words[layout.NONE], words[layout.TRUE], words[layout.FALSE] = id(None), id(True), id(False)
        words[layout.KEY] = self._of(_KEY)
        words[layout.STATE], words[layout.STATE_VALUE] = self._of(state), value
        words[layout.STATE_DEFAULT] = self._of(usual) if usual is not None else 0
        words[layout.ARRAY] = id(np.ndarray)
        words[layout.EXPECTED] = self._of(_EXPECTED)
        asked = np.array([self._of(sys.gettrace), self._of(sys.getprofile)], np.int64)
        words[layout.ASK], words[layout.ASK_COUNT] = self._at(asked), len(asked)
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is not None:
            words[layout.TOOL] = self._of(monitoring.get_tool)
            words[layout.TOOL_NUMBERS : layout.TOOL_NUMBERS + 6] = [self._of(k) for k in range(6)]
        self.function = function_at(_guard(), "block", words, self._kept)

    @property
    def hits(self) -> int:
        """How often the short way was taken."""
        return int(self._words[layout.HITS])

    def lay_out(
        self,
        plan: Plan,
        engine: Any,
        names: tuple[Any, ...],
        leaves: tuple[Any, ...],
        prepared: tuple[list[Any], list[Any]],
    ) -> None:
        """Let the short way be taken for operands like these.

        Raises
        ------
        Irregular
            They are not such that it could be.
        """
        if self.laid_out >= _MOST_LAID_OUT:
            raise Irregular
        _, _, usual = usual_state()
        if usual is not None:
            self._words[layout.STATE_DEFAULT] = self._of(usual)
        values, rows = _followed(plan.program, names)
        geometry = Geometry(plan, engine, names, values, leaves, prepared)
        if rows:
            steps = [
                (source, kind, self._of(owner), version, self._of(name))
                for source, kind, owner, version, name in rows
            ]
            self._words[layout.CHAINS_AT] = self._at(np.array(steps, np.int64))
            self._words[layout.GIVEN] = len(names)
            self._words[layout.CHAINS] = len(rows)
        place = self.laid_out % layout.MOST_GEOMETRIES
        self.laid_out += 1
        self._geometries.append(geometry)
        # In this order: another thread may be reading them.
        self._words[layout.GEOMETRIES + place] = geometry.words.ctypes.data
        self._words[layout.COUNT] = min(self.laid_out, layout.MOST_GEOMETRIES)


def _followed(program: Program, names: tuple[Any, ...]) -> tuple[list[Any], list[tuple[Any, ...]]]:
    """The values at every step of the chains, and what the guard needs to get them.

    Raises
    ------
    Irregular
        They are not such that it could.
    """
    values: list[Any] = []
    rows: list[tuple[Any, ...]] = []
    for start, steps in program.chains:
        value, source = names[start], 1 + start
        for step in steps:
            kind = type(value)
            found = _attribute(value, step)
            if step[0] == ITEM:
                rows.append((source, layout.ITEM, kind, 0, step[1:]))
            else:
                version = _version(kind)
                if not version or kind is np.ndarray or isinstance(value, (type, types.ModuleType)):
                    raise Irregular
                if any("__getattr__" in base.__dict__ for base in kind.__mro__):
                    raise Irregular
                rows.append((source, layout.ATTRIBUTE, kind, version, sys.intern(step)))
            value = found
            values.append(value)
            source = len(names) + len(values)
    return values, rows
