"""Kinds: the Python types that a scalar in a compiled loop can have, and what operators make of them.

What an operator gives for two kinds is not written down here: NumPy is asked, with samples, since it depends on its
version. A pair whose result depends on the values has no result here, and is left to NumPy.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from minpy.quiet import quiet


class Unsupported(Exception):
    """This is left to Python; the message says why."""


class TooLarge(Unsupported):
    """The loop works on arrays so large that nothing is gained, whatever condition leads there."""


class NotYet(Unsupported):
    """The type is not known in this pass; a later one may know it."""


NUMPY_INTS = ("int64", "int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64")

# The code of a kind is its tag in the compiled code. Of the first four bit 0 says "float" and bit 1 "NumPy's", so
# the tag of a sum, difference or product is the bitwise or of the operands' tags.
CODES = {
    "int": 0,
    "float": 1,
    "int64": 2,
    "float64": 3,
    "bool": 4,
    "bool_": 5,
    "str": 6,
    "float32": 7,
    **{name: 8 + i for i, name in enumerate(NUMPY_INTS[1:])},
    "complex": 16,
    "complex128": 17,
}
KIND_OF_CODE = {code: kind for kind, code in CODES.items()}
UNBOUND = -1
MIXABLE = frozenset({"int", "float", "int64", "float64"})

FLOATS = frozenset({"float", "float64", "float32"})
BOOLS = frozenset({"bool", "bool_"})
COMPLEX = frozenset({"complex", "complex128"})
PYTHON = frozenset({"int", "float", "bool", "str", "complex"})
INTS = frozenset({"int", *NUMPY_INTS})

TYPES: dict[str, type] = {
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "bool_": np.bool_,
    "float64": np.float64,
    "float32": np.float32,
    "complex": complex,
    "complex128": np.complex128,
    **{name: getattr(np, name) for name in NUMPY_INTS},
}
KIND_OF_TYPE: dict[type, str] = {type_: kind for kind, type_ in TYPES.items()}

# The least and the largest value of a kind that the compiled code holds in 64 bits with a sign.
RANGES: dict[str, tuple[int, int]] = {
    name: (int(np.iinfo(name).min), min(int(np.iinfo(name).max), 2**63 - 1)) for name in NUMPY_INTS
}
RANGES["int"] = RANGES["int64"]

_SAMPLES: dict[str, tuple[Any, ...]] = {
    "int": (1, 7, 300, 70_000, 2**40),
    "float": (1.5, 3e100),
    "bool": (True, False),
    "complex": (1.5 + 2j, 2j),
    "complex128": (np.complex128(1.5 + 2j), np.complex128(2j)),
    "bool_": (np.bool_(True), np.bool_(False)),
    **{kind: (TYPES[kind](1), TYPES[kind](3.5)) for kind in ("float64", "float32")},
    **{kind: (TYPES[kind](1), TYPES[kind](100)) for kind in NUMPY_INTS},
}

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "<<": operator.lshift,
    ">>": operator.rshift,
}


def representation(kind: str) -> str:
    """``"d"`` (a double), ``"c"`` (two of them), ``"b"`` (one bit) or ``"i"`` (64 bits with a sign)."""
    return "c" if kind in COMPLEX else "d" if kind in FLOATS else "b" if kind in BOOLS else "i"


def go_together(kinds: set[str]) -> bool:
    """Whether one variable can have these kinds."""
    return len(kinds) == 1 or kinds <= MIXABLE or kinds <= BOOLS


def value_of(tag: int, bits: Any) -> Any:
    """The Python object for a tag and the value that the compiled code had."""
    kind = KIND_OF_CODE[tag]
    return chr(int(bits)) if kind == "str" else TYPES[kind](bits)


@cache
def array_kinds(symbol: str, left: str, left_whole: bool, right: str, right_whole: bool) -> tuple[str, str]:
    """The kind of elements that NumPy's loop takes, and the kind that it gives, where arrays are met.

    Raises `Unsupported` if that depends on the values, or is none of ours.
    """
    found = set()
    for one in _operands(left, left_whole):
        for other in _operands(right, right_whole):
            try:
                with quiet(), np.errstate(all="ignore"):
                    found.add(OPERATORS[symbol](one, other).dtype.name)
            except (TypeError, ValueError, OverflowError, KeyError) as error:
                raise Unsupported(f"{symbol} of arrays of {left} and {right}") from error
    kinds = {"bool_" if name == "bool" else name for name in found}
    if len(kinds) != 1 or not kinds <= CODES.keys():
        raise Unsupported(f"{symbol} of {left} and {right} is left to NumPy")
    (kind,) = kinds
    return kind, kind


def _operands(kind: str, whole: bool) -> tuple[Any, ...]:
    if whole:
        return (np.ones(2, bool if kind == "bool_" else kind),)
    # Larger Python numbers might give another type; the code leaves the loop where they do not fit.
    return {"int": (1, 3), "float": (1.5,), "complex": (1.5j,)}.get(
        kind, _SAMPLES.get(kind, (TYPES[kind](1),))
    )


@cache
def result_kind(symbol: str, left: str, right: str) -> str:
    """The kind that an operator gives; raises `Unsupported` if it depends on the values or is none of ours."""
    function = OPERATORS[symbol]
    found = set()
    with quiet(), np.errstate(all="ignore"):
        for one in _SAMPLES.get(left, ()):
            for other in _SAMPLES.get(right, ()):
                if symbol in ("**", "<<", ">>"):
                    other = type(other)(1 if symbol != "**" else 2)
                try:
                    found.add(KIND_OF_TYPE.get(type(function(one, other))))
                except (TypeError, OverflowError, ZeroDivisionError):
                    continue
    if len(found) != 1 or None in found:
        raise Unsupported(f"{left} {symbol} {right} is left to NumPy")
    (kind,) = found
    return str(kind)
