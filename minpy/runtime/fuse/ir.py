"""A block as data: its operations in order, its leaves, and what its names must be for the leaves to be evaluated.

Evaluating leaves (names, attributes, slices, numbers) must have no effects but the time it takes, as the expression
may be evaluated as written afterwards: exact types only, attributes only where they are found in dictionaries.
"""

from __future__ import annotations

import ast
import types
from dataclasses import dataclass
from typing import Any

import numpy as np

BINARY = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "true_divide",
    ast.FloorDiv: "floor_divide",
    ast.Mod: "remainder",
    ast.Pow: "**",
    ast.LShift: "left_shift",
    ast.RShift: "right_shift",
    ast.BitAnd: "bitwise_and",
    ast.BitOr: "bitwise_or",
    ast.BitXor: "bitwise_xor",
}
UNARY = {ast.USub: "negative", ast.UAdd: "positive", ast.Invert: "invert"}
COMPARE = {
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
}
_SAME = {"abs": "absolute", "divide": "true_divide", "conj": "conjugate"}
_WHOLE = (int, np.int64, np.int32, np.intp)
_OF_ARRAYS = frozenset({"T", "shape", "ndim", "size"})
NUMBERS = (int, float, complex, bool, np.float64, np.float32, np.int64, np.int32, np.complex128, np.bool_)


class Irregular(Exception):
    """The block runs as written this time: its values are not what is computed here."""


@dataclass(frozen=True)
class Operation:
    """One operation: of leaves (numbers from 0) and of earlier operations (from -1 downwards)."""

    name: str
    operands: tuple[int, ...]
    symbol: str  # the operator as written, or "" for a function


class Program:
    """What a block computes.

    Attributes
    ----------
    operations : list of Operation
        In the order of evaluation; the last one is the result.
    leaves : list of str
        What each leaf is in terms of ``v0`` …, and of ``w0`` … for attributes.
    chains : list of tuple
        Of each ``w``: the number of the name that it starts from, and the attributes.
    target : int or None
        The leaf that is stored into; None where the block is a value.
    """

    def __init__(self, text: str) -> None:
        (statement,) = ast.parse(text).body
        self.operations: list[Operation] = []
        self.leaves: list[str] = []
        self.chains: list[tuple[int, tuple[str, ...]]] = []
        self._nodes: list[ast.expr] = []
        self.target: int | None = None
        match statement:
            case ast.Assign(targets=[target], value=value):
                pass
            case ast.Expr(value=value):
                target = None
            case _:
                raise Irregular(text)
        self.result = self._read(value)
        if target is not None:
            self.target = self._leaf(target)
        names = ", ".join(
            [*(f"v{i}" for i in range(_count_names(text))), *(f"w{i}" for i in range(len(self.chains)))]
        )
        self.code = eval(f"lambda {names}: ({', '.join(self.leaves)},)", {"__builtins__": {}})
        self._allowed: dict[tuple[type, ...], bool] = {}

    def _read(self, node: ast.expr) -> int:
        match node:
            case ast.BinOp(left=left, op=op, right=right):
                return self._add(BINARY[type(op)], [left, right], "binary")
            case ast.UnaryOp(op=op, operand=ast.Constant()):
                return self._leaf(node)
            case ast.UnaryOp(op=op, operand=operand):
                return self._add(UNARY[type(op)], [operand], "unary")
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self._add(COMPARE[type(op)], [left, right], "compare")
            case ast.Call(func=ast.Name(id=name), args=operands):
                return self._add(_SAME.get(name, name), operands, "")
        return self._leaf(node)

    def _add(self, name: str, operands: list[ast.expr], symbol: str) -> int:
        operation = Operation(name, tuple([self._read(each) for each in operands]), symbol)
        self.operations.append(operation)
        return -len(self.operations)

    def _leaf(self, node: ast.expr) -> int:
        node = _Chains(self.chains).visit(node)
        text = ast.unparse(node)
        if text not in self.leaves:
            self.leaves.append(text)
            self._nodes.append(node)
        return self.leaves.index(text)

    def values(self, names: tuple[Any, ...]) -> tuple[Any, ...]:
        """The values of the leaves.

        Raises
        ------
        Irregular
            A name stands for something whose evaluation might have effects.
        """
        for start, attributes in self.chains:
            value = names[start]
            for attribute in attributes:
                value = _attribute(value, attribute)
            names = (*names, value)
        kinds = tuple(map(type, names))
        allowed = self._allowed.get(kinds)
        if allowed is None:
            if len(self._allowed) > 100:
                self._allowed.clear()
            allowed = self._allowed[kinds] = self._may_evaluate(kinds)
        if not allowed:
            raise Irregular
        return self.code(*names)

    def _may_evaluate(self, kinds: tuple[type, ...]) -> bool:
        count = len(kinds) - len(self.chains)
        of = {f"v{i}": kind for i, kind in enumerate(kinds[:count])}
        of |= {f"w{i}": kind for i, kind in enumerate(kinds[count:])}

        def is_index(node: ast.AST) -> bool:
            match node:
                case ast.Name(id=name):
                    return of[name] in _WHOLE or of[name] is type(None)
                case ast.Constant(value=value):
                    return type(value) is int or value is None or value is Ellipsis
            return all(
                is_index(child)
                for child in ast.iter_child_nodes(node)
                if not isinstance(child, (ast.operator, ast.unaryop, ast.expr_context))
            )

        for node in self._nodes:
            match node:
                case ast.Name(id=name):
                    if of[name] is not np.ndarray and of[name] not in NUMBERS:
                        return False
                case ast.Subscript(value=ast.Name(id=name), slice=index):
                    if of[name] is not np.ndarray or not is_index(index):
                        return False
                case ast.Constant() | ast.UnaryOp(operand=ast.Constant()):
                    pass
                case _:
                    return False
        return True


def _count_names(text: str) -> int:
    return 1 + max(
        int(node.id[1:])
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Name) and node.id[0] == "v" and node.id[1:].isdigit()
    )


class _Chains(ast.NodeTransformer):
    """Replaces chains of attributes by names."""

    def __init__(self, chains: list[tuple[int, tuple[str, ...]]]) -> None:
        self.chains = chains

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        attributes: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            attributes.append(inner.attr)
            inner = inner.value
        assert isinstance(inner, ast.Name)
        chain = int(inner.id[1:]), tuple(reversed(attributes))
        if chain not in self.chains:
            self.chains.append(chain)
        return ast.Name(f"w{self.chains.index(chain)}", ast.Load())


def _attribute(value: Any, name: str) -> Any:
    """An attribute, if getting it runs no code of anybody's."""
    kind = type(value)
    if kind is np.ndarray and name in _OF_ARRAYS:
        return getattr(value, name)
    if kind is types.ModuleType:
        try:
            return value.__dict__[name]
        except KeyError:
            raise Irregular from None
    if kind.__getattribute__ is not object.__getattribute__:
        raise Irregular
    for base in kind.__mro__:
        found = base.__dict__.get(name)
        if found is not None:
            if type(found) is types.MemberDescriptorType:
                return found.__get__(value)
            if type(found) in (*NUMBERS, np.ndarray):
                break  # a default in the class
            raise Irregular
    else:
        found = None
    try:
        return value.__dict__[name]
    except (AttributeError, KeyError):
        if found is None:
            raise Irregular from None
        return found
