"""What a loop under a tape finds when it is come to: its variables as numbers and plain arrays."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import numpy as np

from minpy.runtime.array import Array
from minpy.runtime.geometry import bounds
from minpy.runtime.jit.adjoint.nodes import FLOAT, INT, Kind
from minpy.runtime.jit.bind import MISSING, Frame, Snapshot, array_of
from minpy.runtime.jit.helpers import Helper, helper_of
from minpy.runtime.jit.kinds import BOOLS, INTS, KIND_OF_TYPE, Unsupported
from minpy.runtime.jit.names import Names, own_names
from minpy.runtime.tape import Tape

_DOUBLE = np.dtype(np.float64)


class Over:
    """What a loop runs over: a range, or arrays and lists, whose elements are taken by number.

    Attributes
    ----------
    rounds : range
        The numbers of a range, else those of the rounds.
    arrays : list
        The arrays and lists.
    shape : str
        ``"range"``, ``"iter"``, ``"enumerate"`` or ``"zip"``.
    """

    def __init__(self, shape: str, rounds: range, arrays: list[Any]) -> None:
        self.shape, self.rounds, self.arrays = shape, rounds, arrays
        self.names = [f".over.{i}" for i in range(len(arrays))]

    @classmethod
    def of(cls, over: Any) -> Over | None:
        """As a site has it; None if it is anything else, or over before it begins to pay."""
        if type(over) is range:
            return cls("range", over, []) if 1 < len(over) < 1 << 60 else None
        shape, arrays = "iter", [over]
        if type(over) is tuple and over and over[0] == "enumerate":
            if over[2] != 0:
                return None
            shape, arrays = "enumerate", [over[1]]
        elif type(over) is tuple and len(over) == 2 and over[0] == "zip" and type(over[1]) is tuple:
            shape, arrays = "zip", list(over[1])
        for each in arrays:
            if type(each) not in (Array, np.ndarray, list, tuple) or (
                hasattr(each, "ndim") and each.ndim != 1
            ):
                return None
        count = min(map(len, arrays), default=0)
        return cls(shape, range(count), arrays) if count > 1 else None

    def items(self, position: int) -> Iterator[Any]:
        """What the loop takes from `position` on, as the interpreter would."""
        if self.shape == "range":
            return iter(self.rounds[position:])
        parts = [_items(each, position) for each in self.arrays]
        if self.shape == "zip":
            return zip(*parts, strict=False)
        return enumerate(parts[0], position) if self.shape == "enumerate" else parts[0]


def _items(array: Any, position: int) -> Iterator[Any]:
    if type(array) is Array:
        return (array[i] for i in range(position, len(array)))
    iterator = iter(array)
    iterator.__setstate__(position)  # type: ignore[attr-defined]
    return iterator


class Entry:
    """What a loop finds when it is come to: its variables as numbers and plain arrays.

    `arrays` are the program's `Array` objects by name (0-d ones are values on the tape), `plain` its plain arrays.
    """

    def __init__(self, frame: Any, names: Names, tape: Tape, digest: str, over: Over) -> None:
        self.over = over
        self._frame, self._digest = frame, digest
        self._variables = Frame(frame, names)
        self._tape = tape
        self.values: dict[str, Any] = {}
        self.arrays: dict[str, Array] = {}
        self.plain: dict[str, np.ndarray] = {}
        self._groups: list[tuple[int, int, bool]] = []
        self._seen: dict[str, Kind | None] = {}

    def known(self, name: str) -> Any:
        """The object of a dotted name that is no variable of the loop."""
        return self._variables.get(name)

    def look(self, name: str) -> Kind | None:
        """What a name stands for; see `Program`."""
        if name not in self._seen:
            self._seen[name] = self._look(name)
        return self._seen[name]

    def _look(self, name: str) -> Kind | None:
        if name in self.over.names:
            return self._kind(name, self.over.arrays[self.over.names.index(name)])
        owner, _, axis = name.partition(".shape.")
        value = (
            self._variables.get(owner) if "." not in owner else Snapshot._follow(self._variables.get, owner)
        )
        if axis:
            shape = getattr(value, "shape", ())
            if type(value) not in (Array, np.ndarray) or not -len(shape) <= int(axis) < len(shape):
                return None
            self.values[name] = shape[int(axis)]
            return Kind(INT)
        return self._kind(name, value)

    def _kind(self, name: str, value: Any) -> Kind | None:
        if value is MISSING:
            return None
        if type(value) is Array:
            return self._array(name, value)
        kind = KIND_OF_TYPE.get(type(value))
        if kind is not None:
            if kind in INTS or kind in BOOLS:
                self.values[name] = value
                return Kind(INT)
            if kind in ("float", "float64"):
                self.values[name] = value
                root = name.partition(".")[0]
                module = root != name and isinstance(self._variables.get(root), type(np))
                return Kind(FLOAT, fixed=bool(module), value=value)
            raise Unsupported(f"{name} is a {kind}")
        if type(value) in (np.ndarray, list, tuple):
            found = array_of(value)
            if found is None:
                raise Unsupported(f"{name} is no array of numbers")
            return self._plain(name, value, found[1])
        return Kind("known", value=value)

    def _array(self, name: str, value: Array) -> Kind:
        storage, window = value.storage, value.window
        remote = storage.remote
        if remote is not None and (remote.handle is not None or not remote.host_ok):
            raise Unsupported(f"{name} is on a device")
        kind = self._kind_of(name, window)
        active = kind == FLOAT and self._tape.watches(storage)
        if active and window.dtype not in (_DOUBLE, np.dtype(np.float32)):
            raise Unsupported(f"{name} is {window.dtype}")
        if value.scalar:
            if window.dtype == np.float32:
                raise Unsupported(f"{name} is float32")
            self.values[name] = window.item() if type(value.scalar) is int else window[()]
            if active:
                self.arrays[name] = value
            return Kind(kind, active=active)
        if active and storage.host.dtype is not window.dtype:
            raise Unsupported(f"{name} is a view of other elements")
        self.values[name] = window
        self.arrays[name] = Array(window, storage, False, value.path)
        return Kind(kind, window.ndim, self._group(window, True), active)

    def _plain(self, name: str, value: Any, memory: np.ndarray) -> Kind:
        kind = self._kind_of(name, memory)
        if type(value) is np.ndarray:
            self.values[name] = self.plain[name] = value
            return Kind(kind, value.ndim, self._group(value, False), plain=True)
        self.values[name] = tuple(value)  # as it is now
        return Kind(kind, 1, self._group(memory, False), plain=True, fixed=True)

    @staticmethod
    def _kind_of(name: str, array: np.ndarray) -> str:
        if array.dtype.kind in "iub":
            return INT
        if array.dtype.char in "fd":
            return FLOAT
        raise Unsupported(f"{name} is {array.dtype}")

    def _group(self, array: np.ndarray, traced: bool) -> int:
        """The number of the memory; what overlaps has one number."""
        if not array.size:
            self._groups.append((0, 0, traced))
            return len(self._groups) - 1
        low, high = bounds(array)
        met = [i for i, (start, end, _) in enumerate(self._groups) if low < end and start < high]
        if len(met) > 1 or any(self._groups[i][2] is not traced for i in met):
            raise Unsupported("arrays that share memory in several ways")
        if met:
            start, end, _ = self._groups[met[0]]
            self._groups[met[0]] = (min(low, start), max(high, end), traced)
            return met[0]
        self._groups.append((low, high, traced))
        return len(self._groups) - 1

    def helper(self, name: str) -> Helper | None:
        """The function of the program's that a name stands for, if its code can be part of the loop."""
        kind, frame = self.look(name), self._frame
        function = kind.value if kind is not None and kind.kind == "known" else None
        found = helper_of(function, frame.f_code.co_filename, self._digest, rest=True)
        if found is None or function.__globals__ is not frame.f_globals:
            return None
        own = own_names(found.node.body)
        inside = {
            each.id
            for part in found.node.body
            for each in ast.walk(part)
            if isinstance(each, ast.Name) and each not in own
        }
        if any(self._variables.is_local(each) for each in inside - found.locals):
            raise Unsupported(f"{name} reads what has another meaning here")
        return found

    def is_known(self, name: str) -> bool:
        """Whether a name stands for a function or a module."""
        kind = self.look(name)
        return kind is not None and kind.kind == "known"

    def objects(self) -> list[Any]:
        """The objects whose identities are in the key."""
        return [kind.value for kind in self._seen.values() if kind is not None and kind.kind == "known"]

    def put(self, changes: dict[str, Any]) -> None:
        """Set variables of the frame."""
        self._variables.put(changes)

    def key(self, but: frozenset[str] | set[str] = frozenset()) -> tuple[Any, ...]:
        """What the text of the loops depends on; the variables `but` may be active or not."""

        def of(name: str, kind: Kind | None) -> tuple[Any, ...]:
            if kind is None:
                return (name,)
            value = id(kind.value) if kind.kind == "known" else kind.value if kind.fixed else None
            active = kind.active and name not in but
            return name, kind.kind, kind.ndim, kind.group, active, kind.plain, kind.fixed, value

        return tuple(of(*each) for each in sorted(self._seen.items()))
