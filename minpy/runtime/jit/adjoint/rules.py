"""The derivative rules of the table of primitives as text.

A rule is called with `Term`s, which put down what it does: so there is one rule for an operation, wherever it runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from minpy.runtime import scalars
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.primitives import table
from minpy.runtime.primitives.rules import nothing

# What `numpy` is called in the text of a derivative.
NUMPY = "_mpnp"
_SYMBOLS = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "true_divide": "/", "power": "**",
    "equal": "==", "not_equal": "!=", "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=",
    "logical_or": "or", "logical_and": "and", "bitwise_or": "or", "bitwise_and": "and", "floor_divide": "//",
}  # fmt: skip

# Of a number these are compiled in these words.
_WRITTEN_OUT = {
    "square": "({0} * {0})",
    "sign": "(1.0 if {0} > 0.0 else -1.0 if {0} < 0.0 else 0.0)",
}


class Term(NDArrayOperatorsMixin):
    """An expression in the hands of a derivative rule."""

    __array_priority__ = 1000.0
    shape = ()
    ndim = 0
    dtype = np.dtype(np.float64)

    def __init__(self, text: str) -> None:
        self.text = text

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs or ufunc.nout != 1:
            raise Unsupported(f"{ufunc.__name__}.{method} in a derivative rule")
        texts = [_text(each) for each in inputs]
        symbol = _SYMBOLS.get(ufunc.__name__)
        if symbol is not None and len(texts) == 2:
            return Term(f"({texts[0]} {symbol} {texts[1]})")
        if ufunc is np.negative:
            return Term(f"(-{texts[0]})")
        if ufunc.__name__ in _WRITTEN_OUT:
            return Term(_WRITTEN_OUT[ufunc.__name__].format(texts[0]))
        return Term(f"{NUMPY}.{ufunc.__name__}({', '.join(texts)})")

    def __array_function__(self, function: Any, types: Any, args: tuple, kwargs: dict) -> Any:
        if function is np.where and len(args) == 3 and not kwargs:
            return Term("({1} if {0} else {2})".format(*map(_text, args)))
        if function is np.any:
            return True  # it is looked at for each number
        if function is np.iscomplexobj:
            return False
        raise Unsupported(f"{getattr(function, '__name__', 'a function')} in a derivative rule")

    def __bool__(self) -> bool:
        raise Unsupported("a derivative rule that depends on values")


def _text(value: Any) -> str:
    if type(value) is Term:
        return value.text
    if isinstance(value, (np.generic, np.ndarray)) and not value.ndim:
        value = value.item()
    if type(value) is bool:
        return str(value)
    if type(value) in (int, float) and math.isfinite(value):
        return repr(float(value)) if value >= 0 else f"({float(value)!r})"
    raise Unsupported(f"a {type(value).__name__} in a derivative rule")


@lru_cache(maxsize=256)
def rules_of(function: Any, count: int) -> tuple[Callable[..., Any] | None, ...] | None:
    """The derivative rules of a function of numbers by its arguments; None if there are none.

    Parameters
    ----------
    function : callable
        A ufunc of NumPy, a function of ``math``, or ``abs``; or the name of a ufunc.
    count : int
        Of its arguments.
    """
    table.load()
    if function is abs:
        function = "absolute"
    if isinstance(function, np.ufunc):
        primitive = table.by_name.get(function.__name__)
        if primitive is None or primitive.function is not function:
            return None
    elif isinstance(function, str):
        primitive = table.by_name[function]
    elif getattr(math, getattr(function, "__name__", ""), None) is function:
        primitive = scalars.primitive_of(function.__name__)
    else:
        return None
    if primitive is None or not primitive.elementwise or count > 2:
        return None
    if primitive.flat:
        return (nothing,) * count
    found = tuple(primitive.rule(i) for i in range(count))
    return None if any(rule is None for rule in found) else found


def derivative(
    rule: Callable[..., Any], cotangent: str, result: str, operands: tuple[Any, ...]
) -> str | None:
    """The cotangent of an operand as text, None if it is zero.

    Parameters
    ----------
    rule : callable
        As the table has it.
    cotangent, result : str
        Names.
    operands : tuple of str or number
        Names, or numbers where they are constant.
    """
    try:
        made = rule(
            Term(cotangent), Term(result), *[Term(each) if type(each) is str else each for each in operands]
        )
    except (TypeError, AttributeError, ValueError) as error:
        raise Unsupported(f"a derivative rule that is no formula: {error}") from error
    return None if made is None else _text(made)
