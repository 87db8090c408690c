"""Numbers on a tape: operators between two of them are Python's and NumPy's own, on the numbers that they stand for.

So results have the types, the last bits, the errors (``ZeroDivisionError``) and the warnings of the program alone, and
come sooner than from ufuncs of arrays without axes. Derivative rules are those of the ufuncs.
"""

from __future__ import annotations

import copy
import numbers
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from minpy.runtime import dispatch
from minpy.runtime.array import Array, host
from minpy.runtime.primitives.table import Primitive, by_name
from minpy.runtime.storage import PYTHON_SCALAR

PYTHON = frozenset((float, int, complex, bool))
# Types of numbers that stand for themselves.
PLAIN = PYTHON | frozenset(np.dtype(c).type for c in "?bBhHiIlLqQefdgFDG")

# Operators by the names of their rows.
OPERATORS: dict[str, Callable[..., Any]] = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv,
    "floor_divide": operator.floordiv, "remainder": operator.mod, "power": operator.pow, "matmul": operator.matmul,
    "bitwise_and": operator.and_, "bitwise_or": operator.or_, "bitwise_xor": operator.xor,
    "left_shift": operator.lshift, "right_shift": operator.rshift,
    "equal": operator.eq, "not_equal": operator.ne, "less": operator.lt, "less_equal": operator.le,
    "greater": operator.gt, "greater_equal": operator.ge,
    "negative": operator.neg, "positive": operator.pos, "absolute": abs, "invert": operator.invert,
}  # fmt: skip
_rows: dict[str, Primitive] = {}


def row(name: str) -> Primitive:
    """The row of the primitive `name` as the operator computes it."""
    found = _rows.get(name)
    if found is None:
        found = _rows[name] = copy.copy(by_name[name])
        found.function = OPERATORS[name]
    return found


def is_python(value: Any) -> bool:
    """Whether `value` is, or stands for, a number of Python's."""
    return type(value.scalar) is int if type(value) is Array else type(value) in PYTHON


def is_number(value: Any) -> bool:
    """Whether `value` is, or stands for, a number, which is not on a device."""
    if type(value) is not Array:
        return type(value) in PLAIN
    storage = value._storage
    return bool(value.scalar) and (storage is None or storage.remote is None)


def binary(name: str, left: Any, right: Any) -> Any:
    """An operator between two numbers, of which one is on a tape."""
    primitive = row(name)
    if not (is_python(left) and is_python(right)):
        return dispatch.call_long(primitive, (left, right), {})
    a, b = host(left), host(right)
    value = OPERATORS[name](a, b)  # raises what Python raises
    if primitive.flat:
        return value
    if type(value) is complex and type(a) is not complex and type(b) is not complex:  # a power
        left, right = _complex(left), _complex(right)
    else:
        left, right = _floating(left), _floating(right)
    return python(dispatch.call_long(primitive, (left, right), {}))


def unary(name: str, operand: Any) -> Any:
    """An operator of a number of Python's."""
    if operand.window.dtype.kind == "c" or name == "invert":
        OPERATORS[name](host(operand))  # raises what Python raises
    result = dispatch.call_long(row(name), (operand,), {})
    return python(result)


def python(value: Any) -> Any:
    """What is known to be a number of Python's, marked as one."""
    if type(value) is Array:
        value.scalar = PYTHON_SCALAR
    elif isinstance(value, np.generic):
        value = value.item()
    return value


def foreign(name: str, left: Any, right: Any) -> Any:
    """An operator between a number of Python's on a tape and an object of a class that nothing is known about."""
    other = right if type(left) is Array else left
    if isinstance(other, numbers.Rational):
        return OPERATORS[name](left, float(other)) if other is right else OPERATORS[name](float(other), right)
    reflected = f"__r{OPERATORS[name].__name__.strip('_')}__"
    if other is right and type(other).__module__ != "builtins" and hasattr(type(other), reflected):
        return NotImplemented
    return OPERATORS[name](host(left), host(right))  # raises what Python raises, as a rule


def _floating(value: Any) -> Any:
    """A whole number as Python's arithmetic with floating-point numbers takes it."""
    return float(value) if type(value) in (int, bool) else value


def _complex(value: Any) -> Any:
    return python(dispatch.apply("astype", value, complex)) if type(value) is Array else complex(value)


def quotient(left: Any, right: Any) -> tuple[Any, Any]:
    """``divmod`` of which one operand is on a tape."""
    if is_number(left) and is_number(right):
        whole = divmod(host(left), host(right))[0]  # raises and warns as Python and NumPy do
        with np.errstate(all="ignore"):
            return whole, left % right
    return left // right, left % right
