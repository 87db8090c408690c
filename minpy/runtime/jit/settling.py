"""What operators gave is looked at once for several statements.

    dx = x[i] - x[j]
    dy = y[i] - y[j]
    squared = dx * dx + dy * dy

Where `squared` is finite `dx` and `dy` are. So a run of simple statements ends with one question: whether the sum of
all numbers is finite that no other one tells of. Only where it is not is each of them looked at.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager

from minpy.runtime.jit.operators import Operators, Result
from minpy.runtime.jit.values import Val, Variable

_PERHAPS = (ast.IfExp, ast.BoolOp, ast.NamedExpr, ast.Lambda, ast.comprehension)


class Settling(Operators):
    """Results of operators that are looked at after the statements that follow."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = 0  # how many loops are around the code here, besides the outermost one
        self._deferring = False
        self._linear = False  # whether what is computed now is computed once, and before all that follows
        self._unsettled: list[tuple[int, Result]] = []  # with their lines
        self._covered: set[str] = set()  # what the sum tells of that is looked at after the loop
        self._held: dict[
            str, str
        ] = {}  # what the variables hold, by their places, since this run of statements began
        self._same: dict[str, str] = {}  # what is as finite as another number

    @contextmanager
    def run_of_statements(self) -> Iterator[None]:
        """Statements of one block: what they left is looked at before it ends."""
        kept = self._deferring, self._linear, self._unsettled, self._covered, self._held
        self._deferring, self._unsettled, self._covered = False, [], set()
        self._held = dict(self._held) if self._linear else {}
        try:
            yield
            if not self.w.ended:
                self.settle_all()
        finally:
            self._deferring, self._linear, self._unsettled, self._covered, self._held = kept

    def begin_statement(self, node: ast.stmt) -> int:
        """Decide whether results of a statement may wait; gives how many wait already."""
        straight = is_straight(node)
        self._deferring = straight and (bool(self.inner) or _sets_names(node))
        if not self._deferring:
            self.settle_all()
        if not (straight and self._linear):
            self._held = {}
        self._linear = straight or (isinstance(node, ast.Return) and not _is_conditional(node))
        return len(self._unsettled)

    def take_back(self, count: int) -> None:
        """A statement is not compiled: what it left is gone."""
        del self._unsettled[count:]
        self._held = {}

    def settle(self, results: list[Result]) -> None:
        if self._deferring:
            self._unsettled += [(self.line, result) for result in results]
        else:
            super().settle(results)

    def settle_all(self) -> None:
        """Look at what waits."""
        waiting, self._unsettled = self._unsettled, []
        taken = {self.origin(x) for _, result in waiting for x in result.passed} | self._covered
        left = [each for each in waiting if each[1].x not in taken]
        self._covered = set()
        if left:
            self.look_at(left, waiting)

    def cover(self, results: list[Result]) -> None:
        """The results of a sum, which is looked at after the loop."""
        self._covered |= {self.origin(x) for result in results for x in result.passed}

    def as_finite_as(self, x: str, other: str) -> None:
        self._same[x] = self.origin(other)

    def origin(self, x: str) -> str:
        """What a number was called where it was computed."""
        return self._same.get(x, x)

    def load(self, variable: Variable) -> Val:
        value = super().load(variable)
        if variable.value in self._held:
            self.as_finite_as(value.x, self._held[variable.value])
        return value

    def assign(self, variable: Variable, value: Val) -> None:
        super().assign(variable, value)
        if self._linear and value.rep == variable.rep:
            self._held[variable.value] = self.origin(value.x)
        else:
            self._held.pop(variable.value, None)


def is_straight(node: ast.stmt) -> bool:
    """Whether all of a statement is computed, once, if any of it is."""
    return isinstance(node, (ast.Assign, ast.AugAssign)) and not _is_conditional(node)


def _is_conditional(node: ast.stmt) -> bool:
    return any(
        isinstance(each, _PERHAPS) or (isinstance(each, ast.Compare) and len(each.ops) > 1)
        for each in ast.walk(node)
    )


def _sets_names(node: ast.stmt) -> bool:
    """Whether a statement sets nothing but variables."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]  # type: ignore[attr-defined]
    return all(isinstance(each, ast.Name) for each in targets)
