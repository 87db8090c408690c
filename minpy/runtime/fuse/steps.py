"""The steps of a plan: operations on whole arrays, as NumPy has them, and what is written at the end."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from minpy.runtime.fuse.ir import Operation

_SYMBOLS = {
    "add": "+", "subtract": "-", "multiply": "*", "true_divide": "/", "floor_divide": "//", "remainder": "%",
    "**": "**", "left_shift": "<<", "right_shift": ">>", "bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^",
    "equal": "==", "not_equal": "!=", "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=",
    "negative": "-", "positive": "+", "invert": "~",
}  # fmt: skip
_HEAVY = frozenset(
    "arccos arccosh arcsin arcsinh arctan arctan2 arctanh cbrt cos cosh exp exp2 expm1 hypot log log10 log1p log2 "
    "logaddexp logaddexp2 power sin sinh tan tanh".split()
)
# What takes next to nothing beside the memory that it goes through.
LIGHT = frozenset("absolute add clip maximum minimum multiply negative positive square subtract".split())
# NumPy's own functions, as they were: a block that uses one that was replaced meanwhile runs as written.
FUNCTIONS: dict[str, Any] = {
    name: value for name, value in vars(np).items() if isinstance(value, np.ufunc)
} | {"clip": np.clip, "where": np.where, "roll": np.roll}
_OF_TWO_ZEROS = frozenset({"maximum", "minimum"})
_POWERS = {2: "square", 0.5: "sqrt", 1: "positive", -1: "reciprocal"}


class Step:
    """One operation on whole arrays: operands are ``("x", i)`` arrays, ``("s", i)`` numbers, ``("t", i)`` results.

    `loop` is the dtype in which operands are compared, None where that is not one of theirs.
    """

    __slots__ = ("dtype", "exponent", "loop", "name", "operands", "symbol")

    def __init__(
        self, name: str, operands: list[tuple[str, int]], dtype: np.dtype, symbol: str, exponent: Any
    ) -> None:
        self.name, self.operands, self.dtype = name, operands, dtype
        self.symbol = symbol  # the operator as written, "" for a function
        self.exponent = exponent  # of a power for which there is a function of its own
        self.loop: np.dtype | None = None


def by_quotient(step: Step) -> bool:
    """Whether a step is a remainder by a whole number: it follows the quotient, for which NumPy has fast loops."""
    return step.name == "remainder" and step.dtype.kind in "iu" and step.operands[1][0] == "s"


class Output:
    """An array that a plan writes: the step that it holds, and the leaf that is written into (-1: a new array).

    `operand` is the number of that leaf among the operands, where it is read as well; else -1. `spread`: its elements
    are not next to each other along the last axis.
    """

    __slots__ = ("dtype", "kind", "leaf", "operand", "result", "spread", "step")

    def __init__(self, kind: str, step: int, dtype: np.dtype, leaf: int, result: int) -> None:
        self.kind, self.step, self.dtype, self.leaf, self.result = kind, step, dtype, leaf, result
        self.operand = -1
        self.spread = False


def _apply(operation: Operation, function: Any, given: list[Any]) -> Any:
    if operation.name == "**":
        return given[0] ** given[1]
    if operation.symbol and len(given) == 2 and not any(type(each) is np.ndarray for each in given):
        return eval(f"a {_SYMBOLS[operation.name]} b", {}, {"a": given[0], "b": given[1]})
    if operation.symbol == "unary" and type(given[0]) is not np.ndarray:
        return eval(f"{_SYMBOLS[operation.name]} a", {}, {"a": given[0]})
    return function(*given)


def _written(operation: Operation, operands: list[str]) -> str:
    """The operation as the program has it."""
    if not operation.symbol:
        return f"{operation.name}({', '.join(operands)})"
    symbol = _SYMBOLS[operation.name]
    return f"{symbol}{operands[0]}" if len(operands) == 1 else f"{operands[0]} {symbol} {operands[1]}"


class _Done:
    """Stands for the value of an augmented assignment that a block has done already: ``a += done`` leaves `a` alone."""

    __slots__ = ()
    __array_priority__ = 1e300

    def _target(self, target: Any) -> Any:
        return target

    __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rfloordiv__ = __rmod__ = _target
    __rand__ = __ror__ = __rxor__ = __rlshift__ = __rrshift__ = __rpow__ = _target


DONE = _Done()


@lru_cache(maxsize=64)
def _is_even(name: str, kind: str) -> bool:
    """Whether the choice between 0.0 and -0.0 is the same at all places of an array: where vector loops end, too."""
    if np.dtype(kind).kind not in "fc":
        return True
    zeros, minus = np.zeros(1003, kind), -np.zeros(1003, kind)
    function = FUNCTIONS[name]
    for step in (1, 2):
        for a, b in ((zeros[::step], minus[::step]), (minus[::step], zeros[::step])):
            for count in (a.size, 1, 2, 3, 7, 13, 31, 61):
                for second in (b[:count], b[0]):
                    found = function(a[:count], second)
                    if found.tobytes() != function(a[:1], b[:1]).tobytes() * count:
                        return False
    return True
