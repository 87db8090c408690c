"""A block as data: its operations in order, its leaves, and what its names must be for the leaves to be evaluated.

Evaluating leaves (names, attributes, items of dictionaries, slices, numbers) must have no effects but the time it
takes, as the expression may be evaluated as written afterwards: exact types only, attributes only where they are found
in dictionaries.
"""

from __future__ import annotations

import ast
import re
import types
from typing import Any

import numpy as np

from minpy.records import dataclass

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
ITEM = "["  # what a step of a chain begins with that is a dictionary's key, not an attribute
NUMBERS = (int, float, complex, bool, np.float64, np.float32, np.int64, np.int32, np.complex128, np.bool_)


class Irregular(Exception):
    """The block runs as written this time: its values are not what is computed here."""


@dataclass(frozen=True)
class Operation:
    """One operation: of leaves (numbers from 0) and of earlier operations (from -1 downwards)."""

    name: str
    operands: tuple[int, ...]
    symbol: str  # the operator as written, or "" for a function


@dataclass(frozen=True)
class Result:
    """What a statement of a block leaves behind.

    Attributes
    ----------
    kind : str
        ``"value"``: a new array. ``"store"``: elements that are assigned to. ``"augment"``: elements that are changed
        in place; the operation says how, and reads them.
    value : int
        The operation.
    leaf : int
        What is written into; -1 for a value.
    before, after : tuple of int
        The leaves that are read up to this statement (itself included), and after it.
    """

    kind: str
    value: int
    leaf: int = -1
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()


class Program:
    """What a block computes: an expression, or statements one after the other.

    Attributes
    ----------
    operations : list of Operation
        In the order of evaluation.
    leaves : list of str
        What each leaf is in terms of ``v0`` …, and of ``w0`` … for attributes.
    chains : list of tuple
        Of each ``w``: the number of the name that it starts from, and the steps: attributes, and keys behind `ITEM`.
    names : int
        How many names there are; `uses` counts how often each of them, and then of the chains, stands in leaves.
    exponents : tuple of int
        The leaves that exponents are made of: NumPy has functions of their own for some.
    bases, whole : dict
        Of leaves that are names, chains or parts of them, their numbers; of those that are these themselves.
    value : str
        Of a single augmented assignment, the text of its value if that is an operation; else "".
    results : list of Result
        In the order of the statements. Names that nobody reads afterwards (``d0``, ``d1`` …) have none.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.operations: list[Operation] = []
        self.leaves: list[str] = []
        self.chains: list[tuple[int, tuple[str, ...]]] = []
        self.results: list[Result] = []
        self.rolls: dict[int, Any] = {}  # of leaves that are rolled: a function of the names that gives how
        self._rolled: dict[str, int] = {}
        self._rolls_of: dict[int, list[tuple[ast.expr, ast.expr | None]]] = {}
        self._nodes: list[ast.expr] = []
        self._held: dict[str, int] = {}  # what names and leaves stand for after they were assigned to
        self._read_so_far: list[int] = []
        read_when: list[int] = []
        statements = ast.parse(text).body
        self.value = ""
        match statements:
            case [ast.AugAssign(value=ast.BinOp() | ast.Call() | ast.Compare() as value)]:
                self.value = ast.unparse(value)
        for statement in statements:
            self._statement(statement)
            read_when += [len(self._read_so_far)] * (len(self.results) - len(read_when))
        self.results = [
            Result(
                each.kind,
                each.value,
                each.leaf,
                tuple(self._read_so_far[:count]),
                tuple(self._read_so_far[count:]),
            )
            for each, count in zip(self.results, read_when, strict=True)
        ]
        # What NumPy's functions in it may be called; in whichever way, they must be NumPy's.
        called = {each.name for each in self.operations if not each.symbol}
        self.called = (*called, *(name for name, same in _SAME.items() if same in called))
        self.names = _count_names(text)
        names = ", ".join(
            [*(f"v{i}" for i in range(self.names)), *(f"w{i}" for i in range(len(self.chains)))]
        )
        self.code = eval(f"lambda {names}: ({', '.join(self.leaves)},)", {"__builtins__": {}})
        self.bases: dict[int, int] = {}
        self.whole: dict[int, int] = {}
        for leaf, node in enumerate(self._nodes):
            base = _base(node)
            if base is not None:
                self.bases[leaf] = self.place(base.id)
                if node is base:
                    self.whole[leaf] = self.place(base.id)
        self.uses = [0] * (self.names + len(self.chains))
        for leaf, rolls in self._rolls_of.items():
            parts = ", ".join(
                f"({ast.unparse(a)}, {'None' if b is None else ast.unparse(b)})" for a, b in rolls
            )
            self.rolls[leaf] = eval(f"lambda {names}: ({parts},)", {"__builtins__": {}})
        # What says how far must be what it is.
        self._lengths = [part for rolls in self._rolls_of.values() for pair in rolls for part in pair if part]
        self.pinned = {
            self.place(each.id)
            for node in self._lengths
            for each in ast.walk(node)
            if isinstance(each, ast.Name)
        }
        for node in [*self._nodes, *self._lengths]:
            for each in ast.walk(node):
                if isinstance(each, ast.Name):
                    self.uses[self.place(each.id)] += 1
        self.exponents = self._exponents()
        self._indices: dict[int, Any] = {}
        self._allowed: dict[tuple[type, ...], bool] = {}

    def _exponents(self) -> tuple[int, ...]:
        found = {each.operands[1] for each in self.operations if each.name in ("**", "power")}
        for number in range(len(self.operations) - 1, -1, -1):
            if -number - 1 in found:
                found |= set(self.operations[number].operands)
        return tuple(sorted(each for each in found if each >= 0))

    def place(self, name: str) -> int:
        """The number of a name among the names, or of a chain behind them."""
        return int(name[1:]) + (self.names if name[0] == "w" else 0)

    def followed(self, names: tuple[Any, ...]) -> tuple[Any, ...]:
        """The names, and behind them what the chains lead to.

        Raises
        ------
        Irregular
            Getting there may run somebody's code.
        """
        for start, attributes in self.chains:
            value = names[start]
            for attribute in attributes:
                value = _attribute(value, attribute)
            names = (*names, value)
        return names

    def node(self, leaf: int) -> ast.expr:
        """The tree of a leaf."""
        return self._nodes[leaf]

    @property
    def result(self) -> int:
        """What the only result is: an operation, or a leaf."""
        (result,) = self.results
        return result.value

    def _statement(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Expr(value=value):
                self.results.append(Result("value", self._read(value)))
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name[0] in "dr":
                self._held[name] = found = self._read(value)
                if name[0] == "r":
                    self.results.append(Result("value", found))
            case ast.Assign(targets=[target], value=value):
                found = self._read(value)
                leaf = self._leaf(target)
                self.results.append(Result("store", found, leaf))
                self._held[self.leaves[leaf]] = found
            case ast.AugAssign(target=target, op=op, value=value):
                leaf = self._leaf(target)
                old = self._held.get(self.leaves[leaf], leaf)
                self._read_so_far.append(leaf)
                operation = Operation(BINARY[type(op)], (old, self._read(value)), "binary")
                self.operations.append(operation)
                found = -len(self.operations)
                self.results.append(Result("augment", found, leaf))
                self._held[self.leaves[leaf]] = found
            case _:
                raise Irregular(self.text)

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
            case ast.Call(func=ast.Name(id="roll")):
                return self._roll(node)
            case ast.Call(func=ast.Name(id=name), args=operands):
                return self._add(_SAME.get(name, name), operands, "")
            case ast.Name(id=name) if name[0] in "dr":
                return self._held[name]
        leaf = self._leaf(node)
        held = self._held.get(self.leaves[leaf])
        if held is not None:
            return held
        self._read_so_far.append(leaf)
        return leaf

    def _add(self, name: str, operands: list[ast.expr], symbol: str) -> int:
        operation = Operation(name, tuple([self._read(each) for each in operands]), symbol)
        self.operations.append(operation)
        return -len(self.operations)

    def _roll(self, node: ast.expr) -> int:
        """A leaf that is an array of the program's, rolled."""
        text = ast.unparse(node)
        rolls: list[tuple[ast.expr, ast.expr | None]] = []
        while isinstance(node, ast.Call):
            node, shift, axis = (*node.args, None)[:3]
            rolls.insert(0, (_Chains(self.chains).visit(shift), axis and _Chains(self.chains).visit(axis)))
        if text not in self._rolled:
            node = _Chains(self.chains).visit(node)
            if re.sub(r"\s", "", ast.unparse(node)) in self._held:
                raise Irregular  # what is rolled was written before
            self.leaves.append(f"({ast.unparse(node)})")
            self._nodes.append(node)
            self._rolled[text] = len(self.leaves) - 1
            self._rolls_of[self._rolled[text]] = rolls
        self._read_so_far.append(self._rolled[text])
        return self._rolled[text]

    def _leaf(self, node: ast.expr) -> int:
        node = _Chains(self.chains).visit(node)
        text = re.sub(r"\s", "", ast.unparse(_loaded(node)))
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
        if self.chains:
            names = self.followed(names)
        kinds = tuple(map(type, names))
        allowed = self._allowed.get(kinds)
        if allowed is None:
            if len(self._allowed) > 100:
                self._allowed.clear()
            allowed = self._allowed[kinds] = self._may_evaluate(kinds)
        if not allowed:
            raise Irregular
        return self.code(*names)

    def rolled(self, names: tuple[Any, ...]) -> tuple[tuple[int, Any], ...]:
        """Which leaves are rolled, and how: by how much along which axis, one after the other."""
        names = self.followed(names)
        return tuple(
            (leaf, tuple((int(shift), None if axis is None else int(axis)) for shift, axis in rolls(*names)))
            for leaf, rolls in self.rolls.items()
        )

    def rolled_texts(self) -> dict[int, str]:
        """Leaves that are rolled, as they are asked for."""
        found = {}
        for leaf, rolls in self._rolls_of.items():
            text = ast.unparse(self._nodes[leaf])
            for parts in rolls:
                text = f"roll({', '.join([text, *(ast.unparse(each) for each in parts if each)])})"
            found[leaf] = text
        return found

    def index(self, leaf: int, names: tuple[Any, ...]) -> Any:
        """What stands in the brackets of a leaf, of names and what chains lead to; None if it has none.

        Raises
        ------
        Irregular
            It has brackets behind brackets.
        """
        node = self._nodes[leaf]
        if not isinstance(node, ast.Subscript):
            return None
        if not isinstance(node.value, ast.Name):
            raise Irregular
        if leaf not in self._indices:
            arguments = ", ".join(
                [*(f"v{i}" for i in range(self.names)), *(f"w{i}" for i in range(len(self.chains)))]
            )
            text = ast.unparse(ast.Subscript(ast.Name("_", ast.Load()), node.slice, ast.Load()))
            text = f"lambda {arguments}: {text}"
            self._indices[leaf] = eval(text, {"__builtins__": {}, "_": _Index()})
        return self._indices[leaf](*names)

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

        if not all(map(is_index, self._lengths)):
            return False
        for node in self._nodes:
            match node:
                case ast.Name(id=name):
                    if of[name] is not np.ndarray and of[name] not in NUMBERS:
                        return False
                case ast.Subscript():
                    base = _base(node)
                    while isinstance(node, ast.Subscript):
                        if not is_index(node.slice):
                            return False
                        node = node.value
                    if base is None or of[base.id] is not np.ndarray:
                        return False
                case ast.Constant() | ast.UnaryOp(operand=ast.Constant()):
                    pass
                case _:
                    return False
        return True


def _base(node: ast.expr) -> ast.Name | None:
    """The name that a leaf is, or that stands before its brackets."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return node if isinstance(node, ast.Name) else None


def _count_names(text: str) -> int:
    return 1 + max(
        int(node.id[1:])
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Name) and node.id[0] == "v" and node.id[1:].isdigit()
    )


class _Index:
    """Gives what it is indexed with."""

    def __getitem__(self, index: Any) -> Any:
        return index


def _loaded(node: ast.expr) -> ast.expr:
    """A target as what is read there."""
    for each in ast.walk(node):
        if isinstance(each, (ast.Name, ast.Attribute, ast.Subscript)):
            each.ctx = ast.Load()
    return node


class _Chains(ast.NodeTransformer):
    """Replaces chains of attributes, and of dictionaries' items by text, by names."""

    def __init__(self, chains: list[tuple[int, tuple[str, ...]]]) -> None:
        self.chains = chains

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return self._chain(node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        return self._chain(node) if _is_item(node) else self.generic_visit(node)

    def _chain(self, node: ast.expr) -> ast.AST:
        steps: list[str] = []
        inner = node
        while not isinstance(inner, ast.Name):
            match inner:
                case ast.Attribute(attr=name):
                    steps.append(name)
                case ast.Subscript(slice=ast.Constant(value=key)) if _is_item(inner):
                    steps.append(f"{ITEM}{key}")
                case _:
                    raise Irregular  # an attribute of a part
            inner = inner.value
        chain = int(inner.id[1:]), tuple(reversed(steps))
        if chain not in self.chains:
            self.chains.append(chain)
        return ast.Name(f"w{self.chains.index(chain)}", ast.Load())


def _is_item(node: ast.expr) -> bool:
    match node:
        case ast.Subscript(slice=ast.Constant(value=str())):
            return True
    return False


def path(name: str, steps: tuple[str, ...]) -> str:
    """A chain as the program has it."""
    return name + "".join(f"[{each[1:]!r}]" if each[0] == ITEM else f".{each}" for each in steps)


def _attribute(value: Any, name: str) -> Any:
    """An attribute, if getting it runs no code of anybody's."""
    kind = type(value)
    if name[0] == ITEM:
        if kind is not dict or name[1:] not in value:
            raise Irregular
        return value[name[1:]]
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
