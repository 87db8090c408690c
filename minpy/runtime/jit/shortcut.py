"""The short way into a compiled loop (see `guard`) in the place of one site, with the plans that it compares with.

`drive` comes here when a loop has run compiled the long way. Whatever the tables cannot say is `Irregular`: such a loop
goes on the long way each time.
"""

from __future__ import annotations

import builtins
import ctypes
import sys
from collections.abc import Callable
from functools import lru_cache
from types import FrameType
from typing import Any

import numpy as np

from minpy import handlers
from minpy.runtime import entry
from minpy.runtime.builtin import Kept, function_at
from minpy.runtime.fuse import shortcut as of_blocks
from minpy.runtime.fuse.state import usual_state
from minpy.runtime.jit import engine, guard, store
from minpy.runtime.jit.bind import Frame, Snapshot
from minpy.runtime.jit.guard import layout, writing
from minpy.runtime.jit.guard.frames import Irregular, frame_layout, object_at, word
from minpy.runtime.jit.guard.plans import UNKNOWN, Plan
from minpy.runtime.jit.kernel import Kernel
from minpy.runtime.jit.kinds import CODES, TYPES
from minpy.runtime.jit.names import Names
from minpy.runtime.jit.trial import LOSS

_MOST_LAID_OUT = 16  # plans of one loop: more means that what it meets does not repeat
_WHATS = {
    "range": layout.RANGE,
    "iter": layout.ELEMENTS,
    "enumerate": layout.ENUMERATE,
    "zip": layout.ZIP,
    "while": layout.WHILE,
}


@lru_cache(maxsize=1)
def is_possible() -> bool:
    """Whether this Python and this NumPy are laid out as the guard reads them."""
    if (
        not of_blocks.is_possible()
        or frame_layout() is None
        or not hasattr(ctypes.pythonapi, "_PyType_Lookup")
    ):
        return False
    array = np.zeros(3)[1:]
    samples = (np.int64(-7), np.int32(-7), np.uint8(7), np.float32(2.5))
    read = (ctypes.c_int64, ctypes.c_int32, ctypes.c_uint8, ctypes.c_float)

    def cell() -> bool:
        return word(id(cell.__closure__[0]) + 16) == id(cell)  # type: ignore[index]

    return (
        word(id(array) + 48) == id(array.base)
        and all(
            kind.from_address(id(value) + 16).value == value
            for kind, value in zip(read, samples, strict=True)
        )
        and cell()
        and np.bool_(1) is np.True_
    )


@lru_cache(maxsize=1)
def _interface() -> int:
    """The address of the table of NumPy's C functions."""
    core = sys.modules.get("numpy._core._multiarray_umath") or sys.modules["numpy.core._multiarray_umath"]
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return pointer(core._ARRAY_API, None) or 0


def _outside() -> dict[str, int]:
    """The addresses of what the guard calls."""
    library = ctypes.CDLL(None)
    found = {}
    for name in (*writing.FUNCTIONS, *writing.LIBRARY):
        function = getattr(ctypes.pythonapi if name in writing.FUNCTIONS else library, name)
        found[f"minpy_{name}"] = ctypes.cast(function, ctypes.c_void_p).value or 0
    found |= {f"minpy_{name}": word(_interface() + 8 * place) for name, place in writing.NUMPY.items()}
    return found | {"memcpy": ctypes.cast(library.memcpy, ctypes.c_void_p).value or 0}


@lru_cache(maxsize=1)
def _guard() -> int:
    """The address of the compiled guard; 0 if there is none to be had."""
    try:
        text = guard.text()
        where = store.file_for(text, "", "guard")
        code = store.load_bytes(where)
        if code is None:
            code = engine.object_code(text, quickly=True)
            store.save_bytes(where, code)
        return engine.placed(code, _outside())
    except (AttributeError, KeyError, OSError, engine.CompileError) as error:
        if handlers.raised(error):
            raise
        return 0


def is_made() -> bool:
    """Whether the guard is there, or known not to be."""
    return _guard.cache_info().currsize > 0


class Shortcut(Kept):
    """The guard of one site.

    Attributes
    ----------
    function : builtin_function_or_method
        What stands in the site's place.
    plans : list of Plan
        Those that are in use.
    """

    def __init__(self, site: Any, left: Callable[..., Any]) -> None:
        address = _guard()
        if not address:
            raise Irregular
        super().__init__()
        self._of(site)
        self.site = site
        self.plans: list[Plan] = []
        self._all: list[Plan] = []  # those as well that were replaced: some thread may be using one
        self._words = words = np.zeros(layout.SITE_WORDS, np.int64)
        self._balance = words.view(np.float64)[layout.BALANCE : layout.BALANCE + 1]
        self._told = 0.0
        _alive.append(self)
        is_while = site.what == "while"
        over, broken = (False, True) if is_while else ((), ())
        state, value, usual = usual_state()  # type: ignore[misc]
        words[layout.SLOW], words[layout.LEFT] = id(site), self._of(left)
        words[layout.PARTS] = self._of(self._finish_in_python)
        words[layout.PLAIN] = 0 if site.what in ("iter", "while") else self._of(site.plain)
        words[layout.OVER], words[layout.BROKEN] = self._of(over), self._of(broken)
        words[layout.WHAT] = _WHATS[site.what]
        # What it takes to go on as written, in nanoseconds: a `for` has to come back the long way.
        words[layout.AN_EXIT] = 3_000 if is_while else 100_000
        words[layout.NONE] = id(None)
        words[layout.STATE], words[layout.STATE_VALUE] = self._of(state), value
        words[layout.STATE_DEFAULT] = self._of(usual) if usual is not None else 0
        asked = np.array([self._of(sys.gettrace), self._of(sys.getprofile)], np.int64)
        words[layout.ASK], words[layout.ASK_COUNT] = self._at(asked), len(asked)
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is not None:
            words[layout.TOOL] = self._of(monitoring.get_tool)
            words[layout.TOOL_NUMBERS : layout.TOOL_NUMBERS + 6] = [self._of(k) for k in range(6)]
        # The second row is for `stay_on_the_host`.
        zero = [(self._of(vars(entry)), self._of(name), self._of(0)) for name in ("watchers", "devices")]
        same = np.array(zero, np.int64)
        words[layout.SAME], words[layout.SAME_AT] = 1, self._at(same)
        words[layout.FRAME], words[layout.LOCALS] = frame_layout()  # type: ignore[misc]
        words[layout.BUILTINS] = self._of(vars(builtins))
        words[layout.ARRAY], words[layout.LIST] = id(np.ndarray), id(list)
        types = [0 if kind == "str" else id(TYPES[kind]) for kind in CODES]
        words[layout.TYPES] = self._at(np.array(types, np.int64))
        words[layout.TRUE], words[layout.FALSE] = id(True), id(False)
        words[layout.NUMPY_TRUE], words[layout.NUMPY_FALSE] = id(np.True_), id(np.False_)
        self.function = function_at(address, "loop", words, self._kept)

    def stay_on_the_host(self) -> None:
        """Take the short way only where no device is in use: where one is, the sizes of arrays decide each time."""
        self._words[layout.SAME] = 2

    @property
    def rounds(self) -> int:
        """How many rounds have run compiled this way."""
        return sum(plan.figure(layout.RAN) for plan in self._all)

    @property
    def seconds(self) -> float:
        """How long they took."""
        return 1e-9 * sum(plan.figure(layout.TOOK) for plan in self._all)

    def lay_out(self, kernel: Kernel, frame: FrameType, names: Names, snapshot: Snapshot) -> None:
        """Let the short way be taken where a loop meets what it met now.

        Raises
        ------
        Irregular
            That is not possible.
        """
        if self.is_full or np.getbufsize() != 8192:
            raise Irregular
        _, _, usual = usual_state()  # type: ignore[misc]
        if usual is not None:
            self._words[layout.STATE_DEFAULT] = self._of(usual)
        plan = Plan(kernel, frame, names, snapshot, self._words[layout.WHAT])
        place = len(self._all) % layout.MOST_PLANS
        self._all.append(plan)
        self.plans = [*self.plans[:place], plan, *self.plans[place + 1 :]]
        # In this order: another thread may be reading them.
        self._words[layout.PLANS + place] = plan.address
        self._words[layout.COUNT] = len(self.plans)

    @property
    def is_full(self) -> bool:
        """Whether no more will be laid out."""
        return len(self._all) >= _MOST_LAID_OUT

    @property
    def laid_out(self) -> int:
        """How many plans were made."""
        return len(self._all)

    def loses(self) -> bool:
        """Whether compiled runs have lost more than they may; if so, the account is closed."""
        lost = self._balance[0] < -1e9 * LOSS
        if lost:
            self._balance[0] = 0.0
        return bool(lost)

    @property
    def is_due(self) -> bool:
        """Whether some plan has run for as long as it may before Python looks at the loop, or loses time."""
        return self._balance[0] < -1e9 * LOSS or any(
            plan.figure(layout.TOOK) >= plan.figure(layout.LIMIT) for plan in self.plans
        )

    def news(self) -> float:
        """The seconds that compiled code has run since this was asked last."""
        before, self._told = self._told, self.seconds
        return self._told - before

    def renew(self, kernel: Kernel) -> None:
        """A kernel has new code."""
        for plan in self._all:
            if plan.kernel is kernel:
                plan.words[layout.KERNEL] = kernel.address

    def value(self, per_round: float, least: float, per_byte: float) -> None:
        """Seconds that a round takes as written, and that compiled runs must replace, more for each byte copied."""
        nanoseconds = 1e9 * per_round or UNKNOWN
        for plan in self.plans:
            plan.set_figures(nanoseconds, 1e9 * least, 1e9 * per_byte)
        self._words[layout.FEWEST] = max(1, min(2**40, int(1e9 * least / nanoseconds)))

    def _finish_in_python(self, number: int, words: int, objects: int) -> None:
        """Set the variables where some hold parts of a new array; called by the guard."""
        plan = self.plans[number]
        memory = (ctypes.c_int64 * plan.kernel.code.words).from_address(words)
        came = [object_at(word(objects + 8 * row)) for row in plan.came]
        lists = {name: object_at(word(objects + 8 * row)) for name, row in plan.lists}
        variables = Frame(sys._getframe(1), self.site.names)
        plan.kernel.finish(np.frombuffer(memory, np.int64), variables, lists, came)


_alive: list[Shortcut] = []  # the guards' functions keep no reference of them

__all__ = ["Irregular", "Shortcut", "is_possible"]
