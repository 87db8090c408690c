"""Where the program holds arrays: names, attributes, items and closures, found by a walk, and exchanged in place.

Two things need it. A traced value that is written into a *plain* array makes an `Array` of that array wherever the
program holds it, if every reference to its memory can be accounted for (`minpy.runtime.adoption`). And what a
differentiated function leaves behind becomes plain again when the outermost derivative is done
(`minpy.autodiff.afterwards`).
"""

from __future__ import annotations

import ctypes
import functools
import inspect
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from minpy.runtime.array import Array

# Objects that are looked at, at most: a walk costs some 0.1 µs for each.
BUDGET = 200_000

# What holds no array that a name of the program's could lead to.
_ATOMS = frozenset(
    (int, float, complex, str, bytes, bool, type(None), type(Ellipsis), type(NotImplemented), bytearray, range, slice,
     types.CodeType, types.BuiltinFunctionType, types.GetSetDescriptorType, types.MemberDescriptorType, np.ufunc,
     np.dtype, np.float64, np.float32, np.int64, np.int32, np.bool_, np.random.Generator, np.random.RandomState)
)  # fmt: skip
_HEAP = 1 << 9  # Py_TPFLAGS_HEAPTYPE
SEALED = sys.version_info < (3, 13)  # f_locals is a copy, and writing it back is a call

Leaf = Callable[[Any, Any, Any], None]


class Walk:
    """A walk over what can be reached from `roots`.

    Parameters
    ----------
    leaf : callable
        Called as ``leaf(array, holder, key)`` for every reference to an array (plain, or an `Array`) that is found.
        `exchange` puts something else in its place.
    stop : callable, optional
        Asked from time to time; the walk ends when it says True.

    Attributes
    ----------
    complete : bool
        Everything was seen: the budget was enough.
    parents : dict
        Where tuples are held, by their ids: a tuple is exchanged as a whole.
    """

    def __init__(self, leaf: Leaf, stop: Callable[[], bool] | None = None) -> None:
        self.leaf, self.stop = leaf, stop
        self.complete = True
        self.parents: dict[int, list[tuple[Any, Any]]] = {}
        self._seen: set[int] = set()
        # Kept alive, so that an id stays theirs.
        self._queue: deque = deque()
        self._done: list[Any] = []
        self._left = BUDGET
        # Variables of frames that live in cells, by name and value: the cell itself may be found as well.
        self._cells: dict[tuple[str, int], Any] = {}

    def push(self, value: Any) -> None:
        """Look at `value` too."""
        if type(value) not in _ATOMS and id(value) not in self._seen:
            self._seen.add(id(value))
            self._queue.append(value)

    def first(self, value: Any) -> bool:
        """Whether `value` was not looked at before; it counts as looked at from now on."""
        if id(value) in self._seen:
            return False
        self._seen.add(id(value))
        self._done.append(value)
        return True

    def run(self) -> None:
        """Walk."""
        queue = self._queue
        while queue:
            if self._left < 0 or (self.stop is not None and self.stop()):
                self.complete = self._left >= 0
                return
            value = queue.popleft()
            self._done.append(value)
            self._look(value)

    def item(self, value: Any, holder: Any, key: Any) -> None:
        """One reference."""
        self._left -= 1
        kind = type(value)
        if kind in _ATOMS:
            return
        if kind is Array or kind is np.ndarray or (issubclass(kind, np.ndarray)):
            self.leaf(value, holder, key)
        else:
            if issubclass(kind, tuple):
                self.parents.setdefault(id(value), []).append((holder, key))
            if id(value) not in self._seen:
                self._seen.add(id(value))
                self._queue.append(value)

    def _look(self, value: Any) -> None:
        kind = type(value)
        look = _LOOKS.get(kind)
        if look is not None:
            look(self, value)
            return
        if isinstance(value, dict):
            self._dict(value)
        elif isinstance(value, (list, tuple, deque)):
            self._sequence(value)
        elif isinstance(value, type):
            if is_programs(sys.modules.get(value.__module__) or {"__name__": value.__module__}):
                for name, part in list(vars(value).items()):
                    self.item(part, value, name)
            return
        if kind.__flags__ & _HEAP:
            may_hold = _may_hold.get(kind)
            if may_hold is None:
                may_hold = _may_hold[kind] = kind.__module__ in _PLAIN_HOLDERS or is_programs(
                    sys.modules.get(kind.__module__, {})
                )
            if may_hold:
                self._instance(value, kind)

    def _dict(self, value: dict) -> None:
        self._left -= len(value)
        for key, part in list(value.items()) if self._left > 0 else ():
            if type(part) not in _ATOMS:
                self.item(part, value, key)
            if type(key) is tuple:
                self.push(key)

    def _sequence(self, value: Any) -> None:
        self._left -= len(value)
        if self._left > 0:
            for i, part in enumerate(value):
                if type(part) not in _ATOMS:
                    self.item(part, value, i)

    def _set(self, value: Any) -> None:
        self._left -= len(value)
        for part in list(value) if self._left > 0 else ():
            self.item(part, value, None)

    def _cell(self, value: types.CellType) -> None:
        try:
            part = value.cell_contents
        except ValueError:
            return  # empty
        self.item(part, value, None)

    def _function(self, value: types.FunctionType) -> None:
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            try:
                self._cells[name, id(cell.cell_contents)] = cell
            except ValueError:
                continue
            self.push(cell)
        for part in (value.__defaults__, value.__kwdefaults__, value.__dict__):
            if part:
                self.push(part)
        if is_programs(value.__globals__):
            self.push(value.__globals__)

    def _method(self, value: types.MethodType) -> None:
        self.item(value.__self__, value, None)
        self.push(value.__func__)

    def _wrapped(self, value: Any) -> None:
        self.push(value.__func__)

    def _property(self, value: property) -> None:
        for part in (value.fget, value.fset, value.fdel):
            self.push(part)

    def _partial(self, value: functools.partial) -> None:
        for part in (value.func, value.args, value.keywords):
            self.push(part)

    def _module(self, value: types.ModuleType) -> None:
        if is_programs(value):
            self.push(value.__dict__)

    def _generator(self, value: types.GeneratorType) -> None:
        if value.gi_frame is not None:
            self.frame(value.gi_frame)

    def _instance(self, value: Any, kind: type) -> None:
        if kind.__dictoffset__:
            self.push(value.__dict__)
        for cls in kind.__mro__:
            for member in vars(cls).values() if cls.__flags__ & _HEAP else ():
                if type(member) is types.MemberDescriptorType and member.__objclass__ is cls:
                    try:
                        part = member.__get__(value)
                    except AttributeError:
                        continue
                    self.item(part, value, member)

    def frame(self, frame: types.FrameType, deep: bool = True, keep: bool = False) -> None:
        """The variables of a call, and what they hold if `deep`; the holder is None if they are to be kept."""
        if not self.first(frame):
            return  # a generator that runs is found as a call as well
        code = frame.f_code
        if not code.co_flags & inspect.CO_OPTIMIZED:
            if deep:
                self.push(frame.f_locals)  # a module's or a class body's own
            return
        in_cells = {*code.co_cellvars, *code.co_freevars}
        variables = frame.f_locals
        for name in list(variables):
            part = variables[name]
            if name in in_cells:
                self._cells.setdefault((name, id(part)), frame)
            elif deep or isinstance(part, np.ndarray):
                self.item(part, None if keep else frame, name)
            del part
        if SEALED:
            variables.clear()  # the copy stays with the frame, and would count as a holder

    def cells(self) -> None:
        """Call `leaf` for what frames hold in cells that no function was found for; to be called after `run`."""
        for (name, _), holder in list(self._cells.items()):
            if not isinstance(holder, types.CellType):
                variables = holder.f_locals
                part = variables.get(name)
                if type(part) not in _ATOMS:
                    self.item(part, holder, name)
                del part
                if SEALED:
                    variables.clear()


_LOOKS: dict[type, Callable[[Walk, Any], None]] = {
    dict: Walk._dict,
    list: Walk._sequence,
    tuple: Walk._sequence,
    deque: Walk._sequence,
    set: Walk._set,
    frozenset: Walk._set,
    types.CellType: Walk._cell,
    types.FunctionType: Walk._function,
    types.MethodType: Walk._method,
    staticmethod: Walk._wrapped,
    classmethod: Walk._wrapped,
    property: Walk._property,
    functools.partial: Walk._partial,
    types.ModuleType: Walk._module,
    types.GeneratorType: Walk._generator,
}


def can_exchange(holder: Any) -> bool:
    """Whether `exchange` can put something else into this holder."""
    return not isinstance(holder, (tuple, frozenset, set, types.MethodType))


def exchange(holder: Any, key: Any, new: Any) -> None:
    """Put `new` where a walk found an array."""
    if isinstance(holder, types.FrameType):
        variables = holder.f_locals
        variables[key] = new
        if SEALED:
            ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(holder), ctypes.c_int(0))
            variables.clear()
    elif isinstance(holder, types.CellType):
        holder.cell_contents = new
    elif isinstance(holder, dict):
        dict.__setitem__(holder, key, new)
    elif isinstance(holder, list):
        list.__setitem__(holder, key, new)
    elif isinstance(holder, deque):
        holder[key] = new
    elif isinstance(holder, type):
        type.__setattr__(holder, key, new)
    else:
        key.__set__(holder, new)


def at(holder: Any, key: Any) -> Any:
    """What is there now; None where there is nothing any more."""
    try:
        if isinstance(holder, types.FrameType):
            variables = holder.f_locals
            found = variables.get(key)
            if SEALED and holder.f_code.co_flags & inspect.CO_OPTIMIZED:
                variables.clear()
            return found
        if isinstance(holder, types.CellType):
            return holder.cell_contents
        if isinstance(holder, (dict, list, deque)):
            return type(holder).__getitem__(holder, key)
        if isinstance(holder, type):
            return vars(holder).get(key)
        return key.__get__(holder)
    except (LookupError, ValueError, AttributeError):
        return None


def frames(start: types.FrameType | None) -> Iterator[types.FrameType]:
    """The frames from `start` outwards."""
    while start is not None:
        yield start
        start = start.f_back


# Classes, by whether a program's arrays are attributes of their instances: its own classes, and a few of the standard
# library, but not what the machinery around a program is made of.
_may_hold: WeakKeyDictionary[type, bool] = WeakKeyDictionary()
_PLAIN_HOLDERS = frozenset(("argparse", "collections", "types", "threading", "_thread"))

_LIBRARIES = ("site-packages", "dist-packages")


def is_programs(module: Any) -> bool:
    """Whether a module (or its globals) is part of the program, and not of a library."""
    if not module:
        return True  # a module that was made by hand, or is gone
    names = module if isinstance(module, dict) else vars(module)
    name = names.get("__name__") or ""
    if name.startswith("minpy.nn."):
        return True  # written as programs are: its models and solvers hold their arrays
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names and top != "__main__":
        return False
    if top in ("numpy", "minpy", "mxnet"):
        return False
    file = names.get("__file__") or ""
    return not any(folder in file for folder in _LIBRARIES)
