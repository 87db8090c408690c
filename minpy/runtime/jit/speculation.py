"""LLVM code for choices that are computed both ways.

    x = x // 2 if x % 2 == 0 else 3 * x + 1
    if a[i] == b[j]: same += 1

Where the values to choose from take a few instructions the processor computes all of them and takes one: it need not
guess which way the program goes. Where one of them cannot be computed as it stands (an overflow of the one that is not
chosen, for instance), the way is taken that the program describes.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from minpy.runtime.jit.choices import Choices, stored_by_all
from minpy.runtime.jit.expressions import TYPES
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.leaving import constant_of
from minpy.runtime.jit.values import Val

_MOST = 8  # operations, and elements, of all that is computed
_SMALL = 16  # factors
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.BitAnd, ast.BitOr, ast.BitXor)
_CALLS = {"min": builtins.min, "max": builtins.max, "abs": builtins.abs}


class Speculation(Choices):
    """Conditional expressions, and conditional statements that set one variable or one element."""

    def __init__(self) -> None:
        super().__init__()
        self._speculating = False  # whether guards lead to the way as written

    def _ifexp(self, node: ast.IfExp) -> Any:
        as_written = super()._ifexp
        if self._is_cheap(node):
            value = self._tried(lambda: self._either_way(node, lambda: as_written(node)))
            if value is not None:
                return value
        return as_written(node)

    def _chosen(self, node: ast.If) -> Val:
        as_written = super()._chosen
        choice = _of_elements(node)
        if choice is not None and self._is_cheap(choice):
            value = self._tried(lambda: self._either_way(choice, lambda: as_written(node)))
            if value is not None:
                return value
        return as_written(node)

    def set_either_way(self, node: ast.If, as_written: Callable[[], None]) -> bool:
        """Write a statement that sets one variable; False if nothing has been written."""
        choice = _of_variable(node)
        if choice is None or not self._is_cheap(choice[1]):
            return False
        end = self.w.fresh("end")

        def write() -> bool:
            value, odd = self._speculated(choice[1])
            self.bind(choice[0], value)
            if odd:
                self.w.jump(end)
                self.w.place(odd)
                as_written()
                self.w.place(end)
            return True

        return bool(self._tried(write))

    def _either_way(self, node: ast.expr, as_written: Callable[[], Val]) -> Val:
        value, odd = self._speculated(node)
        if not odd:
            return value
        end = self.w.fresh("end")
        place, type_ = self.w.alloca(TYPES[value.rep], "chosen"), TYPES[value.rep]
        self.w.put(f"store {type_} {value.x}, ptr {place}")
        self.w.jump(end)
        self.w.place(odd)
        other = as_written()
        if other.kind != value.kind:
            raise Unsupported("a value whose type changes")
        self.w.put(f"store {type_} {other.x}, ptr {place}")
        self.w.place(end)
        return replace(value, x=self.w.op(f"load {type_}, ptr {place}"))

    def _speculated(self, node: ast.expr) -> tuple[Val, str]:
        """A value whose guards lead to a block, if there are any, that is to go the way as written."""
        if self.flag:
            return self._both(node), ""
        odd, length = self.w.fresh("odd"), len(self.w.lines)
        around = self.retry, self._speculating
        self.retry, self._speculating = odd, True
        try:
            value = self._both(node)
        finally:
            self.retry, self._speculating = around
        return value, odd if any(f"%{odd}" in line for line in self.w.lines[length:]) else ""

    def _both(self, node: ast.expr) -> Val:
        if not isinstance(node, ast.IfExp):
            value = self._operand(self.expression(node))
            if value.rep == "d" and any(isinstance(each, ast.BinOp) for each in _computed(node)):
                raise Unsupported("a float that is to be looked at")
            return value
        condition = self.truth(self.expression(node.test))
        (one, fine), (other, well) = (self._arm(each) for each in (node.body, node.orelse))
        if fine:
            chosen = self.w.op(f"select i1 {condition}, i1 {fine}, i1 {well}")
            self.guard(chosen, self.flag_reason)
        if one.kind is None or one.kind != other.kind or one.rep not in TYPES or one.rep == "c":
            raise Unsupported("a value whose type changes")
        type_ = TYPES[one.rep]
        return replace(one, x=self.w.op(f"select i1 {condition}, {type_} {one.x}, {type_} {other.x}"))

    def _arm(self, node: ast.expr) -> tuple[Val, str]:
        """What may be chosen and, where guards only lower a flag, whether they would not."""
        if not self.flag:
            return self._both(node), ""
        around, self.flag = self.flag, self.w.alloca("i1", "arm")
        self.w.put(f"store i1 true, ptr {self.flag}")
        try:
            value = self._both(node)
            return value, self.w.op(f"load i1, ptr {self.flag}")
        finally:
            self.flag = around

    def _is_cheap(self, node: ast.expr) -> bool:
        """Whether all parts of an expression may be computed, whatever is chosen, in a few instructions."""
        if self.floats is not None:
            return False  # what is not chosen would raise the processor's flags
        parts = _computed(node)
        elements = {ast.dump(each) for each in parts if isinstance(each, ast.Subscript)}
        if (
            len(elements) + sum(isinstance(each, (ast.BinOp, ast.Call, ast.Compare)) for each in parts)
            > _MOST
        ):
            return False
        return all(self._is_harmless(each) for each in parts)

    def _is_harmless(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Subscript):
            return id(node) in self.proved
        if isinstance(node, ast.BinOp):
            return isinstance(node.op, _OPERATORS) or _is_power_of_two(node)
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            return name in _CALLS and self.known.get(name) is _CALLS[name] and not node.keywords
        if isinstance(node, ast.Compare):
            return len(node.ops) == 1
        if isinstance(node, ast.UnaryOp):
            return isinstance(node.op, (ast.USub, ast.Not))
        return isinstance(node, (ast.Name, ast.Constant, ast.IfExp))

    def exact(self, name: str, a: str, b: str) -> str:
        factor = next((each for each in map(constant_of, (a, b)) if each is not None), None)
        if name != "smul" or not self._speculating or factor is None or not 1 < factor <= _SMALL:
            return super().exact(name, a, b)
        # So far from 64 bits that LLVM sees that what is added next fits as well; a product takes three cycles.
        x, most = (b if constant_of(a) is not None else a), 2**62 // factor
        shifted = self.w.op(f"add i64 {x}, {most}")
        self.guard(self.w.op(f"icmp ult i64 {shifted}, {2 * most}"), "an integer needs more than 64 bits")
        return self.w.op(f"mul i64 {x}, {factor}")


def _computed(node: ast.expr) -> list[ast.expr]:
    """The parts of an expression; what stands in a subscript counts as one with it, and so does what is called."""
    inside: list[ast.expr] = []
    if isinstance(node, ast.Call):
        inside = node.args
    elif not isinstance(node, ast.Subscript):
        inside = [each for each in ast.iter_child_nodes(node) if isinstance(each, ast.expr)]
    return [node, *(part for each in inside for part in _computed(each))]


def _is_power_of_two(node: ast.BinOp) -> bool:
    value = node.right.value if isinstance(node.right, ast.Constant) else None
    return (
        isinstance(node.op, (ast.FloorDiv, ast.Mod))
        and type(value) is int
        and value > 0
        and not value & (value - 1)
    )


def _of_elements(node: ast.If) -> ast.IfExp | None:
    """What ``if`` and ``else`` that store into one element store, as an expression (see `stored_by_all`)."""
    if stored_by_all(node) is None:
        return None
    arms = []
    for (statement,) in (node.body, node.orelse):
        arm = _of_elements(statement) if isinstance(statement, ast.If) else statement.value  # type: ignore[attr-defined]
        if arm is None:
            return None
        arms.append(arm)
    return ast.copy_location(ast.IfExp(node.test, *arms), node)


def _of_variable(node: ast.If) -> tuple[ast.Name, ast.IfExp] | None:
    """The variable that is all that an ``if`` (and its ``else``) sets, and what it is set to, as an expression."""
    found: ast.Name | None = None
    arms: list[ast.expr] = []
    for body in (node.body, node.orelse):
        if not body and found is not None:
            arms.append(ast.copy_location(ast.Name(found.id, ast.Load()), node))
            continue
        if len(body) != 1:
            return None
        (statement,) = body
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], statement.value
        elif isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
            target = statement.target
            name = ast.copy_location(ast.Name(target.id, ast.Load()), statement)
            value = ast.copy_location(ast.BinOp(name, statement.op, statement.value), statement)
        else:
            return None
        if not isinstance(target, ast.Name) or (found is not None and found.id != target.id):
            return None
        found = target
        arms.append(value)
    return None if found is None else (found, ast.copy_location(ast.IfExp(node.test, *arms), node))
