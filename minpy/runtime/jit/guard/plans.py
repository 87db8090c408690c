"""What one kernel was made for, laid out in the words that the guard compares with."""

from __future__ import annotations

import ctypes
import sys
from types import FrameType, ModuleType
from typing import Any

import numpy as np

from minpy.runtime.builtin import Kept
from minpy.runtime.jit.bind import Snapshot
from minpy.runtime.jit.guard import layout
from minpy.runtime.jit.guard.frames import Irregular, Places, object_at
from minpy.runtime.jit.helpers import GLOBAL
from minpy.runtime.jit.kernel import Kernel
from minpy.runtime.jit.kinds import CODES, UNBOUND
from minpy.runtime.jit.names import Names
from minpy.runtime.jit.values import ArrayVariable

UNKNOWN = 1e18  # nanoseconds that a round takes as written, if that was not measured: it is worth it


class Plan(Kept):
    """The tables of one kernel, for the objects that it was laid out with; they live as long as the plan."""

    def __init__(self, kernel: Kernel, frame: FrameType, names: Names, snapshot: Snapshot, what: int) -> None:
        code = kernel.code
        if code.sources or code.stacks or code.words > layout.MOST_WORDS:
            raise Irregular
        if any(each.rep not in layout.REPS for each in code.scalars):
            raise Irregular
        self.kernel = kernel
        super().__init__()
        self._rows: list[tuple[int, ...]] = []
        self._row_of: dict[Any, int] = {}
        self._places = Places(frame)
        self.words = np.zeros(layout.PLAN_WORDS, np.int64)
        self._figures = self.words.view(np.float64)
        axes = self._axes(snapshot.outer, what)
        template = np.zeros(code.words, np.int64)
        for variable in code.scalars:
            template[variable.slot + 1] = UNBOUND
        self._known(snapshot)
        self.came = self._arrays(snapshot, template)
        self._scalars(snapshot, names)
        self.lists = [(name, self._list(name)) for name, _ in code.lists]
        if len(self._rows) > layout.MOST_OBJECTS:
            raise Irregular
        words = self.words
        words[layout.CODE], words[layout.KERNEL] = self._of(frame.f_code), kernel.address
        words[layout.WORDS], words[layout.TEMPLATE] = code.words, self._at(template)
        self._put(layout.ROWS, self._rows)
        words[layout.CLEAN] = code.clean
        self._put(
            layout.WRITTEN,
            [(self._came(name), snapshot.values[name].itemsize) for name in sorted(code.written)],
        )
        sequences = [each for each in code.arrays if each.type.sequence]
        if any(each.assigned for each in sequences):
            raise Irregular
        arrays = [self._came(each.name) for each in code.arrays if each.comes_in and each not in sequences]
        self._put(layout.OWNED, [(row,) for row in (arrays if code.views else ())])
        self._put(layout.CAME, [(row,) for row in self.came])
        slots = {each.name: each.slot for each in code.arrays}
        self._put(layout.AXES, [(slots[name],) for name in axes])
        self._put(
            layout.LISTS, [(slot, row) for (_, slot), (_, row) in zip(code.lists, self.lists, strict=True)]
        )
        assigned = [each for each in code.scalars if each.assigned and each.rep]
        self._put(
            layout.SCALARS,
            [(each.slot, layout.REPS[each.rep], *self._variable(each.name)) for each in assigned],
        )
        made = [each for each in code.arrays if each.assigned]
        if len(made) > layout.MOST_MADE:
            raise Irregular
        rows = []
        for each in made:
            dtype = np.dtype(each.type.dtype)
            rows.append(
                (each.slot, each.type.ndim, *self._variable(each.name), self._of(dtype), dtype.itemsize)
            )
        self._put(layout.MADE, rows)
        self.set_figures(UNKNOWN, 0.0, 0.0)
        self.set_limit(None)
        self._places.check({row[1] for row in self._rows if row[0] == layout.FAST})
        del self._places  # it holds the frame
        self.address = words.ctypes.data

    def figure(self, word: int) -> int:
        """One of what is counted."""
        return int(self.words[word])

    def set_figures(self, per_round: float, least: float, per_byte: float) -> None:
        """In nanoseconds: what a round takes as written; what compiled runs must replace, and for each byte copied."""
        self._figures[layout.A_ROUND], self._figures[layout.LEAST] = per_round, least
        self._figures[layout.A_BYTE] = per_byte

    def set_limit(self, seconds: float | None) -> None:
        """Let Python be asked after so many more seconds of compiled runs."""
        more = 2**62 if seconds is None else int(1e9 * seconds)
        self.words[layout.LIMIT] = min(2**62, self.figure(layout.TOOK) + more)

    def _put(self, count: int, rows: list[tuple[int, ...]]) -> None:
        size = layout.ROW if count == layout.ROWS else 1 if not rows or len(rows[0]) == 1 else layout.ITEM
        array = np.zeros((max(1, len(rows)), size), np.int64)
        for row, given in zip(array, rows, strict=False):
            row[: len(given)] = given
        self.words[count], self.words[count + 1] = len(rows), self._at(array)

    # Rows.

    def _row(self, place: tuple[int, int, int], check: int, *more: int) -> int:
        """A row, or the one that says the same; its number."""
        row = (*place, check, *more)
        row = (*row, *([0] * (layout.ROW - len(row))))
        if row not in self._row_of:
            self._row_of[row] = len(self._rows)
            self._rows.append(row)
        return self._row_of[row]

    def _known(self, snapshot: Snapshot) -> None:
        for name, value in snapshot.known_objects.items():
            place = self._place(name)
            if id(value) in snapshot.helpers:
                self._row(place, layout.IS_FUNCTION, self._of(value), self._of(value.__code__))
            else:
                self._row(place, layout.THIS, self._of(value))

    def _arrays(self, snapshot: Snapshot, template: np.ndarray) -> list[int]:
        """Rows for the arrays that come in, and what is constant of their words; the rows' numbers."""
        came: list[int] = []
        for variable in self.kernel.code.arrays:
            if not variable.comes_in:
                template[variable.slot] = -1
                continue
            value = snapshot.values[variable.name]
            type_ = variable.type
            template[variable.slot] = template[variable.slot + 2] = len(came)
            if type_.sequence:
                came.append(self._sequence(variable))
                continue
            word = layout.array_word(type_.ndim, type_.unit, value.itemsize, type_.ones, type_.last)
            place = self._place(variable.name)
            came.append(self._row(place, layout.IS_ARRAY, self._of(value.dtype), word, variable.slot))
        return came

    def _sequence(self, variable: ArrayVariable) -> int:
        """A row for a string, bytes, or a list or tuple of numbers."""
        items, types = {
            ("uint32", "str"): (layout.CHARACTERS, (str,)),
            ("uint8", "int"): (layout.BYTES, (bytes,)),
            ("int64", "int"): (layout.INTEGERS, (list, tuple)),
            ("float64", "float"): (layout.FLOATS, (list, tuple)),
        }[variable.type.dtype, variable.type.kind]
        one, *other = map(self._of, types)
        return self._row(
            self._place(variable.name), layout.IS_SEQUENCE, one, items, variable.slot, *(other or (one,))
        )

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
                layout.IS_SCALAR,
                mask if variable.rep else 0,
                layout.REPS[variable.rep],
                variable.slot,
                int(variable.may_be_unbound or not variable.rep),
            )

    def _list(self, name: str) -> int:
        return self._row(self._place(name), layout.IS_LIST)

    @staticmethod
    def _axes(outer: tuple[Any, ...], what: int) -> list[str]:
        """The arrays that the loop runs over."""
        axes = {
            layout.RANGE: [] if outer == ("range",) else None,
            layout.WHILE: [] if outer == ("while",) else None,
            layout.ELEMENTS: [outer] if outer[0] == "array" else None,
            layout.ENUMERATE: [outer[1]] if outer[0] == "enumerate" else None,
            layout.ZIP: outer[1] if outer[0] == "zip" else None,
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
            return layout.ARGUMENT, int(inside[:-1]) if inside not in ("", "e") else 0, 0
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
            self._row(place, layout.THIS, self._of(value))
            return (layout.IN_DICT, self._of(vars(value)), key), vars(value)[name]
        kind = type(value)
        own = ctypes.pythonapi.PyObject_GenericGetDict
        own.restype, own.argtypes = ctypes.py_object, [ctypes.py_object, ctypes.c_void_p]
        try:
            if own(value, None) is not value.__dict__:
                raise Irregular
        except AttributeError:
            raise Irregular from None
        row = self._row(place, layout.HAS_TYPE, self._of(kind))
        # What the class says of these names decides whether the instance's own dictionary does.
        for each in (name, "__getattribute__", "__dict__"):
            found = _in_class(kind, each)
            if found:
                self._of(object_at(found))
            self._row((layout.IN_CLASS, row, self._of(sys.intern(each))), layout.THIS, found)
        return (layout.IN_INSTANCE, row, key), value.__dict__[name]

    def _variable(self, name: str) -> tuple[int, int]:
        """Where a variable that the loop sets is: its number and its key."""
        place, number, key = self._places.of(name, False)
        if place == layout.FAST:
            return number, 0
        if place != layout.GLOBAL:
            raise Irregular
        return layout.MODULES, self._of(key)


def _in_class(kind: type, name: str) -> int:
    """The identity of what a class has under a name; 0 if it has nothing."""
    look = ctypes.pythonapi._PyType_Lookup
    look.restype, look.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.py_object]
    return look(kind, name) or 0
