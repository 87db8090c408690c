"""Writes into plain arrays while a tape is open.

An array that rewritten code makes while a tape records is an `Array`, and its writes are on the tape. A
*plain* array (a global, an attribute, an argument that is not differentiated, the result of an operator on
plain arrays) may be an operand of a record as well. If it is overwritten before the reverse sweep, the
record must still find what it saw: so what a write is about to overwrite is put on the tape first, and the
sweep takes the write back and does it again, as it does for an `Array`.

Rewritten code passes here only while a tape is open in some thread. Whatever is not a plain array, or where
no tape is open in this context, comes back as it is.
"""

from __future__ import annotations

import operator
import sys
from typing import Any, NoReturn
from weakref import ref

import numpy as np

from minpy.errors import TraceError
from minpy.runtime import adoption, dispatch
from minpy.runtime.array import Array, host
from minpy.runtime.geometry import is_basic
from minpy.runtime.record import Line, Write, current_tape, parts_of, replace_in, tape_of
from minpy.runtime.storage import Storage


def is_plain(value: Any) -> bool:
    """Whether `value` is an array of NumPy's own (or of a subclass), and no `Array`."""
    kind = type(value)  # not isinstance: an Array says that it is an ndarray
    return kind is np.ndarray or issubclass(kind, np.ndarray)


# ----- what rewritten code calls ------------------------------------------------------------------


def at(target: Any) -> Any:
    """What ``target[index] = value``, ``target.sort()``, ``target.logpdf(x)`` and the like are done on."""
    kind = type(target)
    if kind is Array or current_tape() is None:
        return target
    if is_plain(target):
        return _Plain(target)
    if kind is np.flatiter:
        return _Flat(target)
    if str(kind.__module__).startswith("scipy.stats"):
        from minpy.runtime import scientific

        return scientific.distribution(target)
    return target


def within(target: Any) -> Any:
    """What ``target[index] += value`` is done on: the item may be a plain array, whatever `target` is."""
    if current_tape() is None or type(target) is Array:
        return target
    return _Holder(target)


def held(target: Any) -> Any:
    """What ``target.name += value`` is done on."""
    if current_tape() is None or type(target) is Array:
        return target
    proxy = _Attributes.__new__(_Attributes)
    _TARGET.__set__(proxy, target)
    return proxy


def before(target: Any, *value: Any) -> Any:
    """Log `target`, which is about to be changed in place; return `value`, False if none is given."""
    log(target)
    return value[0] if value else False


def exposed(value: Any) -> Any:
    """Log `value` (or the arrays in a tuple or list), which is handed to a call that writes into it; return it."""
    if type(value) in (tuple, list):
        for each in value:
            log(each)
    else:
        log(value)
    return value


# ----- the log ------------------------------------------------------------------------------------


def log(array: Any, index: Any = None) -> None:
    """Put on the open tape what a write to ``array[index]`` (all of it if None) is about to overwrite.

    Does nothing without a tape, for what is no plain array, and where the write will raise.
    """
    tape = current_tape()
    if tape is None or not is_plain(array):
        return
    # A view of our own: later changes of the array's shape or flags do not concern it.
    view = array.view(np.ndarray)
    if not view.flags.writeable or view.dtype.hasobject:
        return
    if type(array.base) is np.nditer:
        view = _outlasting(view, array.base)
    if index is not None:
        try:
            view, index = _region(view, host(index))
            old = view.copy() if index is None else view[index]
        except (IndexError, TypeError, ValueError):
            return  # the write raises the same
    else:
        old = view.copy()
    tape.append(Write(Array(view, storage_of(view)), index, None, old))


class _Window:
    """What an array made of it keeps alive: the memory that it looks at."""

    def __init__(self, view: np.ndarray, memory: np.ndarray) -> None:
        self.__array_interface__, self.memory = view.__array_interface__, memory


def _outlasting(view: np.ndarray, iterator: Any) -> np.ndarray:
    """The same elements as `view`, which ``numpy.nditer`` gave out and which does not keep its memory alive."""
    for operand in iterator.operands:
        if np.may_share_memory(operand, view):
            return np.asarray(_Window(view, operand))
    raise TraceError(
        f"numpy.nditer with a buffer is written to while something is being differentiated, at {Line()}: the tape "
        "cannot know which elements of the array change. Leave out the flag 'buffered' and op_dtypes, or write into "
        "the array by index"
    )


# The storages of plain memory, by the array that owns it: writes that overlap are writes to one storage. An
# entry counts as long as a tape, or a differentiated argument, refers to the storage, and the storage keeps
# the array alive.
_storages: dict[int, ref[Storage]] = {}
_due = 256  # entries at which those that do not count are looked for


def adopt(storage: Storage) -> None:
    """Make `storage`, of a differentiated argument, the one that plain writes to the same memory belong to."""
    if storage.host.base is None:
        _keep(storage.host, storage)


def _keep(owner: np.ndarray, storage: Storage) -> None:
    global _due
    if len(_storages) >= _due:
        for key, known in tuple(_storages.items()):
            if known() is None and _storages.get(key) is known:
                _storages.pop(key, None)
        _due = max(256, 2 * len(_storages))
    _storages[id(owner)] = ref(storage)


def storage_of(view: np.ndarray) -> Storage:
    """The storage of the memory that a plain array is a view of."""
    owner: Any = view
    while is_plain(owner.base):
        owner = owner.base
    known = _storages.get(id(owner))
    found = None if known is None else known()
    if found is None:
        whole = owner.view(np.ndarray)
        if not whole.flags.writeable or whole.dtype.hasobject:
            return Storage(view)
        found = Storage(whole)
        _keep(owner, found)
        found.shared = True  # the program holds the memory itself
    return found


def _region(view: np.ndarray, index: Any) -> tuple[np.ndarray, Any]:
    """The smallest view that holds ``view[index]``, and the index into it if it is not the whole view."""
    if is_basic(index):
        part = index if type(index) is tuple else (index,)
        # An Ellipsis keeps the result a view where the index alone would give a scalar.
        return view[part if any(p is Ellipsis for p in part) else (*part, Ellipsis)], None
    if view.dtype.names is not None:
        return view, None
    return view, _frozen(index)


def _frozen(index: Any) -> Any:
    """An index that does not change when the program writes into the arrays it was made of."""
    if isinstance(index, np.ndarray):
        return index.copy()
    if type(index) is tuple:
        return tuple(map(_frozen, index))
    return index


def _carries(array: Any, value: Any) -> bool:
    """Whether a gradient flows through a write of `value` into the plain `array`."""
    return type(value) is Array and array.dtype.kind in "fcV" and tape_of(value.storage) is not None


def _plain_value(array: Any, value: Any) -> Any:
    """`value` as it is written into a plain array; what integers keep of a number is piecewise constant."""
    return value if type(value) is not Array or array.dtype.hasobject else host(value)


def _refuse(array: Any, value: Array) -> NoReturn:
    raise TraceError(
        f"a value that is being differentiated (shape {value.shape}, {value.dtype}) would be written into "
        "a plain array "
        f"(shape {array.shape}, {array.dtype}), at {Line()}. Make the array inside the differentiated function "
        "(np.zeros, np.array(a), …), or pass it as an argument that is differentiated; "
        f"use minpy.stop_gradient(x) if no gradient should flow.{adoption.advice()}".rstrip(".")
    )


# ----- what stands for a target -------------------------------------------------------------------


class _Plain:
    """A plain array, for one statement that writes into it."""

    __slots__ = ("_array",)

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __setitem__(self, index: Any, value: Any) -> None:
        array = self._array
        if _carries(array, value):
            active = adoption.adopt(array)
            if active is None:
                _refuse(array, value)
            active[index] = value
            return
        value = _plain_value(array, value)
        log(array, index)
        array[host(index)] = value

    def __getattr__(self, name: str) -> Any:
        return getattr(self._array, name)

    def dot(self, b: Any, out: Any = None) -> Any:
        """As ``numpy.ndarray.dot``, which would make a plain array of `b`."""
        if out is not None:
            log(out)
        keywords = {} if out is None else {"out": out}
        return dispatch.apply("dot", self._array, b, **keywords)

    def resize(self, *shape: Any, refcheck: bool = True) -> None:
        """As ``numpy.ndarray.resize``; the memory may move, so nothing on the tape may be a view of it."""
        array, self._array = self._array, None
        tape = current_tape()
        if tape is not None and _is_known(tape, array):
            raise TraceError(
                f"an array of which the tape holds a view (shape {array.shape}, {array.dtype}) would be "
                "resized in place, "
                f"at {Line()}. Use np.resize(a, shape), or make a new array"
            )
        # NumPy counts who refers to the array; here that is this function as well, and the interpreter's own reference.
        if refcheck and sys.getrefcount(array) <= 4:
            refcheck = False
        array.resize(*shape, refcheck=refcheck)


def _is_known(tape: Any, array: np.ndarray) -> bool:
    def shares(value: Any) -> bool:
        if type(value) is Array:
            return np.may_share_memory(value.window, array)
        return isinstance(value, np.ndarray) and np.may_share_memory(value, array)

    while tape is not None:
        if any(shares(part) for record in tape.records for part in parts_of(record)):
            return True
        tape = tape.outer
    return False


def _logged_method(name: str) -> Any:
    def method(self: _Plain, *args: Any, **kwargs: Any) -> Any:
        function = getattr(self._array, name)  # itemset went with NumPy 2
        if name in ("fill", "itemset", "put", "setfield"):
            for value in args:
                if _carries(self._array, value):
                    del function
                    active = adoption.adopt(self._array) if name in ("fill", "put") else None
                    if active is None:
                        _refuse(self._array, value)
                    return getattr(active, name)(*args, **kwargs)
        log(self._array)
        return function(*[host(a) for a in args], **{key: host(a) for key, a in kwargs.items()})

    method.__name__, method.__doc__ = name, f"As ``numpy.ndarray.{name}``."
    return method


for _name in ("sort", "partition", "fill", "put", "itemset", "setfield", "byteswap"):
    setattr(_Plain, _name, _logged_method(_name))


def _written_attribute(name: str) -> property:
    def write(self: _Plain, value: Any) -> None:
        array = self._array
        if _carries(array, value):
            active = adoption.adopt(array)
            if active is None:
                _refuse(array, value)
            setattr(active, name, value)
            return
        log(array)
        setattr(array, name, _plain_value(array, value))

    return property(lambda self: getattr(self._array, name), write)


def _geometry_attribute(name: str) -> property:
    def change(self: _Plain, value: Any) -> None:
        array = self._array
        seen = array.view()
        setattr(array, name, host(value))
        # What was recorded before refers to the array as it was.
        replace_in(current_tape(), array, seen)

    return property(lambda self: getattr(self._array, name), change)


for _name in ("flat", "real", "imag"):
    setattr(_Plain, _name, _written_attribute(_name))
for _name in ("shape", "dtype", "strides"):
    setattr(_Plain, _name, _geometry_attribute(_name))
del _name


class _Flat:
    """``a.flat`` of a plain array, for one statement."""

    __slots__ = ("_flat",)

    def __init__(self, flat: np.flatiter) -> None:
        self._flat = flat

    def __setitem__(self, index: Any, value: Any) -> None:
        if _carries(self._flat.base, value):
            active = adoption.adopt(self._flat.base)
            if active is None:
                _refuse(self._flat.base, value)
            active.flat[index] = value
            return
        log(self._flat.base)
        self._flat[host(index)] = _plain_value(self._flat.base, value)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._flat, name)


class _Holder:
    """Anything with items, for one augmented assignment to an item."""

    __slots__ = ("_logged", "_target")

    def __init__(self, target: Any) -> None:
        self._target = target
        self._logged = None

    def __getitem__(self, index: Any) -> Any:
        target = self._target
        plain = is_plain(target)
        item = target[host(index) if plain else index]
        if not is_plain(item) or (plain and not is_basic(index)):
            return item
        if plain:
            self._logged = item
        return _Item(item, self)

    def __setitem__(self, index: Any, value: Any) -> None:
        if type(value) is Array and value.window is self._logged:
            return  # onto itself: the work is done
        if self._logged is not None and value is self._logged:
            self._target[host(index)] = value  # onto itself: the work is done
        else:
            at(self._target)[index] = value


class _Attributes:
    """Anything with attributes, for one augmented assignment to an attribute."""

    __slots__ = ("_target",)

    def __getattribute__(self, name: str) -> Any:
        value = getattr(_TARGET.__get__(self), name)
        return _Item(value, self) if is_plain(value) else value

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_TARGET.__get__(self), name, value)


# Their own attribute, out of reach of the attributes of what they stand for.
_TARGET: Any = _Attributes.__dict__["_target"]


class _Item:
    """A plain array between the two halves of an augmented assignment; only the interpreter sees it."""

    __slots__ = ("_array", "_holder")

    def __init__(self, array: np.ndarray, holder: Any) -> None:
        self._array, self._holder = array, holder


def _in_place(name: str) -> Any:
    function = getattr(operator, name)

    def operate(self: _Item, other: Any) -> Any:
        if _carries(self._array, other):
            active = adoption.adopt(self._array)
            if active is None:
                _refuse(self._array, other)
            return function(active, other)
        log(self._array)
        return function(self._array, other)

    operate.__name__ = f"__{name}__"
    return operate


for _name in "iadd isub imul itruediv ifloordiv imod ipow imatmul ilshift irshift iand ior ixor".split():
    setattr(_Item, f"__{_name}__", _in_place(_name))
del _name

for _proxy in (_Plain, _Flat, _Holder, _Attributes, _Item):
    adoption.register(_proxy)
del _proxy
