"""Rules of element-wise NumPy as one pass over their arrays: read off by calling them, run as a block.

A rule (see `minpy.nn.optim`) is called with stand-ins that put down what it does to them. The text that comes out is
what rewritten programs hand to `minpy.runtime.fuse`: the block has the bits of the rule as written, and is compiled
where that pays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minpy.runtime.fuse import sites, state
from minpy.runtime.fuse.block import Block
from minpy.runtime.fuse.ir import Irregular

_FUNCTIONS = frozenset(("square", "sqrt", "absolute", "minimum", "maximum"))
_OPERATORS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "true_divide": "/"}

_blocks: dict[tuple[str, str], Block] = {}


class Reader:
    """The statements so far, and the values of the names in them."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.values: list[Any] = []
        self.held = 0

    def name(self, value: Any) -> str:
        self.values.append(value)
        return f"v{len(self.values) - 1}"

    def text(self, operand: Any) -> str:
        if isinstance(operand, Value):
            return operand.text
        if type(operand) in (int, float):
            return self.name(operand)
        raise Irregular(operand)

    def hold(self, text: str) -> str:
        """A name for what is computed here."""
        name = f"d{self.held}"
        self.held += 1
        self.statements.append(f"{name}={text}")
        return name


class Value:
    """What stands for an array: the text of an expression."""

    __slots__ = ("reader", "text")

    def __init__(self, reader: Reader, text: str) -> None:
        self.reader, self.text = reader, text

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **options: Any) -> Any:
        if method != "__call__" or options:
            raise Irregular(method)
        texts = list(map(self.reader.text, operands))
        if ufunc.__name__ in _OPERATORS:
            return Value(self.reader, f"({texts[0]}{_OPERATORS[ufunc.__name__]}{texts[1]})")
        if ufunc.__name__ in _FUNCTIONS:
            return Value(self.reader, f"{ufunc.__name__}({', '.join(texts)})")
        raise Irregular(ufunc.__name__)


def _operator(symbol: str) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    def forward(self: Value, other: Any) -> Value:
        return Value(self.reader, f"({self.text}{symbol}{self.reader.text(other)})")

    def reflected(self: Value, other: Any) -> Value:
        return Value(self.reader, f"({self.reader.text(other)}{symbol}{self.text})")

    def in_place(self: Value, other: Any) -> Value:
        self.text = self.reader.hold(f"{self.text}{symbol}{self.reader.text(other)}")
        return self

    return forward, reflected, in_place


for _name, _symbol in {"add": "+", "sub": "-", "mul": "*", "truediv": "/"}.items():
    for _prefix, _function in zip(("", "r", "i"), _operator(_symbol), strict=True):
        setattr(Value, f"__{_prefix}{_name}__", _function)


def in_one_pass(
    rule: Callable[[Any, Any, dict[str, Any]], Any],
    w: np.ndarray,
    dw: np.ndarray,
    config: dict[str, Any],
    arrays: list[str],
) -> np.ndarray | None:
    """Apply a rule to arrays of one shape and dtype.

    Parameters
    ----------
    rule : callable
        Takes `w`, `dw` and `config`; may change the arrays in `config` in place, and replace what else is in it.
    w, dw : numpy.ndarray
    config : dict
        Options and state; gets what the rule makes of them.
    arrays : list of str
        Which of its values are arrays.

    Returns
    -------
    numpy.ndarray or None
        What the rule gives; None if it must be called as it is, and nothing has changed.
    """
    mode = sites.mode()
    if mode == "off" or sites.held:
        return None
    reader = Reader()
    first, second = Value(reader, reader.name(w)), Value(reader, reader.name(dw))
    inner = {**config, **{name: Value(reader, reader.name(config[name])) for name in arrays}}
    try:
        result = rule(first, second, inner)
        kept = [inner[name].text for name in arrays]
        text = ";".join(
            [*reader.statements, *(f"r{k}={each}" for k, each in enumerate(kept)), reader.text(result)]
        )
        block = _blocks.get((text, mode))
        if block is None:
            block = _blocks[text, mode] = Block(text, mode)
    except Irregular:
        return None
    before = state.present()
    try:
        done, results = block.run(tuple(reader.values))
    except (Irregular, FloatingPointError, MemoryError):
        state.restore(before)
        return None
    if not done:
        return None
    *states, new = results
    config.update({name: value for name, value in inner.items() if name not in arrays})
    config.update(zip(arrays, states, strict=True))
    return new
