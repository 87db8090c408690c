"""What is known of a loop that is to be differentiated: the kinds of its names, and what of it is differentiated."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minpy.runtime.jit.adjoint.nodes import (
    FLOAT,
    INT,
    PREFIX,
    Branch,
    Kind,
    Put,
    Set,
    Times,
    While,
    constant,
    everything,
    expressions,
    names_in,
)
from minpy.runtime.jit.adjoint.reading import Reader
from minpy.runtime.jit.adjoint.rules import rules_of
from minpy.runtime.jit.helpers import Helper
from minpy.runtime.jit.kinds import Unsupported

_BITS = (ast.BitAnd, ast.BitOr, ast.BitXor, ast.LShift, ast.RShift)
_WHOLE = (
    int,
    bool,
    round,
    len,
    math.floor,
    math.ceil,
    math.trunc,
    math.isnan,
    math.isinf,
    math.isfinite,
    np.int64,
)
_CUTS = (int, bool, round, np.int64, np.float64)  # of what is differentiated
_EITHER = (abs, min, max, np.abs, np.maximum, np.minimum, np.square, np.negative)
NUMBER = (float, np.float64)


class Program(Reader):
    """A loop as statements, and what is known of its names; `look` and `helper` as in `Reader`."""

    def __init__(
        self,
        node: ast.For,
        look: Callable[[str], Kind | None],
        helper: Callable[[str], Helper | None],
        shape: str = "range",
    ) -> None:
        super().__init__(look, helper)
        if node.orelse:
            raise Unsupported("a loop with else")
        for each in ast.walk(node):
            if isinstance(each, ast.Name) and each.id.startswith(PREFIX):
                raise Unsupported("a name of MinPy's own")
        self.target, heads = self._outer(node.target, shape)
        self.body = heads + self._block(node.body)
        self._check_targets(self.body, {self.target})
        self.assigned = {each.name for each in everything(self.body) if type(each) is Set}
        self.put = {each.array for each in everything(self.body) if type(each) is Put}
        self._targets = {each.target for each in everything(self.body) if type(each) is Times} | {self.target}
        if self.assigned & self._targets:
            raise Unsupported("a loop's variable is assigned in it")
        self.kinds = self._infer()
        for each in everything(self.body):
            self._check(each)
        changed = self.assigned | self.put
        own = {name for name in changed if self._is_active_at_first(name)}
        self.active = self._activity(set())
        # Whether what is active does not depend on which of the variables and arrays that it changes are so at first.
        self.settled = own <= self.active
        if not self.settled:
            self.active = self._activity(own)
        for each in everything(self.body):
            for node in expressions(each):
                self._check_cuts(node)

    def forget(self) -> None:
        """Let go of the variables that it was read with: their arrays, and the tape that these are on."""
        del self._look, self._helper

    def _check_targets(self, body: list[Any], bound: set[str]) -> None:
        """Refuse a loop's variable that is read behind the loop: going backward, it is not known yet."""
        targets = {each.target for each in everything(self.body) if type(each) is Times}

        def look(*nodes: ast.expr) -> None:
            if names_in(*nodes) & targets - bound:
                raise Unsupported("a loop's variable is read behind the loop")

        for each in body:
            if type(each) is Set:
                look(each.value)
            elif type(each) is Put:
                look(each.target, each.value)
            elif type(each) is Branch:
                look(each.test)
                self._check_targets(each.body, bound)
                self._check_targets(each.orelse, bound)
            elif type(each) is While:
                look(each.test)
                self._check_targets(each.body, bound)
            elif type(each) is Times:
                look(each.start, each.stop)
                if each.target in bound:
                    raise Unsupported("two loops with one variable")
                self._check_targets(each.body, bound | {each.target})

    def kind(self, node: ast.expr) -> str | None:
        """``"int"`` or ``"float"``; None if it is not known yet."""
        if isinstance(node, ast.Constant):
            if type(node.value) in (int, bool):
                return INT
            if type(node.value) is float:
                return FLOAT
            raise Unsupported("a constant that is no number")
        if isinstance(node, ast.Name):
            return self._kind_of_name(node.id)
        if isinstance(node, ast.Subscript):
            return self.array(node).kind
        if isinstance(node, ast.UnaryOp):
            return INT if isinstance(node.op, ast.Not) else self.kind(node.operand)
        if isinstance(node, (ast.Compare, ast.BoolOp)):
            parts = [node.left, *node.comparators] if isinstance(node, ast.Compare) else node.values
            kinds = [self.kind(each) for each in parts]
            if isinstance(node, ast.BoolOp) and FLOAT in kinds:
                raise Unsupported("and, or of numbers")
            return INT
        if isinstance(node, ast.IfExp):
            self.kind(node.test)
            return _join(self.kind(node.body), self.kind(node.orelse))
        if isinstance(node, ast.BinOp):
            return self._kind_of_operation(node)
        if isinstance(node, ast.Call):
            return self._kind_of_call(node)
        raise Unsupported("an expression that is none of numbers")

    def _kind_of_name(self, name: str) -> str | None:
        if name in self._targets:
            return INT
        if name in self.assigned:
            return self.kinds.get(name)
        found = self.find(name)
        if found is None or found.ndim or found.kind == "known":
            raise Unsupported(f"{self.renamed.get(name, name)} is no number")
        return found.kind

    def array(self, node: ast.Subscript) -> Kind:
        """The array of which this is an element."""
        if not isinstance(node.value, ast.Name):
            raise Unsupported("an element of an expression")
        found = None if node.value.id in self.assigned else self.find(node.value.id)
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if found is None or found.ndim != len(parts):
            raise Unsupported(f"{ast.unparse(node)} is no element of an array")
        for part in parts:
            if isinstance(part, (ast.Slice, ast.Starred)) or self.kind(part) not in (INT, None):
                raise Unsupported(f"{ast.unparse(node)} is no element of an array")
        return found

    def _kind_of_operation(self, node: ast.BinOp) -> str | None:
        left, right = self.kind(node.left), self.kind(node.right)
        if isinstance(node.op, ast.MatMult):
            raise Unsupported("@ of numbers")
        if isinstance(node.op, ast.Div):
            return FLOAT
        if isinstance(node.op, ast.Pow) and left == right == INT:
            power = constant(node.right)
            if type(power) is not int or power < 0:
                raise Unsupported("an integer to a power that is not known")
        if isinstance(node.op, _BITS) and FLOAT in (left, right):
            raise Unsupported("bits of floating-point numbers")
        return _join(left, right)

    def _kind_of_call(self, node: ast.Call) -> str | None:
        function = self.function(node)
        if function is len:
            if len(node.args) == 1 and isinstance(node.args[0], ast.Name):
                found = self.find(node.args[0].id)
                if found is not None and found.ndim and node.args[0].id not in self.assigned:
                    return INT
            raise Unsupported("len of no array")
        kinds = [self.kind(each) for each in node.args]
        if not kinds or (function is round and len(kinds) > 1) or (function in (min, max) and len(kinds) < 2):
            raise Unsupported(f"this call of {ast.unparse(node.func)}")
        if any(function is each for each in _WHOLE):
            return INT
        if any(function is each for each in NUMBER):
            return FLOAT
        if function not in (min, max, *NUMBER) and rules_of(function, len(kinds)) is None:
            raise Unsupported(f"a call of {ast.unparse(node.func)}")
        if any(function is each for each in _EITHER):
            found: str | None = INT
            for kind in kinds:
                found = _join(found, kind)
            return found
        return FLOAT

    # ----- what is inferred -----------------------------------------------------------------------

    def _infer(self) -> dict[str, str]:
        """The kinds of the variables that are assigned."""
        self.kinds: dict[str, str] = {}
        for name in self.assigned:
            found = self.find(name)
            if found is not None and (found.ndim or found.kind == "known"):
                raise Unsupported(f"{name} is no number")
            if found is not None:
                self.kinds[name] = found.kind
        while True:
            before = dict(self.kinds)
            for each in everything(self.body):
                if type(each) is Set:
                    kind = _join(self.kinds.get(each.name), self.kind(each.value))
                    if kind is not None:
                        self.kinds[each.name] = kind
            if self.kinds == before:
                return self.kinds

    def _check(self, statement: Any) -> None:
        """Refuse what is no number, or what stores elsewhere than into arrays of numbers."""
        if type(statement) is Set:
            if self.kind(statement.value) is None:
                raise Unsupported(f"{statement.name} is not known")
        elif type(statement) is Put:
            if self.array(statement.target).fixed or self.kind(statement.value) is None:
                raise Unsupported(f"a store into {statement.array}")
        elif type(statement) in (Branch, While):
            self.kind(statement.test)
        elif type(statement) is Times:
            if not self.kind(statement.start) == self.kind(statement.stop) == INT:
                raise Unsupported("a range of no integers")

    def _check_cuts(self, node: ast.expr) -> None:
        """Refuse what is an error under a tape, since it would cut the gradient."""
        for each in ast.walk(node):
            if isinstance(each, ast.Call) and any(self.function(each) is cut for cut in _CUTS):
                if any(map(self.is_active, each.args)):
                    raise Unsupported(f"{ast.unparse(each.func)} of a differentiated value")

    def _is_active_at_first(self, name: str) -> bool:
        found = self.find(name)
        return found is not None and found.active

    def is_always_active(self, name: str) -> bool:
        """Whether a variable or an array is being differentiated, whatever the loop does."""
        return name not in self.assigned | self.put and self._is_active_at_first(name)

    def _activity(self, found: set[str]) -> set[str]:
        """The variables and arrays that are, or may become, differentiated, if `found` of those it changes are."""
        every = {name for name in self._kinds if name not in self.renamed.values()} | self.assigned
        found |= {name for name in every if self.is_always_active(name)}
        self.active = found
        while True:
            before = len(found)
            for each in everything(self.body):
                if type(each) not in (Set, Put) or not self.is_active(each.value):
                    continue
                if type(each) is Set:
                    if self.kinds[each.name] == FLOAT:
                        found.add(each.name)
                    continue
                array = self.array(each.target)
                if array.kind != FLOAT:
                    continue
                if array.plain:
                    raise Unsupported("a differentiated value is stored into an array from outside")
                found |= {name for name in every if self._shares(name, array)}
            if len(found) == before:
                return found

    def _shares(self, name: str, array: Kind) -> bool:
        kind = None if name in self.assigned else self.find(name)
        return kind is not None and kind.ndim > 0 and kind.group == array.group and kind.kind == FLOAT

    def shares(self, name: str) -> set[str]:
        """The arrays whose memory that of `name` is, or may be."""
        array = self.find(name)
        assert array is not None
        return {
            each
            for each, kind in self._kinds.items()
            if each not in self.assigned and kind is not None and kind.ndim and kind.group == array.group
        }

    def has(self, name: str) -> bool:
        """Whether a name is one of the program's, or of what was made of it here."""
        return not name.startswith(PREFIX) or name in self.renamed or name.startswith(f"{PREFIX}p")

    def leaves(self, node: ast.expr) -> set[str]:
        """The variables and arrays through which an expression is active."""
        if not self.is_active(node):
            return set()
        if isinstance(node, ast.Name):
            return {node.id}
        if isinstance(node, ast.Subscript):
            return {node.value.id}  # type: ignore[attr-defined]
        parts: list[ast.expr] = []
        if isinstance(node, ast.IfExp):
            parts = [node.body, node.orelse]
        elif isinstance(node, ast.UnaryOp):
            parts = [node.operand]
        elif isinstance(node, ast.BinOp):
            parts = [node.left, node.right]
        elif isinstance(node, ast.Call):
            parts = node.args
        return set().union(*map(self.leaves, parts))

    def is_active(self, node: ast.expr) -> bool:
        """Whether a cotangent can flow into an expression."""
        if self.kind(node) != FLOAT:
            return False
        if isinstance(node, ast.Name):
            return node.id in self.active
        if isinstance(node, ast.Subscript):
            return node.value.id in self.active  # type: ignore[attr-defined]
        if isinstance(node, ast.IfExp):
            return self.is_active(node.body) or self.is_active(node.orelse)
        if isinstance(node, ast.UnaryOp):
            return self.is_active(node.operand)
        if isinstance(node, ast.BinOp):
            return self.is_active(node.left) or self.is_active(node.right)
        return isinstance(node, ast.Call) and any(map(self.is_active, node.args))


def _join(one: str | None, other: str | None) -> str | None:
    if one is None or other is None:
        return one or other
    return FLOAT if FLOAT in (one, other) else INT
