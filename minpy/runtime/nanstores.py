"""What ``--nan-check`` looks at besides dispatch: in-place statements, stores, and methods of plain arrays.

The hooks are those of a tape (see `stores`), which they ask first; each gives something that stands for the target, or
for the value, during one statement.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from minpy.runtime import adoption, stores
from minpy.runtime.array import Array

# Methods of plain arrays that may make what is not finite.
COMPUTING = frozenset("astype cumprod cumsum dot mean prod std sum trace var".split())


class Stores:
    """The hooks of a checker; `function` is the checker's own."""

    function: Callable[..., Any]
    wants: Callable[[], bool]

    def at(self, target: Any) -> Any:
        """What ``target[index] = value``, ``target.mean()`` and the like are done on."""
        stand_in = stores.at(target)
        if type(target) is np.ndarray or (type(target) is Array and not target.scalar):
            return _Target(self, target, stand_in)
        return stand_in

    def within(self, target: Any) -> Any:
        """What ``target[index] += value`` is done on."""
        stand_in = stores.within(target)
        return target if type(target) is Array else _Holder(self, target, stand_in)

    def held(self, target: Any) -> Any:
        """What ``target.name += value`` is done on."""
        stand_in = stores.held(target)
        if type(target) is Array:
            return target
        proxy = object.__new__(_Attributes)
        _STATE.__set__(proxy, (self, stand_in))
        return proxy

    def before(self, target: Any, *value: Any) -> Any:
        """The value of ``target += value``, or what stands for it."""
        stores.before(target)
        if not value:
            return False
        return value[0] if type(value[0]) is Array or not _computes(target) else _Value(self, *value)

    exposed = staticmethod(stores.exposed)

    def in_place(
        self, function: Callable[..., Any], name: str, target: Any, value: Any, stand_in: Any
    ) -> Any:
        """``target op= value`` on what stands for the target, and a look at it."""
        if not self.wants():
            return function(stand_in, value)
        written = (target,) if isinstance(target, np.ndarray) else ()
        return self.function(
            name,
            lambda: function(stand_in, value),
            (target, value),
            {},
            written,
            elementwise=name != "matmul",
        )


def _computes(value: Any) -> bool:
    """Whether in-place operators on it are NumPy's own, and nobody else's."""
    kind = type(value)
    return (kind is np.ndarray or issubclass(kind, (np.inexact, np.integer))) and value.dtype.kind in "iufc"


class _Target:
    """A plain array, or an `Array`, for one statement."""

    __slots__ = ("_array", "_checker", "_stand_in")

    def __init__(self, checker: Any, array: Any, stand_in: Any) -> None:
        for name, value in (("_checker", checker), ("_array", array), ("_stand_in", stand_in)):
            object.__setattr__(self, name, value)

    def __setitem__(self, index: Any, value: Any) -> None:
        if type(value) is Array:
            self._stand_in[index] = value
        else:
            _store(self._checker, self._array, self._stand_in, index, value)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._stand_in, name, value)

    def __getattr__(self, name: str) -> Any:
        array, checker = self._array, self._checker
        if name == "resize" and type(array) is np.ndarray:
            # NumPy counts who refers to the array: nobody from here.
            object.__setattr__(self, "_array", None)
            object.__setattr__(self, "_stand_in", None)
            return stores._Plain(array).resize
        method = getattr(self._stand_in, name)
        if name not in COMPUTING or type(array) is Array or not checker.wants():
            return method

        def looked_at(*args: Any, **kwargs: Any) -> Any:
            return checker.function(name, lambda: method(*args, **kwargs), (array, *args), kwargs)

        return looked_at


def _store(checker: Any, array: Any, stand_in: Any, index: Any, value: Any) -> None:
    """``array[index] = value``: a number that is too large for the array's dtype becomes an infinity."""
    narrows = isinstance(array, np.ndarray) and array.dtype.kind in "fc" and not _fits(value, array.dtype)
    if not narrows or not checker.wants():
        stand_in[index] = value
        return

    def run() -> Any:
        stand_in[index] = value
        return array[index]

    checker.function("a store", run, (value,), {})


def _fits(value: Any, dtype: np.dtype) -> bool:
    if isinstance(value, (np.ndarray, np.generic)):
        return np.can_cast(value.dtype, dtype)
    return isinstance(value, (bool, int, float)) and dtype.itemsize >= 8


class _Value:
    """The value of an augmented assignment to a name."""

    __slots__ = ("_checker", "_value")
    # Before arrays, so that NumPy leaves the work to the methods below.
    __array_priority__ = 1e9

    def __init__(self, checker: Any, value: Any) -> None:
        self._checker, self._value = checker, value


class _Item:
    """An array or a number between the two halves of an augmented assignment."""

    __slots__ = ("_checker", "_holder", "_item", "_stand_in")

    def __init__(self, checker: Any, item: Any, stand_in: Any, holder: Any) -> None:
        self._checker, self._item, self._stand_in, self._holder = checker, item, stand_in, holder


_OPERATORS = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "power",
    "matmul": "matmul",
    "lshift": "left_shift",
    "rshift": "right_shift",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
}


def _define(short: str, name: str) -> None:
    function = getattr(operator, f"i{short}")

    def reflected(self: _Value, target: Any) -> Any:
        return self._checker.in_place(function, name, target, self._value, target)

    def in_place(self: _Item, value: Any) -> Any:
        # What is written may have to take the place of the target first: nobody else may hold it then.
        if type(value) is Array:
            return function(self._stand_in, value)
        return self._checker.in_place(function, name, self._item, value, self._stand_in)

    setattr(_Value, f"__r{short}__", reflected)
    setattr(_Item, f"__i{short}__", in_place)


for _short, _name in _OPERATORS.items():
    _define(_short, _name)
del _short, _name


def _item(checker: Any, stand_in: Any, holder: Any) -> Any:
    """What stands for an item or attribute that a holder gave, which may be a stand-in already."""
    item = stand_in._array if type(stand_in) is stores._Item else stand_in
    return _Item(checker, item, stand_in, holder) if _computes(item) else stand_in


class _Holder:
    """Anything with items, for one augmented assignment to an item."""

    __slots__ = ("_checker", "_stand_in", "_target")

    def __init__(self, checker: Any, target: Any, stand_in: Any) -> None:
        self._checker, self._target, self._stand_in = checker, target, stand_in

    def __getitem__(self, index: Any) -> Any:
        return _item(self._checker, self._stand_in[index], self)

    def __setitem__(self, index: Any, value: Any) -> None:
        if type(value) is Array:
            self._stand_in[index] = value
        else:
            _store(self._checker, self._target, self._stand_in, index, value)


class _Attributes:
    """Anything with attributes, for one augmented assignment to an attribute."""

    __slots__ = ("_state",)

    def __getattribute__(self, name: str) -> Any:
        checker, stand_in = _STATE.__get__(self)
        return _item(checker, getattr(stand_in, name), self)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_STATE.__get__(self)[1], name, value)


# Their own attribute, out of reach of the attributes of what they stand for.
_STATE: Any = _Attributes.__dict__["_state"]

# They hold the target while a traced value is written into it.
for _proxy in (_Target, _Value, _Item, _Holder, _Attributes):
    adoption.register(_proxy)
del _proxy
