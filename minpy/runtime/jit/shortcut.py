"""The tables of the short way into a compiled loop (see `guard`): what a kernel was made for, laid out in words.

`drive` comes here when a loop has run compiled the long way. Whatever the tables cannot say is `Irregular`: such a loop
goes on the long way each time.
"""

from __future__ import annotations

import builtins
import ctypes
import sys
from collections.abc import Callable
from functools import lru_cache
from types import CodeType, FrameType, ModuleType
from typing import Any

import numpy as np

from minpy.runtime import entry
from minpy.runtime.fuse import shortcut as of_blocks
from minpy.runtime.fuse.state import usual_state
from minpy.runtime.jit import engine, guard, store
from minpy.runtime.jit.bind import CO_OPTIMIZED, MISSING, Frame, Names, Snapshot
from minpy.runtime.jit.helpers import GLOBAL
from minpy.runtime.jit.kernel import Kernel
from minpy.runtime.jit.kinds import CODES, TYPES
from minpy.runtime.jit.lower import UNBOUND
from minpy.runtime.jit.trial import LOSS

_MOST_LAID_OUT = 16  # plans of one loop: more means that what it meets does not repeat
_UNKNOWN = 1e18  # nanoseconds that a round takes as written, if that was not measured: it is worth it
_WHATS = {
    "range": guard.RANGE,
    "iter": guard.ELEMENTS,
    "enumerate": guard.ENUMERATE,
    "zip": guard.ZIP,
    "while": guard.WHILE,
}


class Irregular(Exception):
    """What a loop meets is not such that the short way could be laid out."""


class _Method(ctypes.Structure):
    """Python's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_FASTCALL = 0x80


def _word(address: int) -> int:
    return ctypes.c_int64.from_address(address).value


@lru_cache(maxsize=1)
def _frame_layout() -> tuple[int, int] | None:
    """Where a frame's variables are: where a pointer to them is (0: none), and how far from there; None: not known."""
    if not (3, 10) <= sys.version_info[:2] <= (3, 13):
        return None

    def variables(one: object, two: object) -> tuple[int, int] | None:
        three = object()
        frame = sys._getframe()
        through, locals_ = (0, 352) if sys.version_info < (3, 11) else (24, 72)
        start = _word(id(frame) + through) if through else id(frame)
        found = [_word(start + locals_ + 8 * k) for k in range(3)]
        known = frame.f_code.co_varnames[:3] == ("one", "two", "three")
        del frame  # it would hold itself, and all its callers
        return (through, locals_) if known and found == [id(one), id(two), id(three)] else None

    return variables(object(), object())


@lru_cache(maxsize=1)
def is_possible() -> bool:
    """Whether this Python and this NumPy are laid out as the guard reads them."""
    if (
        not of_blocks.is_possible()
        or _frame_layout() is None
        or not hasattr(ctypes.pythonapi, "_PyType_Lookup")
    ):
        return False
    array = np.zeros(3)[1:]
    samples = (np.int64(-7), np.int32(-7), np.uint8(7), np.float32(2.5))
    read = (ctypes.c_int64, ctypes.c_int32, ctypes.c_uint8, ctypes.c_float)

    def cell() -> bool:
        return _word(id(cell.__closure__[0]) + 16) == id(cell)  # type: ignore[index]

    return (
        _word(id(array) + 48) == id(array.base)
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
    for name in (*guard.FUNCTIONS, *guard.LIBRARY):
        function = getattr(ctypes.pythonapi if name in guard.FUNCTIONS else library, name)
        found[f"minpy_{name}"] = ctypes.cast(function, ctypes.c_void_p).value or 0
    found |= {f"minpy_{name}": _word(_interface() + 8 * place) for name, place in guard.NUMPY.items()}
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
    except (AttributeError, KeyError, OSError, engine.CompileError):
        return 0


class Shortcut:
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
        self.site = site
        self.plans: list[Plan] = []
        self._all: list[Plan] = []  # those as well that were replaced: some thread may be using one
        self._words = words = np.zeros(guard.SITE_WORDS, np.int64)
        self._balance = words.view(np.float64)[guard.BALANCE : guard.BALANCE + 1]
        self._kept: list[Any] = [site]
        self._told = 0.0
        _alive.append(self)
        is_while = site.what == "while"
        over, broken = (False, True) if is_while else ((), ())
        state, value, usual = usual_state()  # type: ignore[misc]
        words[guard.SLOW], words[guard.LEFT] = id(site), self._of(left)
        words[guard.PARTS] = self._of(self._finish_in_python)
        words[guard.PLAIN] = 0 if site.what in ("iter", "while") else self._of(site.plain)
        words[guard.OVER], words[guard.BROKEN] = self._of(over), self._of(broken)
        words[guard.WHAT] = _WHATS[site.what]
        # What it takes to go on as written, in nanoseconds: a `for` has to come back the long way.
        words[guard.AN_EXIT] = 3_000 if is_while else 100_000
        words[guard.NONE] = id(None)
        words[guard.STATE], words[guard.STATE_VALUE] = self._of(state), value
        words[guard.STATE_DEFAULT] = self._of(usual) if usual is not None else 0
        asked = np.array([self._of(sys.gettrace), self._of(sys.getprofile)], np.int64)
        words[guard.ASK], words[guard.ASK_COUNT] = self._at(asked), len(asked)
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is not None:
            words[guard.TOOL] = self._of(monitoring.get_tool)
            words[guard.TOOL_NUMBERS : guard.TOOL_NUMBERS + 6] = [self._of(k) for k in range(6)]
        same = np.array([self._of(vars(entry)), self._of("holders"), self._of(0)], np.int64)
        words[guard.SAME], words[guard.SAME_AT] = 1, self._at(same)
        words[guard.FRAME], words[guard.LOCALS] = _frame_layout()  # type: ignore[misc]
        words[guard.BUILTINS] = self._of(vars(builtins))
        words[guard.ARRAY], words[guard.LIST] = id(np.ndarray), id(list)
        types = [0 if kind == "str" else id(TYPES[kind]) for kind in CODES]
        words[guard.TYPES] = self._at(np.array(types, np.int64))
        words[guard.TRUE], words[guard.FALSE] = id(True), id(False)
        words[guard.NUMPY_TRUE], words[guard.NUMPY_FALSE] = id(np.True_), id(np.False_)
        definition = _Method(b"loop", address, _FASTCALL, None)
        self._kept.append(definition)
        kind = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
        make = kind(("PyCFunction_NewEx", ctypes.pythonapi))
        self.function = make(ctypes.addressof(definition), words, None)

    def _of(self, thing: Any) -> int:
        self._kept.append(thing)
        return id(thing)

    def _at(self, array: np.ndarray) -> int:
        self._kept.append(array)
        return array.ctypes.data

    @property
    def rounds(self) -> int:
        """How many rounds have run compiled this way."""
        return sum(plan.figure(guard.RAN) for plan in self._all)

    @property
    def seconds(self) -> float:
        """How long they took."""
        return 1e-9 * sum(plan.figure(guard.TOOK) for plan in self._all)

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
            self._words[guard.STATE_DEFAULT] = self._of(usual)
        plan = Plan(kernel, frame, names, snapshot, self._words[guard.WHAT])
        place = len(self._all) % guard.MOST_PLANS
        self._all.append(plan)
        self.plans = [*self.plans[:place], plan, *self.plans[place + 1 :]]
        # In this order: another thread may be reading them.
        self._words[guard.PLANS + place] = plan.address
        self._words[guard.COUNT] = len(self.plans)

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
            plan.figure(guard.TOOK) >= plan.figure(guard.LIMIT) for plan in self.plans
        )

    def news(self) -> float:
        """The seconds that compiled code has run since this was asked last."""
        before, self._told = self._told, self.seconds
        return self._told - before

    def renew(self, kernel: Kernel) -> None:
        """A kernel has new code."""
        for plan in self._all:
            if plan.kernel is kernel:
                plan.words[guard.KERNEL] = kernel.address

    def value(self, per_round: float, least: float, per_byte: float) -> None:
        """Seconds that a round takes as written, and that compiled runs must replace, more for each byte copied."""
        nanoseconds = 1e9 * per_round or _UNKNOWN
        for plan in self.plans:
            plan.set_figures(nanoseconds, 1e9 * least, 1e9 * per_byte)
        self._words[guard.FEWEST] = max(1, min(2**40, int(1e9 * least / nanoseconds)))

    def _finish_in_python(self, number: int, words: int, objects: int) -> None:
        """Set the variables where some hold parts of a new array; called by the guard."""
        plan = self.plans[number]
        memory = (ctypes.c_int64 * plan.kernel.code.words).from_address(words)
        came = [_object(_word(objects + 8 * row)) for row in plan.came]
        lists = {name: _object(_word(objects + 8 * row)) for name, row in plan.lists}
        variables = Frame(sys._getframe(1), self.site.names)
        plan.kernel.finish(np.frombuffer(memory, np.int64), variables, lists, came)


_alive: list[Shortcut] = []  # the guards' functions keep no reference of them


def _object(address: int) -> Any:
    return ctypes.cast(address, ctypes.py_object).value


class Plan:
    """The tables of one kernel, for the objects that it was laid out with; they live as long as the plan."""

    def __init__(self, kernel: Kernel, frame: FrameType, names: Names, snapshot: Snapshot, what: int) -> None:
        code = kernel.code
        if code.sources or code.stacks or code.words > guard.MOST_WORDS:
            raise Irregular
        if any(each.rep not in guard.REPS for each in code.scalars):
            raise Irregular
        self.kernel = kernel
        self._kept: list[Any] = []
        self._rows: list[tuple[int, ...]] = []
        self._row_of: dict[Any, int] = {}
        self._places = _Places(frame)
        self.words = np.zeros(guard.PLAN_WORDS, np.int64)
        self._figures = self.words.view(np.float64)
        axes = self._axes(snapshot.outer, what)
        template = np.zeros(code.words, np.int64)
        for variable in code.scalars:
            template[variable.slot + 1] = UNBOUND
        self._known(snapshot)
        self.came = self._arrays(snapshot, template)
        self._scalars(snapshot, names)
        self.lists = [(name, self._list(name)) for name, _ in code.lists]
        if len(self._rows) > guard.MOST_OBJECTS:
            raise Irregular
        words = self.words
        words[guard.CODE], words[guard.KERNEL] = self._of(frame.f_code), kernel.address
        words[guard.WORDS], words[guard.TEMPLATE] = code.words, self._at(template)
        self._put(guard.ROWS, self._rows)
        words[guard.CLEAN] = code.clean
        self._put(
            guard.WRITTEN,
            [(self._came(name), snapshot.values[name].itemsize) for name in sorted(code.written)],
        )
        self._put(guard.OWNED, [(row,) for row in (self.came if code.views else ())])
        self._put(guard.CAME, [(row,) for row in self.came])
        self._put(guard.AXES, [(self._came(name),) for name in axes])
        self._put(
            guard.LISTS, [(slot, row) for (_, slot), (_, row) in zip(code.lists, self.lists, strict=True)]
        )
        assigned = [each for each in code.scalars if each.assigned and each.rep]
        self._put(
            guard.SCALARS,
            [(each.slot, guard.REPS[each.rep], *self._variable(each.name)) for each in assigned],
        )
        made = [each for each in code.arrays if each.assigned]
        if len(made) > guard.MOST_MADE:
            raise Irregular
        rows = []
        for each in made:
            dtype = np.dtype(each.type.dtype)
            rows.append(
                (each.slot, each.type.ndim, *self._variable(each.name), self._of(dtype), dtype.itemsize)
            )
        self._put(guard.MADE, rows)
        self.set_figures(_UNKNOWN, 0.0, 0.0)
        self.set_limit(None)
        self._places.check({row[1] for row in self._rows if row[0] == guard.FAST})
        del self._places  # it holds the frame
        self.address = words.ctypes.data

    def figure(self, word: int) -> int:
        """One of what is counted."""
        return int(self.words[word])

    def set_figures(self, per_round: float, least: float, per_byte: float) -> None:
        """In nanoseconds: what a round takes as written; what compiled runs must replace, and for each byte copied."""
        self._figures[guard.A_ROUND], self._figures[guard.LEAST] = per_round, least
        self._figures[guard.A_BYTE] = per_byte

    def set_limit(self, seconds: float | None) -> None:
        """Let Python be asked after so many more seconds of compiled runs."""
        more = 2**62 if seconds is None else int(1e9 * seconds)
        self.words[guard.LIMIT] = min(2**62, self.figure(guard.TOOK) + more)

    def _of(self, thing: Any) -> int:
        self._kept.append(thing)
        return id(thing)

    def _at(self, array: np.ndarray) -> int:
        self._kept.append(array)
        return array.ctypes.data

    def _put(self, count: int, rows: list[tuple[int, ...]]) -> None:
        size = guard.ROW if count == guard.ROWS else 1 if not rows or len(rows[0]) == 1 else guard.ITEM
        array = np.zeros((max(1, len(rows)), size), np.int64)
        for row, given in zip(array, rows, strict=False):
            row[: len(given)] = given
        self.words[count], self.words[count + 1] = len(rows), self._at(array)

    # Rows.

    def _row(self, place: tuple[int, int, int], check: int, *more: int) -> int:
        """A row, or the one that says the same; its number."""
        row = (*place, check, *more)
        row = (*row, *([0] * (guard.ROW - len(row))))
        if row not in self._row_of:
            self._row_of[row] = len(self._rows)
            self._rows.append(row)
        return self._row_of[row]

    def _known(self, snapshot: Snapshot) -> None:
        for name, value in snapshot.known_objects.items():
            place = self._place(name)
            if id(value) in snapshot.helpers:
                self._row(place, guard.IS_FUNCTION, self._of(value), self._of(value.__code__))
            else:
                self._row(place, guard.THIS, self._of(value))

    def _arrays(self, snapshot: Snapshot, template: np.ndarray) -> list[int]:
        """Rows for the arrays that come in, and what is constant of their words; the rows' numbers."""
        came: list[int] = []
        for variable in self.kernel.code.arrays:
            if not variable.comes_in:
                template[variable.slot] = -1
                continue
            value = snapshot.values[variable.name]
            type_ = variable.type
            if type_.sequence or type(value) is not np.ndarray:
                raise Irregular
            template[variable.slot] = template[variable.slot + 2] = len(came)
            word = guard.array_word(type_.ndim, type_.unit, value.itemsize, type_.ones)
            place = self._place(variable.name)
            came.append(self._row(place, guard.IS_ARRAY, self._of(value.dtype), word, variable.slot))
        return came

    def _scalars(self, snapshot: Snapshot, names: Names) -> None:
        for variable in self.kernel.code.scalars:
            name, kind = variable.name, snapshot.kind(variable.name)
            if kind == "str":
                raise Irregular
            if kind is None and (name not in names.live or name in snapshot.known_objects):
                continue  # whatever it is, the code takes it for unbound
            mask = sum(1 << CODES[each] for each in variable.kinds if each != "str")
            self._row(
                self._place(name),
                guard.IS_SCALAR,
                mask if variable.rep else 0,
                guard.REPS[variable.rep],
                variable.slot,
                int(variable.may_be_unbound or not variable.rep),
            )

    def _list(self, name: str) -> int:
        return self._row(self._place(name), guard.IS_LIST)

    @staticmethod
    def _axes(outer: tuple[Any, ...], what: int) -> list[str]:
        """The arrays that the loop runs over."""
        axes = {
            guard.RANGE: [] if outer == ("range",) else None,
            guard.WHILE: [] if outer == ("while",) else None,
            guard.ELEMENTS: [outer] if outer[0] == "array" else None,
            guard.ENUMERATE: [outer[1]] if outer[0] == "enumerate" else None,
            guard.ZIP: outer[1] if outer[0] == "zip" else None,
        }[what]
        if axes is None or any(each[0] != "array" for each in axes):
            raise Irregular
        return [each[1] for each in axes]

    def _came(self, name: str) -> int:
        """The row of an array that comes in."""
        names = [each.name for each in self.kernel.code.arrays if each.comes_in]
        return self.came[names.index(name)]

    # Where objects are.

    def _place(self, name: str) -> tuple[int, int, int]:
        """How the object of a name, with dots or of what is looped over, is found."""
        if name.startswith("<"):
            inside = name[1:-1]  # "": the only argument; "e": what is enumerated; "2.": a part of a zip
            return guard.ARGUMENT, int(inside[:-1]) if inside not in ("", "e") else 0, 0
        is_global = name.startswith(GLOBAL)
        root, *rest = name.removeprefix(GLOBAL).split(".")
        place = self._places.of(root, is_global)
        value = self._places.value(root, is_global)
        self._of(place[2])
        found = (place[0], place[1], id(place[2]) if place[2] is not None else 0)
        for attribute in rest:
            found, value = self._attribute(found, value, attribute)
        return found

    def _attribute(
        self, place: tuple[int, int, int], value: Any, name: str
    ) -> tuple[tuple[int, int, int], Any]:
        key = self._of(sys.intern(name))
        if isinstance(value, ModuleType):
            self._row(place, guard.THIS, self._of(value))
            return (guard.IN_DICT, self._of(vars(value)), key), vars(value)[name]
        kind = type(value)
        own = ctypes.pythonapi.PyObject_GenericGetDict
        own.restype, own.argtypes = ctypes.py_object, [ctypes.py_object, ctypes.c_void_p]
        try:
            if own(value, None) is not value.__dict__:
                raise Irregular
        except AttributeError:
            raise Irregular from None
        row = self._row(place, guard.HAS_TYPE, self._of(kind))
        # What the class says of these names decides whether the instance's own dictionary does.
        for each in (name, "__getattribute__", "__dict__"):
            found = _in_class(kind, each)
            if found:
                self._of(_object(found))
            self._row((guard.IN_CLASS, row, self._of(sys.intern(each))), guard.THIS, found)
        return (guard.IN_INSTANCE, row, key), value.__dict__[name]

    def _variable(self, name: str) -> tuple[int, int]:
        """Where a variable that the loop sets is: its number and its key."""
        place, number, key = self._places.of(name, False)
        if place == guard.FAST:
            return number, 0
        if place != guard.GLOBAL:
            raise Irregular
        return guard.MODULES, self._of(key)


class _Places:
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
                return guard.CELL, self._cells[name], None
            if name in self._fast:
                return guard.FAST, self._fast.index(name), None
        return guard.GLOBAL, 0, sys.intern(name)

    def value(self, name: str, is_global: bool) -> Any:
        place, _, _ = self.of(name, is_global)
        if place != guard.GLOBAL:
            return self._locals.get(name, MISSING)
        value = self._frame.f_globals.get(name, MISSING)
        return getattr(builtins, name, MISSING) if value is MISSING else value

    def check(self, used: set[int]) -> None:
        """Make sure that the variables are where they are taken to be."""
        through, locals_ = _frame_layout()  # type: ignore[misc]
        start = (_word(id(self._frame) + through) if through else id(self._frame)) + locals_
        for number in used:
            value = self._locals.get(self._fast[number], MISSING)
            if _word(start + 8 * number) != (0 if value is MISSING else id(value)):
                raise Irregular
        for name, number in self._cells.items():
            held = _word(start + 8 * number)
            value = self._locals.get(name, MISSING)
            if not held or _word(held + 16) != (0 if value is MISSING else id(value)):
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


def _in_class(kind: type, name: str) -> int:
    """The identity of what a class has under a name; 0 if it has nothing."""
    look = ctypes.pythonapi._PyType_Lookup
    look.restype, look.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.py_object]
    return look(kind, name) or 0


__all__ = ["Irregular", "Shortcut", "is_possible"]
