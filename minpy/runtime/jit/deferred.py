"""LLVM code for arrays that are not made, as only the next statements read their elements (`liveness`).

A variable then stands for an expression. It is computed into an array where something would change what it is made of
while it is still wanted; and at the end of a loop's last round, for the frame, if the variable keeps it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from minpy.records import dataclass
from minpy.runtime.jit.abreast import Abreast
from minpy.runtime.jit.arraystores import LARGEST_READ, is_turned_all
from minpy.runtime.jit.liveness import Use, branches, uses
from minpy.runtime.jit.values import Lazy, Ref
from minpy.runtime.jit.wholes import is_whole, kind_of

Key = tuple[Any, ...]
# As many operations on an element as take as long as storing and reading it, per statement that reads it.
_WORTH = 4


@dataclass(frozen=True)
class Later:
    """An expression that a variable stands for: what is known of its use, and how the variable gets the array.

    `seen` says that the variable must hold it at the end; `done`, that all has been written that reads it.
    """

    value: Lazy
    use: Use
    bind: Callable[[Ref], None]
    seen: bool
    done: bool = False


class Deferred(Abreast):
    """Variables that stand for expressions."""

    def __init__(self) -> None:
        super().__init__()
        self.plan: dict[int, Use] = {}
        self.now: list[ast.stmt] = []  # the statements that are being written, from the outermost one on
        self.lasts: list[
            Callable[[], str]
        ] = []  # of the loops around the code: whether this is the last round

    def key_of(self, name: str) -> Key:
        """What a variable is called in `pending`."""
        return (name,)

    def binder(self, name: str) -> Callable[[Ref], None]:
        """What lets a variable hold an array."""
        raise NotImplementedError

    def scope(self) -> ast.AST:
        """The loop, or the function that is being made part of it."""
        raise NotImplementedError

    def plan_for(self, owner: ast.AST) -> dict[int, Use]:
        """What becomes of the arrays that the body of a loop or a function makes."""
        return uses(owner, self.scope())

    def _name(self, node: ast.Name) -> Any:
        later = self.pending.get(self.key_of(node.id))
        return super()._name(node) if later is None else later.value

    def defer(self, target: ast.expr, value: Any) -> bool:
        """Let a variable stand for an expression, if its array need not be made."""
        use = self.plan.get(id(target))
        if use is None or not isinstance(value, Lazy) or not isinstance(target, ast.Name):
            return False
        if use.selects and not self.tells_by_limits(value):
            return False
        if value.cost * (use.count - 1) > _WORTH * use.count:
            return False
        self.size_of(value.dims, LARGEST_READ)
        if use.seen:
            self.ordered_alike(value, is_turned_all(value))
        for ref in {ref.owner: ref for ref in value.refs if ref.fresh}.values():
            self.pinned(ref)  # the variable that holds it may get another array
        self.pending[self.key_of(target.id)] = Later(value, use, self.binder(target.id), use.seen)
        return True

    def passed(self, statement: ast.stmt) -> None:
        """A statement has been written."""
        if branches(statement):
            self.extrema.clear()
        for key, later in list(self.pending.items()):
            if later.use.last is statement:
                if later.seen:
                    self.pending[key] = replace(later, done=True)
                else:
                    del self.pending[key]

    def make(self, key: Key) -> None:
        """Compute what a variable stands for, and let it hold that."""
        later = self.pending.pop(key)
        later.bind(self.held(later.value))

    def make_at_last(self, keys: list[Key]) -> None:
        """The same in the last round only: nothing but the frame will read it."""
        if not keys:
            return
        if len(self.lasts) == 1:
            self.loggable = False  # the array of the round before is not there
        last, on = self.w.fresh("last"), self.w.fresh("on")
        self.w.branch(self.lasts[-1](), last, on)
        self.w.place(last)
        for key in keys:
            later = self.pending[key]
            later.bind(self.held(later.value))
            self.pending[key] = replace(later, seen=False)
        self.w.place(on)

    def make_all(self) -> None:
        """Before code that may run not at all or several times."""
        self.make_at_last([key for key, later in self.pending.items() if later.done and later.seen])
        for key, later in list(self.pending.items()):
            if later.done:
                del self.pending[key]
            else:
                self.make(key)

    def end_round(self) -> None:
        """At the end of a loop's body."""
        self.make_at_last([key for key, later in self.pending.items() if later.seen])
        self.pending.clear()

    def before(self, statement: ast.stmt) -> None:
        """Before a statement is written."""
        if branches(statement):
            self.extrema.clear()
            if self.pending:
                self.make_all()

    def note_written(self, ref: Ref) -> None:
        super().note_written(ref)
        for number, (value, _) in list(self.extrema.items()):
            if not self._stays(value, ref):
                del self.extrema[number]
        last = []
        for key, later in list(self.pending.items()):
            if self._stays(later.value, ref):
                continue
            if not later.done and (not self.now or later.use.last is not self.now[-1]):
                self.make(key)
            elif later.seen:
                last.append(key)
        self.make_at_last(last)

    def _stays(self, value: Lazy, ref: Ref) -> bool:
        """Whether an expression stays what it is when an array is stored into; the loop may be left to make it so."""
        near = [each for each in dict.fromkeys(value.refs) if self.may_meet(ref, each)]
        if not near:
            return True
        if self.flag or self.postponed or self.retry or ref.fresh:
            return False
        for each in near:
            pairs = {(one, other) for one in ref.roots for other in each.roots}
            if each.fresh or not pairs or not all(self.are_apart_now(*pair) for pair in pairs):
                return False
        for each in near:
            self.disjoint(ref, each)
        return True

    def are_apart_now(self, one: str, other: str) -> bool:
        """Whether two arrays that came in share no memory as they are now."""
        raise NotImplementedError

    def changed_later(self, target: ast.Name, symbol: str, current: Lazy, value: Any) -> None:
        """``t += x`` of a variable that stands for an expression: nothing else holds its array."""
        self.several(symbol, current)
        changed = self.whole(self.binary(symbol, current, value))
        self.same_elements(changed, current)
        if not self.defer(target, changed):
            self.pending.pop(self.key_of(target.id), None)
            self.binder(target.id)(self.held(changed))

    def several(self, symbol: str, array: Any) -> None:
        """Leave the loop where an array of one complex number is multiplied in place: NumPy rounds that differently."""
        if symbol == "*" and kind_of(array) == "complex128":
            self.guard(
                self.w.op(f"icmp ne i64 {self.size_of(array.dims)}, 1"), "one complex number, in place"
            )

    def same_elements(self, changed: Any, current: Any) -> None:
        """Make sure that what an array is changed to has its kind and its shape."""
        raise NotImplementedError

    def parts_later(self, targets: list[ast.expr], nodes: list[ast.expr]) -> list[Any]:
        """The values of a tuple that is assigned to names; those that are deferred are not computed."""
        found = []
        for target, node in zip(targets, nodes, strict=True):
            value = self.expression(node)
            later = id(target) in self.plan and is_whole(value)
            found.append(value if later and isinstance(value, Lazy) else self.pinned(self.kept(value)))
        return found
