"""LLVM code for numbers that a condition chooses, such that LLVM sees a choice and no jump.

    if a[i] == b[j]:
        d[i, j] = d[i - 1, j - 1] + 1
    else:
        d[i, j] = max(d[i - 1, j], d[i, j - 1])

Where all branches store into the same element there is one store, of what was chosen. Where what is chosen from are
integers that take a few operations, all of them are computed, and what must not happen in one of them counts only if
it is the one: a processor that cannot foresee which way a jump goes loses as much time as twenty operations take.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from minpy.runtime.jit.expressions import TYPES
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.operators import Result
from minpy.runtime.jit.values import Val
from minpy.runtime.jit.versions import Versions

_MOST = 40  # nodes of an expression that is computed though it may not be chosen
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.BitAnd, ast.BitOr, ast.BitXor)
_DIVISIONS = (ast.FloorDiv, ast.Mod)


class Choices(Versions):
    """Conditional expressions, and conditional statements that are as good as these."""

    def __init__(self) -> None:
        super().__init__()
        self.loops: list[tuple[str, str]] = []  # where `continue` and `break` go

    def _ifexp(self, node: ast.IfExp) -> Val:
        chosen = self._tried(lambda: self._either(node.test, node.body, node.orelse))
        return chosen if chosen is not None else super()._ifexp(node)

    def stored_once(self, node: ast.If) -> bool:
        """Write ``if`` and ``else`` that store into the same element as one store, of what either computes.

        False if nothing has been written: there is no such element, or their types are not the same.
        """
        target = stored_by_all(node)
        if target is None:
            return False

        def store(value: Callable[[], Val]) -> bool:
            self.bind(target, value())
            return True

        return bool(
            self._tried(lambda: store(lambda: self._either(node.test, node.body[0], node.orelse[0])))
            or self._tried(lambda: store(lambda: self._chosen(node)))
        )

    def _tried(self, write: Callable[[], Any]) -> Any:
        """What `write` gives, or None if it is `Unsupported`; then nothing has been written."""
        length, ended, exits, reasons = len(self.w.lines), self.w.ended, dict(self.exits), len(self.reasons)
        kept = self.conditional, self.inner, self.line, self.flag, self.flag_reason
        loops = list(self.loops)
        try:
            return write()
        except Unsupported:
            del self.w.lines[length:]
            self.w.ended, self.exits, self.loops = ended, exits, loops
            del self.reasons[reasons:]
            self.conditional, self.inner, self.line, self.flag, self.flag_reason = kept
            return None

    # With jumps.

    def _chosen(self, node: ast.If) -> Val:
        """What the branch that is taken would store, as `stored_by_all` describes them."""
        yes, no, end = self.w.fresh("yes"), self.w.fresh("no"), self.w.fresh("end")
        self.condition(node.test, yes, no)
        place, first = "", None
        for label, (statement,) in ((yes, node.body), (no, node.orelse)):
            self.w.place(label)
            self.line = statement.lineno
            if isinstance(statement, ast.If):
                value = self._chosen(statement)
            else:
                results: list[Result] = []
                value = self._operand(self.tree(statement.value, results))
                self.settle(results)
            if value.kind is None or (first is not None and value.kind != first.kind):
                raise Unsupported("a value whose type changes")
            place, first = place or self.w.alloca(TYPES[value.rep], "chosen"), value
            self.w.put(f"store {TYPES[value.rep]} {value.x}, ptr {place}")
            self.w.jump(end)
        self.w.place(end)
        return replace(first, x=self.w.op(f"load {TYPES[first.rep]}, ptr {place}"))

    # Without.

    def _either(self, test: ast.expr, yes: ast.AST, no: ast.AST) -> Val:
        """One of two integers."""
        value, fine, reason = self._selected(test, yes, no)
        if self.flag:
            self.guard(fine, reason)
        elif fine != "true":
            on = self.w.fresh("on")
            self.w.branch(fine, on, self.exit(reason), expected=True, whole=True)
            self.w.place(on)
        return value

    def _selected(self, test: ast.expr, yes: ast.AST, no: ast.AST) -> tuple[Val, str, str]:
        """One of two integers; whether all is well with it, and what may not be."""
        if not isinstance(test, (ast.Compare, ast.Name)) or (
            isinstance(test, ast.Compare) and len(test.ops) > 1
        ):
            raise Unsupported("a condition with parts")
        choice, known, why = self._aside(lambda: self.truth(self.expression(test)), test)
        values, fine, reasons = [], [], []
        for part in (yes, no):
            value, well, reason = self._alternative(part)
            values.append(value)
            fine.append(well)
            reasons.append(reason)
        one, other = values
        if one.kind is None or one.kind != other.kind:
            raise Unsupported("a value whose type changes")
        x = self.w.op(f"select i1 {choice}, i64 {one.x}, i64 {other.x}{self.w.unforeseen()}")
        well = known
        if fine != ["true", "true"]:
            well = self.w.op(f"select i1 {choice}, i1 {fine[0]}, i1 {fine[1]}")
            well = well if known == "true" else self.w.op(f"and i1 {known}, {well}")
        return replace(one, x=x), well, next(filter(None, (why, *reasons)), "")

    def _alternative(self, part: ast.AST) -> tuple[Val, str, str]:
        """One of those that are chosen from, as `_selected`: an expression, or the statement that stores it."""
        if isinstance(part, ast.If):
            return self._selected(part.test, part.body[0], part.orelse[0])
        if isinstance(part, ast.IfExp):
            return self._selected(part.test, part.body, part.orelse)
        node = part.value if isinstance(part, ast.Assign) else part
        value, fine, reason = self._aside(lambda: self._operand(self.expression(node)), node)
        if value.rep != "i":
            raise Unsupported("a choice of something else than integers")
        return value, fine, reason

    def _aside(self, write: Callable[[], Any], node: ast.AST) -> tuple[Any, str, str]:
        """What `write` gives, for an expression, without leaving the loop; whether all is well, and what may not be."""
        if not self._is_cheap(node):
            raise Unsupported("more than a few operations, or some that do harm")
        flag, outer, reason = self.w.alloca("i1", "well"), self.flag, self.flag_reason
        self.w.put(f"store i1 true, ptr {flag}")
        self.flag, self.flag_reason = flag, ""
        value = write()
        why, self.flag, self.flag_reason = self.flag_reason, outer, reason
        return value, self.w.op(f"load i1, ptr {flag}") if why else "true", why

    def _is_cheap(self, node: ast.AST) -> bool:
        """Whether an expression takes a few operations that do no harm, whatever they are given."""
        inside = list(ast.walk(node))
        for each in inside:
            if isinstance(each, ast.BinOp):
                divisor = each.right.value if isinstance(each.right, ast.Constant) else 0
                by_power = type(divisor) is int and divisor > 0 and not divisor & (divisor - 1)
                if not isinstance(each.op, _OPERATORS) and not (isinstance(each.op, _DIVISIONS) and by_power):
                    return False
            elif isinstance(each, ast.UnaryOp):
                if not isinstance(each.op, ast.USub):
                    return False
            elif isinstance(each, ast.Subscript):
                if id(each) not in self.proved:
                    return False
            elif not isinstance(each, (ast.Name, ast.Constant, ast.Compare, ast.Tuple, *_PARTS)):
                return False
        return len(inside) <= _MOST


_PARTS = (ast.operator, ast.unaryop, ast.cmpop, ast.expr_context)


def stored_by_all(node: ast.If) -> ast.Subscript | None:
    """The element that is stored into, and nothing else done, whichever way an ``if`` goes; None if there is none."""
    found: ast.Subscript | None = None
    for body in (node.body, node.orelse):
        if len(body) != 1:
            return None
        (statement,) = body
        target: ast.expr | None = None
        if isinstance(statement, ast.If):
            target = stored_by_all(statement)
        elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
        if not isinstance(target, ast.Subscript) or (
            found is not None and ast.dump(found) != ast.dump(target)
        ):
            return None
        found = found or target
    return found
