"""What ``__minpy__.np``, ``.op`` and ``.type`` are while the runtime is active, and what ``minpy.numpy`` is made of."""

from __future__ import annotations

import builtins
import functools
import operator
import types
from typing import Any

import numpy as np

from minpy.runtime import dispatch, entry, generators, protocols, small_code, stores
from minpy.runtime.array import Array, host
from minpy.runtime.operators import use_short_cuts
from minpy.runtime.primitives import table
from minpy.runtime.record import current_tape

_door: types.ModuleType | None = None
_functions: types.ModuleType | None = None
_operators: types.ModuleType | None = None


def door_of(module: types.ModuleType) -> types.ModuleType:
    """A namespace of dispatchers; every other name is the module's own.

    It is a plain module, in which the interpreter finds a name several times as fast as in one of a subclass.
    """
    door = types.ModuleType(module.__name__, module.__doc__)
    door.__dict__.update(
        _module=module, __getattr__=functools.partial(getattr, module), __dir__=functools.partial(dir, module)
    )
    return door


def closed(door: types.ModuleType) -> types.ModuleType:
    """A namespace with all names that a door has now, and no way to ask for others; of the doors in it as well.

    A name is found in it in a third of the time: the interpreter (up to 3.13) remembers no place in a module that has a
    ``__getattr__``, as doors have, and ``numpy`` itself.
    """
    module = door.__dict__["_module"]
    found = types.ModuleType(door.__name__, door.__doc__)
    names = {**vars(module), **vars(door)}
    for name, value in names.items():
        if name not in ("_module", "__getattr__", "__dir__"):
            is_door = type(value) is types.ModuleType and "_module" in vars(value)
            setattr(found, name, closed(value) if is_door else value)
    return found


# No argument.
_NONE: Any = object()


def _positional(x: Any, y: Any, args: tuple) -> tuple:
    if y is _NONE:
        return () if x is _NONE else (x,)
    return (x, y, *args)


def dispatcher(primitive: table.Primitive) -> Any:
    """The function that a routed call of `primitive` calls while the runtime is active.

    Its first two arguments have names because a call that unpacks ``*args`` and ``**kwargs`` costs more than the rest.
    """

    function = primitive.function
    if (
        primitive.elementwise
        and primitive.mirrors
        and primitive.function.nin == 1
        and primitive.function.nout == 1
    ):
        short = primitive.short

        def routed(x: Any = _NONE, y: Any = _NONE, /, *args: Any, **kwargs: Any) -> Any:
            if y is _NONE and x is not _NONE and not kwargs:
                if not entry.watchers and (
                    not entry.holders or (builtins.type(x) is np.ndarray and x.size <= small_code.FEW)
                ):
                    return function(x)
                if builtins.type(x) is Array and not entry.others:
                    storage = x._storage
                    if storage is None or storage.remote is None:
                        return short(x, 2)
            args = _positional(x, y, args)
            return dispatch.call(primitive, args, kwargs) if entry.holders else function(*args, **kwargs)
    elif primitive.mirrors:

        def routed(x: Any = _NONE, y: Any = _NONE, /, *args: Any, **kwargs: Any) -> Any:
            if not entry.holders:
                # Idle: an Array among the operands comes back to us through NumPy's own protocols.
                if not kwargs and not args:
                    if y is not _NONE:
                        return function(x, y)
                    if x is not _NONE:
                        return function(x)
                return function(*_positional(x, y, args), **kwargs)
            if y is _NONE:
                return dispatch.call(primitive, () if x is _NONE else (x,), kwargs)
            return dispatch.call(primitive, (x, y, *args), kwargs)
    else:

        def routed(*args: Any, **kwargs: Any) -> Any:
            return dispatch.call(primitive, args, kwargs)

    routed.__name__ = routed.__qualname__ = getattr(function, "__name__", primitive.name)
    routed.__doc__ = function.__doc__
    routed.__wrapped__ = function
    if isinstance(function, np.ufunc):
        for name in ("reduce", "accumulate", "outer", "at", "reduceat"):
            setattr(routed, name, _ufunc_method(function, name))
        for name in ("nin", "nout", "nargs", "types", "ntypes", "identity", "signature", "resolve_dtypes"):
            if hasattr(function, name):
                setattr(routed, name, getattr(function, name))
    return routed


def _ufunc_method(function: np.ufunc, method: str) -> Any:
    plain = getattr(function, method)
    name = f"{function.__name__}.{method}"

    def routed(*args: Any, **kwargs: Any) -> Any:
        traced = any(type(a) is Array for a in args) or any(type(v) is Array for v in kwargs.values())
        # (Where an Array is written, the operations that it takes are looked at.)
        if entry.checker is not None and not (traced and method == "at") and entry.checker.wants():
            written = args[:1] if method == "at" else args[_OUTPUT.get(method, len(args)) :]
            return entry.checker.function(name, lambda: routed(*args, **kwargs), args, kwargs, written)
        if traced:
            return protocols.ufunc(function, method, args, kwargs)
        if current_tape() is not None:
            stores.exposed(kwargs.get("out"))
            stores.exposed(args[:1] if method == "at" else args[_OUTPUT.get(method, len(args)) :])
        return plain(*args, **kwargs)

    routed.__name__, routed.__doc__ = method, plain.__doc__
    return routed


# Where the methods of ufuncs take an output by position.
_OUTPUT = {"reduce": 3, "accumulate": 3, "reduceat": 4}


def _open(doors: dict[str, types.ModuleType], name: str) -> types.ModuleType:
    """The door of the submodule `name` of NumPy (``"lib.stride_tricks"``), made with those above it."""
    if name not in doors:
        above, _, last = name.rpartition(".")
        parent = _open(doors, above)
        doors[name] = door_of(getattr(parent.__dict__["_module"], last))
        setattr(parent, last, doors[name])
    return doors[name]


def numpy_door() -> types.ModuleType:
    """The namespace that stands for ``numpy``."""
    global _door
    if _door is None:
        table.load()
        use_short_cuts()
        doors = {"": door_of(np)}
        for primitive in table.rows():
            if not hasattr(primitive.function, "__name__") or not primitive.mirrors:
                continue
            parent, _, name = primitive.name.rpartition(".")
            _open(doors, parent)
            setattr(doors[parent], name, dispatcher(primitive))
        random = _open(doors, "random")
        for name in ("default_rng", "Generator", "RandomState"):
            setattr(random, name, getattr(generators, name))
        _door = doors[""]
    return _door


def functions_door() -> types.ModuleType:
    """The namespace that stands for ``numpy`` where a function is called that every release has."""
    global _functions
    if _functions is None:
        _functions = closed(numpy_door())
    return _functions


def operator_door() -> types.ModuleType:
    """The namespace that stands for the standard module ``operator``: arrays dispatch, everything else is as it was."""
    global _operators
    if _operators is None:
        table.load()
        door = door_of(operator)
        for name, primitive in _BINARY.items():
            setattr(door, name, _binary(getattr(operator, name), table.by_name[primitive]))
        for name, primitive in _UNARY.items():
            setattr(door, name, _unary(getattr(operator, name), table.by_name[primitive]))
        _operators = closed(door)
    return _operators


_BINARY = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power", "matmul": "matmul", "and_": "bitwise_and", "or_": "bitwise_or",
    "xor": "bitwise_xor", "lshift": "left_shift", "rshift": "right_shift",
    "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal",
}  # fmt: skip
_UNARY = {"neg": "negative", "pos": "positive", "invert": "invert"}
ROWS = _BINARY | _UNARY

_FLOATING = (float, complex, np.inexact)
_NUMBERS = (int, float, complex, bool, np.generic)


def _binary(plain: Any, primitive: table.Primitive) -> Any:
    # Only plain arrays with arrays or numbers are ours; an Array, a subclass, a list or a class with
    # operators of its own decides itself.
    def routed(left: Any, right: Any) -> Any:
        a, b = builtins.type(left), builtins.type(right)
        if not entry.watchers and (a is not np.ndarray or left.size <= small_code.FEW):
            if b is not np.ndarray or right.size <= small_code.FEW:
                return plain(left, right)
        if (a is np.ndarray and (b is np.ndarray or isinstance(right, _NUMBERS)) and b is not Array) or (
            b is np.ndarray and isinstance(left, _NUMBERS) and a is not Array
        ):
            if left.dtype.kind in "biufc" if a is np.ndarray else right.dtype.kind in "biufc":
                return dispatch.call(primitive, (left, right), {})
        if entry.checker is not None and issubclass(a, _NUMBERS) and issubclass(b, _NUMBERS):
            if (issubclass(a, _FLOATING) or issubclass(b, _FLOATING)) and entry.checker.wants():
                return entry.checker.function(
                    primitive.name, lambda: plain(left, right), (left, right), {}, elementwise=True
                )
        return plain(left, host(right) if a is str else right)  # (text is formatted with numbers)

    routed.__name__ = plain.__name__
    return routed


def _unary(plain: Any, primitive: table.Primitive) -> Any:
    def routed(operand: Any) -> Any:
        if builtins.type(operand) is np.ndarray and operand.dtype.kind in "biufc":
            return dispatch.call(primitive, (operand,), {})
        return plain(operand)

    routed.__name__ = plain.__name__
    return routed


def type_of(*args: Any) -> Any:
    """``type(x)`` as the program would have seen it under NumPy."""
    if len(args) == 1:
        kind = builtins.type(args[0])
        return args[0].__class__ if kind is Array else kind
    return builtins.type(*args)
