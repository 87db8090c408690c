"""The operators, methods and remaining attributes of `Array`, made from tables.

At first each operator goes the long way through `protocols`; `use_short_cuts` exchanges what it can.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from minpy.errors import TraceError
from minpy.runtime import dispatch, entry, fast, fast_writes, multiply, numbers, protocols
from minpy.runtime.array import Array, host
from minpy.runtime.record import Line, tape_of

# What a traced array may be asked for off the tape: nothing of it comes back as an array or a number with a slope.
_HARMLESS = frozenset(("dump", "dumps", "is_integer", "setflags", "tobytes", "tofile"))


def _asked(name: str) -> property:
    """What an ndarray or a NumPy scalar has and we do not mirror (``ctypes``, …), asked of the host contents.

    A property for each name: a ``__getattr__`` would keep the interpreter from its quick look-up of all others.
    """

    def ask(self: Array) -> Any:
        if not hasattr(self.__class__, name):
            kind = self.__class__
            where = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
            raise AttributeError(f"'{where}{kind.__name__}' object has no attribute {name!r}")
        if tape_of(self.storage) is not None and name not in _HARMLESS:
            raise TraceError(
                f"{name} of a value that is being differentiated is not on the tape, at {Line()}. Use "
                f"x.asnumpy().{name} if no gradient should flow"
            )
        if self.scalar:
            return getattr(host(self), name)
        whole = self.window is self.storage.host
        return getattr(self.storage.share() if whole else self.contents, name)

    return property(ask)


def _ask_the_rest() -> None:
    mirrored = {name for kind in Array.__mro__ for name in vars(kind)}
    for kind in (np.ndarray, np.float64, np.complex128, np.int64, np.bool_):
        for name in dir(kind):
            # Of the special methods only those that are called as attributes; not what tells NumPy where the
            # memory is.
            if name not in mirrored and (not name.startswith("__") or "dlpack" in name):
                mirrored.add(name)
                setattr(Array, name, _asked(name))


# Methods with the arguments of the NumPy function of the same name.
_METHODS = (
    "all any argmax argmin argpartition argsort choose cumprod cumsum diagonal dot max mean min nonzero "
    "prod ptp ravel repeat searchsorted squeeze std sum swapaxes take trace var conj conjugate round"
).split()

_BINARY = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "left_shift",
    "rshift": "right_shift",
}
_COMPARE = {
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}
_UNARY = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}


# Error messages of the interpreter name the type of an operand: they read as the program would have seen
# them under NumPy.
Array.__name__ = "numpy.ndarray"


def _method(name: str) -> Any:
    def method(self: Array, *args: Any, **kwargs: Any) -> Any:
        result = dispatch.apply(name, self, *args, **kwargs)
        return numbers.python(result) if name == "conjugate" and type(self.scalar) is int else result

    method.__name__, method.__doc__ = name, f"As ``numpy.ndarray.{name}``."
    return method


def _operators(dunder: str, name: str) -> None:
    def forward(self: Array, other: Any) -> Any:
        return protocols.binary(name, self, other)

    def reflected(self: Array, other: Any) -> Any:
        return protocols.binary(name, other, self)

    def in_place(self: Array, other: Any) -> Any:
        if self.scalar:
            return NotImplemented
        return dispatch.apply(name, self, other, out=self)

    for prefix, function in (("", forward), ("r", reflected), ("i", in_place)):
        function.__name__ = f"__{prefix}{dunder}__"
        # Not hasattr: a class has the | of types itself.
        if function.__name__ not in vars(Array):
            setattr(Array, function.__name__, function)


# The operators as they were made, which the short cuts fall back to.
_SLOW_IN_PLACE: dict[str, Any] = {}
_SLOW_UNARY: dict[str, Any] = {}


def use_short_cuts() -> None:
    """Exchange operators and element-wise primitives for their short cuts (when the table has been loaded)."""
    operators = {**_BINARY, **_COMPARE, "pow": "power"}
    for primitive in dispatch.by_name.values():
        if not primitive.elementwise or primitive.function.nout != 1:
            continue
        if type(primitive.vjp) is tuple and len(primitive.vjp) >= primitive.function.nin:
            primitive.bare = tuple(getattr(rule, "bare", rule) for rule in primitive.vjp)
        if primitive.function.nin == 1:
            primitive.short = fast.unary(primitive)
        elif primitive.function.nin == 2:
            primitive.short = fast.binary(primitive, functools.partial(protocols.binary, primitive.name))
    Array.__matmul__ = multiply.operator(  # type: ignore[method-assign]
        functools.partial(protocols.binary, "matmul")
    )
    for dunder in ("neg", "abs"):
        name = f"__{dunder}__"
        slow = _SLOW_UNARY.setdefault(name, getattr(Array, name))
        setattr(Array, name, _short_unary(dispatch.by_name[_UNARY[dunder]].short, slow))
    for dunder, name in operators.items():
        primitive = numbers.row(name) if name == "power" else dispatch.by_name[name]
        slow = (
            functools.partial(protocols.compare, name, dunder)
            if dunder in _COMPARE
            else functools.partial(protocols.binary, name)
        )
        forward, reflected = fast.binary(primitive, slow, numbers.OPERATORS[name])
        for prefix, function in (("", forward), ("r", reflected)):
            if f"__{prefix}{dunder}__" in vars(Array):
                setattr(Array, f"__{prefix}{dunder}__", function)
        if dunder in _BINARY:
            name = f"__i{dunder}__"
            setattr(
                Array,
                name,
                fast_writes.in_place(primitive, _SLOW_IN_PLACE.setdefault(name, getattr(Array, name))),
            )


def _short_unary(short: Any, slow: Any) -> Any:
    def operate(self: Array) -> Any:
        storage = self._storage
        if self.scalar or entry.others or (storage is not None and storage.remote is not None):
            return slow(self)
        return short(self, 2)

    operate.__name__ = slow.__name__
    return operate


def _comparison(dunder: str, name: str) -> None:
    def compare(self: Array, other: Any) -> Any:
        return protocols.compare(name, dunder, self, other)

    compare.__name__ = f"__{dunder}__"
    setattr(Array, compare.__name__, compare)


def _unary(dunder: str, name: str) -> None:
    def operate(self: Array) -> Any:
        if type(self.scalar) is int:
            return numbers.unary(name, self)
        return dispatch.apply(name, self)

    operate.__name__ = f"__{dunder}__"
    setattr(Array, operate.__name__, operate)


for _name in _METHODS:
    setattr(Array, _name, _method(_name))
for _dunder, _name in {**_BINARY, "pow": "power", "matmul": "matmul"}.items():
    _operators(_dunder, _name)
for _dunder, _name in _COMPARE.items():
    _comparison(_dunder, _name)
for _dunder, _name in _UNARY.items():
    _unary(_dunder, _name)
del _name, _dunder
_ask_the_rest()
