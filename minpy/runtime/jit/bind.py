"""Between the variables of a running frame and the words of a compiled loop."""

from __future__ import annotations

import builtins
import ctypes
import inspect
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, FrameType, FunctionType, ModuleType
from typing import Any

import numpy as np

from minpy.runtime.jit.draws import kind_of_source, source_of
from minpy.runtime.jit.expressions import BITS
from minpy.runtime.jit.far import Far, array_class
from minpy.runtime.jit.helpers import GLOBAL, Helper, helper_of
from minpy.runtime.jit.kinds import KIND_OF_TYPE, PYTHON, RANGES, Unsupported
from minpy.runtime.jit.lower import Entry
from minpy.runtime.jit.names import Names, NamesOf
from minpy.runtime.jit.stacks import kinds_of
from minpy.runtime.jit.undo import LEAST
from minpy.runtime.jit.unroll import MOST
from minpy.runtime.jit.values import ArrayType, small

MISSING = object()
# `np.dot` and its like have a type of their own in some versions of NumPy.
_KNOWN = (
    ModuleType,
    BuiltinFunctionType,
    FunctionType,
    type,
    np.ufunc,
    type(np.dot),
    type(np.sum),
    type(None),
)
_LONGEST = 1 << 16  # of a list that is copied at each entry
CO_OPTIMIZED = 0x1
WHILE = ("while",)  # what a loop runs over that runs over nothing


class Frame:
    """The variables of a running frame."""

    def __init__(self, frame: FrameType, names: Names) -> None:
        code = frame.f_code
        self.frame = frame
        self.locals = frame.f_locals
        self.optimized = bool(code.co_flags & CO_OPTIMIZED)
        if not self.optimized and self.locals is not frame.f_globals:
            raise Unsupported("a loop in the body of a class")
        self.fast = frozenset(code.co_varnames)
        self.cells = frozenset(code.co_cellvars) | frozenset(code.co_freevars)
        # A variable that is shared with a function inside is stored as any: while a piece runs nothing else does.
        if names.stored & frozenset(code.co_freevars):
            raise Unsupported("a variable is shared with a function around")

    def is_local(self, name: str) -> bool:
        """Whether a name is a variable of a function, and none of the module."""
        return self.optimized and (name in self.fast or name in self.cells)

    def get(self, name: str) -> Any:
        """What a name stands for, or `MISSING`."""
        if self.is_local(name):
            return self.locals.get(name, MISSING)
        return self.get_global(name)

    def is_stored_globally(self, name: str, stored: set[str]) -> bool:
        """Whether a loop that stores these names changes the module's variable `name`."""
        return name in stored and not self.is_local(name)

    def get_global(self, name: str) -> Any:
        """What a name stands for in the module."""
        value = self.frame.f_globals.get(name, MISSING)
        return getattr(builtins, name, MISSING) if value is MISSING else value

    def put(self, changes: dict[str, Any]) -> None:
        """Assign variables."""
        ours = {}
        for name, value in changes.items():
            if self.is_local(name):
                ours[name] = value
            else:
                self.frame.f_globals[name] = value
        if not ours:
            return
        self.locals.update(ours)
        if sys.version_info < (3, 13):
            # Before 3.13 f_locals is a copy; this writes it back, as debuggers do.
            ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(self.frame), ctypes.c_int(0))


class Snapshot:
    """What a loop meets at one moment: an `Entry`, the values, and a key of all but the kinds of the scalars."""

    def __init__(self, frame: Frame, names: Names, iterable: Any, site_digest: str = "") -> None:
        self.values: dict[str, Any] = {}
        self._scalars: dict[str, str] = {}
        self._arrays: dict[str, ArrayType] = {}
        self._known: dict[str, Any] = {}
        self._key: list[Any] = []
        self._names = names
        self.start = self.step = 0
        self.sources: list[Any] = []  # the sequences that are read, the lists and tuples themselves
        self.stacks: dict[str, Any] = {}  # lists that are taken from
        self.far = Far()
        self._class = array_class()
        self.outer = self._take_outer(iterable, "")
        for name in sorted(names.popped - {""}):
            self._take_stack(name, self._attribute(frame, name) if "." in name else frame.get(name))
        # What is stored before it is read may be anything: it makes no other code.
        for name in sorted(names.live):
            value = frame.get(name)
            if value is not MISSING and name not in self.stacks:
                self._take(name, value)
        for name in sorted(names.dotted):
            value = self._attribute(frame, name)
            if value is not MISSING and name not in self.stacks:
                self._take(name, value)
        self.lists: dict[str, list[Any]] = {}  # that are appended to, and nothing else
        for name in sorted(names.appended - self.stacks.keys()):
            self._take_list(name, self._attribute(frame, name) if "." in name else frame.get(name), iterable)
        if any(self._sequences(each, iterable) for each in self.stacks.values()):
            raise Unsupported("a list that is read and taken from under two names")
        self.helpers: dict[int, Helper] = {}
        for value in list(self._known.values()):
            self._take_helper(frame, value, site_digest)
        self._generalize()
        self.key = (self.outer, *self._key)

    def _generalize(self) -> None:
        """Where short extents turned out to differ from time to time, have one code for all of them."""
        names = self._names
        for name, type_ in self._arrays.items():
            names.lasts_vary |= names.lasts.setdefault(name, type_.last) != type_.last
        if names.lasts_vary:
            self._arrays = {name: type_._replace(last=0) for name, type_ in self._arrays.items()}
            self._key = [
                (each[0], self._arrays[each[0]]) if isinstance(each[1], ArrayType) else each
                for each in self._key
            ]

    def _take_list(self, name: str, value: Any, iterable: Any) -> None:
        if type(value) is not list or name in self._names.stored or self._sequences(value, iterable):
            return
        if any(each is value for each in (*self.lists.values(), *self.stacks.values())):
            raise Unsupported("a list that is appended to under two names")
        self.lists[name] = value
        self._key.append((name, "list"))

    def _take_stack(self, name: str, value: Any) -> None:
        found = kinds_of(value)
        if found is None or name in self._names.stored:
            return
        if any(each is value for each in self.stacks.values()):
            raise Unsupported("a list that is taken from under two names")
        self.stacks[name] = value
        self._key.append((name, "stack", *found))

    def _sequences(self, value: Any, over: Any) -> bool:
        """Whether a list is also read, in the loop or by it."""
        if type(over) is tuple and len(over) > 1 and over[0] in ("enumerate", "zip"):
            inner = over[1] if over[0] == "zip" else (over[1],)
            return any(self._sequences(value, each) for each in inner)
        return over is value or any(each is value for each in self.sources)

    def _take_helper(self, frame: Frame, value: Any, digest: str) -> None:
        """Take what a function of the program reads, if it can be part of the loop."""
        filename = frame.frame.f_code.co_filename
        helper = helper_of(value, filename, digest)
        if helper is None or id(value) in self.helpers or value.__globals__ is not frame.frame.f_globals:
            return
        self.helpers[id(value)] = helper
        self._key.append(("code", id(value), id(value.__code__)))
        names = NamesOf(helper.node.body)
        new: list[Any] = []
        for name in sorted((names.read | names.dotted) - helper.locals):
            if (
                name.partition(".")[0] in helper.locals
                or GLOBAL + name in self.values
                or GLOBAL + name in self._known
            ):
                continue
            if frame.is_stored_globally(name.partition(".")[0], self._names.stored):
                continue  # the loop changes what the function reads
            found = frame.get_global(name) if "." not in name else self._follow(frame.get_global, name)
            if found is not MISSING:
                self._take(GLOBAL + name, found, name in names.indexed)
                new.append(found)
        for each in new:
            self._take_helper(frame, each, digest)

    def entry(self) -> Entry:
        return Entry(
            dict(self._scalars),
            dict(self._arrays),
            dict(self._known),
            frozenset(self._names.stored),
            self.outer,
            dict(self.helpers),
            frozenset(self.lists),
            {name: self.values[name].shape for name in self._arrays},
            {name: kinds_of(value) or (-1, ()) for name, value in self.stacks.items()},
            {name: _span(self.values[name]) for name, each in self._arrays.items() if not each.sequence},
            tuple(
                (name, self.values[name])
                for name, kind in sorted(self._scalars.items())
                if kind == "int" and 0 < self.values[name] <= MOST
            ),
        )

    def lasting_key(self) -> str:
        """As `key`, for other processes."""
        named = [
            (
                name,
                getattr(value, "__module__", ""),
                getattr(value, "__qualname__", getattr(value, "__name__", "")),
                _definition(value),
            )
            for name, value in sorted(self._known.items())
        ]
        stored = sorted(self._names.stored)
        return repr(
            (
                self.outer,
                sorted(self.lists),
                [key for key in self._key if key[1:2] == ("stack",)],
                sorted(self._scalars.items()),
                sorted(self._arrays.items()),
                sum(self.values[name].nbytes for name, each in self._arrays.items() if not each.sequence)
                >= LEAST,
                named,
                stored,
            )
        )

    @property
    def kinds(self) -> tuple[tuple[str, str], ...]:
        """The kinds of the scalars."""
        return tuple(sorted(self._scalars.items()))

    @property
    def known_objects(self) -> dict[str, Any]:
        """The objects that the code is made for, by the names that they have in it."""
        return self._known

    def known(self, name: str) -> Any:
        """The object that a name stands for in the code."""
        return self._known[name]

    def kind(self, name: str) -> str | None:
        """The kind of the scalar that a name stands for."""
        return self._scalars.get(name)

    def _attribute(self, frame: Frame, name: str) -> Any:
        if name.partition(".")[0] in self._names.stored:
            return MISSING
        return self._follow(frame.get, name)

    @staticmethod
    def _follow(get: Callable[[str], Any], name: str) -> Any:
        root, *rest = name.split(".")
        value = get(root)
        for attribute in rest:
            if isinstance(value, ModuleType):
                value = value.__dict__.get(attribute, MISSING)
            elif (
                value is MISSING
                or isinstance(value, (np.ndarray, np.generic, type))
                or type(value) in (int, float)
            ):
                return MISSING
            else:
                # Only what the instance itself holds: nothing that runs when it is looked up.
                own = getattr(value, "__dict__", None)
                if type(own) is not dict or attribute not in own:
                    return MISSING
                if inspect.getattr_static(value, attribute, MISSING) is not own[attribute]:
                    return MISSING
                if type(value).__getattribute__ is not object.__getattribute__:
                    return MISSING
                value = own[attribute]
        return value

    def _take(self, name: str, value: Any, indexed: bool = False) -> None:
        indexed = indexed or name in self._names.indexed
        if type(value) is self._class and not value.scalar:
            value = self.far.window(value)
        kind = KIND_OF_TYPE.get(type(value))
        if kind == "str":
            kind = kind if not indexed and len(value) == 1 else None
        elif kind is not None and kind in RANGES and not RANGES[kind][0] <= value <= RANGES[kind][1]:
            return
        if kind is not None:
            self._scalars[name] = kind
            self.values[name] = value
            return
        found = array_of(value) if indexed or type(value) is np.ndarray else None
        if found is not None:
            self.sources.append(value)
            self._arrays[name], self.values[name] = found
            self._key.append((name, found[0]))
        elif isinstance(value, _KNOWN) or source_of(value) is not None:
            self._known[name] = value
            drawn = source_of(value) is not None
            self._key.append((name, *kind_of_source(value)) if drawn else (name, id(value)))

    def _take_outer(self, iterable: Any, path: str) -> tuple[Any, ...]:
        if type(iterable) is range:
            if not all(-(2**61) < each < 2**61 for each in (iterable.start, iterable.stop, iterable.step)):
                raise Unsupported("a range with very large numbers")
            self.start, self.step = iterable.start, iterable.step
            return ("range",)
        if iterable is WHILE:
            return WHILE
        if type(iterable) is tuple and iterable and iterable[0] == "enumerate":
            if type(iterable[2]) is not int or not -(2**61) < iterable[2] < 2**61:
                raise Unsupported("enumerate from something else than a number")
            self.start = iterable[2]
            return ("enumerate", self._take_outer(iterable[1], f"{path}e"))
        if type(iterable) is tuple and iterable and iterable[0] == "zip":
            if any(type(each) is range for each in iterable[1]):
                raise Unsupported("a loop over a zip with a range")
            return ("zip", tuple(self._take_outer(each, f"{path}{i}.") for i, each in enumerate(iterable[1])))
        found = array_of(iterable)
        if found is None:
            raise Unsupported(f"a loop over a {type(iterable).__name__}")
        name = f"<{path}>"
        self._arrays[name], self.values[name] = found
        self._key.append((name, found[0]))
        return ("array", name)


def array_of(value: Any) -> tuple[ArrayType, np.ndarray] | None:
    """The type of an array or a sequence of numbers, and the memory of it; None if it is neither."""
    if type(value) is np.ndarray:
        name = value.dtype.name
        if (
            name not in BITS
            or not value.dtype.isnative
            or not value.flags.aligned
            or not 1 <= value.ndim <= 8
        ):
            return None
        unit = value.strides[-1] == value.itemsize
        # Columns and rows meet other arrays, and are stretched.
        ones = tuple(axis for axis, dim in enumerate(value.shape) if dim == 1) if value.ndim > 1 else ()
        kind = "bool_" if name == "bool" else name
        last = small(value.shape[-1], value.ndim)
        return ArrayType(name, value.ndim, bool(unit), kind, False, ones, last), value
    if type(value) is bytes:
        return ArrayType("uint8", 1, True, "int", True), np.frombuffer(value, np.uint8)
    if type(value) is str:
        codes = np.frombuffer(value.encode("utf-32-le", "surrogatepass"), np.uint32)
        return ArrayType("uint32", 1, True, "str", True), codes
    if type(value) in (list, tuple) and 0 < len(value) <= _LONGEST:
        types = set(map(type, value))
        if types == {float}:
            return ArrayType("float64", 1, True, "float", True), np.array(value)
        if types == {int}:
            try:
                return ArrayType("int64", 1, True, "int", True), np.array(value, np.int64)
            except OverflowError:
                return None
    return None


__all__ = ["PYTHON", "Frame", "Snapshot", "array_of"]


def _span(array: np.ndarray) -> tuple[int, int]:
    """The addresses between which an array lies."""
    start = array.ctypes.data if array.size else 0
    reaches = (
        [(extent - 1) * stride for extent, stride in zip(array.shape, array.strides, strict=True)]
        if start
        else []
    )
    low, high = sum(min(each, 0) for each in reaches), sum(max(each, 0) for each in reaches)
    return start + low, start + high + (array.itemsize if start else 0)


def _definition(value: Any) -> tuple[Any, ...]:
    """What tells functions of one name in one file from each other; empty for what is not written in Python."""
    code = getattr(value, "__code__", None)
    if code is None:
        return ()
    constants = [each for each in code.co_consts if not hasattr(each, "co_code")]
    return code.co_firstlineno, code.co_code, code.co_names, code.co_varnames, repr(constants)
