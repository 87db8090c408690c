"""LLVM code for conditional statements that are as good as conditional expressions.

    if a[i] == b[j]:
        d[i, j] = d[i - 1, j - 1] + 1
    else:
        d[i, j] = max(d[i - 1, j], d[i, j - 1])

Where all branches store into the same element there is one store, of what was chosen.
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


class Choices(Versions):
    """Conditional statements that store into one element."""

    def __init__(self) -> None:
        super().__init__()
        self.loops: list[tuple[str, str]] = []  # where `continue` and `break` go

    def stored_once(self, node: ast.If) -> bool:
        """Write ``if`` and ``else`` that store into the same element as one store, of what either computes.

        False if nothing has been written: there is no such element, or their types are not the same.
        """
        target = stored_by_all(node)
        if target is None:
            return False

        def store() -> bool:
            self.bind(target, self._chosen(node))
            return True

        return bool(self._tried(store))

    def _tried(self, write: Callable[[], Any]) -> Any:
        """What `write` gives, or None if it is `Unsupported`; then nothing has been written."""
        length, ended, exits, reasons = len(self.w.lines), self.w.ended, dict(self.exits), len(self.reasons)
        kept = self.conditional, self.inner, self.counters, self.line, self.flag, self.flag_reason
        loops = list(self.loops)
        try:
            return write()
        except Unsupported:
            del self.w.lines[length:]
            self.w.ended, self.exits, self.loops = ended, exits, loops
            del self.reasons[reasons:]
            self.conditional, self.inner, self.counters, self.line, self.flag, self.flag_reason = kept
            return None

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
