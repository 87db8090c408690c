"""Statements of a loop that is to be differentiated, and questions about them and their expressions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import field
from typing import Any

from minpy.records import dataclass

# No name of the program begins so.
PREFIX = "_mp"
INT, FLOAT = "int", "float"
_ROUNDS = 8  # of a loop of which nothing is known


@dataclass(frozen=True)
class Kind:
    """What a name stands for: a number, an array of numbers with so many axes, or an object that is known.

    `kind` is that of the number or of the elements; `group` tells apart memory that is not shared; `active` says that
    it is being differentiated when the loop is entered, and `plain` that it is an array that no tape hears of.
    """

    kind: str
    ndim: int = 0
    group: int = -1
    active: bool = False
    plain: bool = False
    fixed: bool = False  # a list or a tuple, which the loop may read only
    value: Any = None


@dataclass
class Set:
    """``name = value``."""

    name: str
    value: ast.expr


@dataclass
class Put:
    """``array[index] = value``."""

    target: ast.Subscript
    value: ast.expr

    @property
    def array(self) -> str:
        """The name of the array."""
        return self.target.value.id  # type: ignore[attr-defined]


@dataclass
class Branch:
    """``if``."""

    test: ast.expr
    body: list[Any]
    orelse: list[Any]


@dataclass
class Times:
    """``for target in range(start, stop, step)``."""

    target: str
    start: ast.expr
    stop: ast.expr
    step: int
    body: list[Any]

    @property
    def leaves(self) -> bool:
        """Whether a ``break`` may end it."""
        return any(type(each) is Leave for each in inside(self.body))


@dataclass
class While:
    """``while``."""

    test: ast.expr
    body: list[Any]


@dataclass
class Leave:
    """``break``."""

    loop: Any = field(default=None)


def inside(body: list[Any]) -> Iterator[Any]:
    """The statements of a loop's body that are not in loops inside it."""
    for each in body:
        yield each
        if type(each) is Branch:
            yield from inside(each.body)
            yield from inside(each.orelse)


def everything(body: list[Any]) -> Iterator[Any]:
    """All statements, also in loops inside."""
    for each in body:
        yield each
        if type(each) is Branch:
            yield from everything(each.body)
            yield from everything(each.orelse)
        elif type(each) in (Times, While):
            yield from everything(each.body)


def expressions(statement: Any) -> list[ast.expr]:
    """The expressions of a statement itself."""
    kind = type(statement)
    if kind is Set:
        return [statement.value]
    if kind is Put:
        return [statement.target, statement.value]
    if kind in (Branch, While):
        return [statement.test]
    return [statement.start, statement.stop] if kind is Times else []


def stored(body: list[Any]) -> set[str]:
    """The variables that statements assign, and the arrays that they store into."""
    found = set()
    for each in everything(body):
        if type(each) is Set:
            found.add(each.name)
        elif type(each) is Put:
            found.add(each.array)
        elif type(each) is Times:
            found.add(each.target)
    return found


def names_in(*nodes: ast.expr) -> set[str]:
    """The names in expressions."""
    return {each.id for node in nodes for each in ast.walk(node) if isinstance(each, ast.Name)}


def work(body: list[Any], values: dict[str, Any]) -> float:
    """About how many statements are executed, where `values` are what variables hold when the loop is entered."""
    total = 0.0
    for each in body:
        total += 1
        if type(each) is Branch:
            total += (work(each.body, values) + work(each.orelse, values)) / 2
        elif type(each) is While:
            total += _ROUNDS * work(each.body, values)
        elif type(each) is Times:
            start, stop = _number(each.start, values), _number(each.stop, values)
            if start is None or stop is None:
                total += _ROUNDS * work(each.body, values)
            else:
                middle = {each.target: (start + stop) // 2}
                total += len(range(start, stop, each.step)) * work(each.body, values | middle)
    return total


def _number(node: ast.expr, values: dict[str, Any]) -> int | None:
    try:
        found = eval(
            compile(ast.Expression(ast.fix_missing_locations(node)), "<a range>", "eval"), {}, values
        )
        return int(found)
    except (ArithmeticError, NameError, TypeError, ValueError, IndexError):
        return None


def constant(node: ast.expr) -> Any:
    """The number that an expression of numbers is; None if it is none."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = constant(node.operand)
        if value is not None:
            return -value if isinstance(node.op, ast.USub) else value
    return None
