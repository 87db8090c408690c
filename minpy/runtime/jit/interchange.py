"""LLVM code for two loops in the other order, where an element is a sum over the inner one.

    for j in range(p):
        for k in range(m):
            c[i, j] += a[i, k] * b[k, j]

Each addition has to wait for the one before. With the loop over `k` outside the processor works on several `j` at a
time, and every element is still added up in the order of `k`. That is done where it can be told before the first round
that all indices are in bounds and that `c` shares no memory with what is read; else the loops run as they are written.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable
from functools import lru_cache

from minpy.runtime.jit.iterations import Iteration, Range
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.speculation import Speculation
from minpy.runtime.jit.stepping import degree, plan_of
from minpy.runtime.jit.values import Ref

_FEWEST = 8  # rounds of what becomes the inner loop


class Interchange(Speculation):
    """Loops whose order is changed."""

    def iteration(self, node: ast.expr) -> Iteration:
        """What the iterable of a ``for`` gives."""
        raise NotImplementedError

    def rounds(
        self,
        node: ast.For,
        step: Iteration,
        last: Callable[[], None],
        inside: Callable[[], None] | None = None,
        *,
        polls: bool = False,
        said: str = "",
    ) -> None:
        """Code for a loop; `last` writes what each round ends with, and `inside` its body if that is another one."""
        raise NotImplementedError

    def interchanged(self, node: ast.For, step: Range, as_written: Callable[[], None]) -> bool:
        """Write a loop in both orders, as it is by `as_written`; False if nothing has been written."""
        turned = turned_inside(node)
        if turned is None:
            return False
        end = self.w.fresh("end")

        def write() -> bool:
            plain = self._other_order(node, turned, step)
            self.w.jump(end)
            self.w.place(plain)
            return True

        if not self._tried(write):
            return False
        as_written()
        self.w.place(end)
        return True

    def _other_order(self, node: ast.For, turned: ast.For, step: Range) -> str:
        """Write the loop in the other order; the label that is jumped to where that is not possible."""
        (inner,) = node.body
        plan, over = plan_of(turned), self.iteration(inner.iter)
        if plan is None or not plan.flat or plan.fixed or not isinstance(over, Range):
            raise Unsupported("more than sums of numbers")
        swapped, some, plain = self.w.fresh("swapped"), self.w.fresh("some"), self.w.fresh("plain")
        enough = self.w.op(f"icmp sge i64 {step.count}, {_FEWEST}")
        enough = self.w.op(f"and i1 {enough}, {self.w.op(f'icmp sgt i64 {over.count}, 0')}")
        self.w.branch(enough, some, plain)
        self.w.place(some)
        flag, outer, reason = self.w.alloca("i1", "proved"), self.flag, self.flag_reason
        self.w.put(f"store i1 true, ptr {flag}")
        self.flag = flag
        for k in ("0", self.w.op(f"sub i64 {over.count}, 1")):
            self.bind(inner.target, over.item(k))
            bases = self.prove(turned, step, plan)
            if len(bases) < len(plan.parts):
                raise Unsupported("an index that cannot be told")
        proved = {id(each): "" for each, _ in plan.subscripts}
        self.tell_apart(plan, bases, proved)
        self.flag, self.flag_reason = outer, reason
        for each, keys in plan.subscripts:
            if not proved[id(each)]:
                raise Unsupported("arrays that may share memory")
            moves = [place for place, key in enumerate(keys) if plan.parts[key][3]]
            base = bases[keys[0]]
            if moves and not (isinstance(base, Ref) and base.type.unit and moves == [base.type.ndim - 1]):
                raise Unsupported("elements that do not lie side by side")
        self.w.branch(self.w.op(f"load i1, ptr {flag}"), swapped, plain, expected=True)
        self.w.place(swapped)
        around, self.proved = self.proved, proved
        try:
            self._add_up(inner, over, turned, step)
        finally:
            self.proved = around
        return plain

    def _add_up(self, inner: ast.For, over: Range, turned: ast.For, step: Range) -> None:
        """Write the two loops, and a third that looks at the sums."""
        with self.looked_at_once() as finish:
            # Rows are often short: what is left of them is not worth another loop.
            one = self.w.note('!"llvm.loop.interleave.count", i32 1', distinct=False)
            short = self.w.note(f"{{}}, {one}")

            def add() -> None:
                self.rounds(turned, step, self._forget, said=short)

            self.rounds(inner, over, lambda: None, add, polls=True)
            # A sum that was NaN once is so at the end.
            self.rounds(turned, step, finish, lambda: self._look(inner.body[0]))

    def _forget(self) -> None:
        if self.floats is not None:
            self.floats.clear()

    def _look(self, statement: ast.AugAssign) -> None:
        total = self.expression(statement.target)
        if total.rep == "d":
            self.ordered(total.x)


@lru_cache(maxsize=256)
def turned_inside(node: ast.For) -> ast.For | None:
    """The outer of two loops with the statement of the inner one for a body, if their order may be changed; else None.

    The inner one only adds to an element which it does not choose, from elements of other arrays.
    """
    if len(node.body) != 1 or node.orelse or not isinstance(node.target, ast.Name):
        return None
    (inner,) = node.body
    if not isinstance(inner, ast.For) or inner.orelse or not isinstance(inner.target, ast.Name):
        return None
    j, k = node.target.id, inner.target.id
    if len(inner.body) != 1 or j == k or not _is_range(inner.iter, {j, k}):
        return None
    (statement,) = inner.body
    if not isinstance(statement, ast.AugAssign) or not isinstance(statement.op, (ast.Add, ast.Sub)):
        return None
    target = statement.target
    if not isinstance(target, ast.Subscript) or k in _names(target.slice) or j not in _names(target.slice):
        return None
    for each in ast.walk(statement.value):
        if isinstance(each, ast.Subscript):
            if ast.dump(each.value) == ast.dump(target.value):
                return None
            # What is in bounds in the first and the last round must be so in all.
            parts = each.slice.elts if isinstance(each.slice, ast.Tuple) else [each.slice]
            if any({j, k} <= _names(part) or degree(part, k, set()) is None for part in parts):
                return None
    turned = copy.copy(node)
    turned.body = inner.body
    return turned


def _names(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _is_range(node: ast.expr, changing: set[str]) -> bool:
    """Whether a loop is over a range that is the same however often it is come to."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id != "range":
        return False
    if node.keywords or any(not _names(each).isdisjoint(changing) for each in node.args):
        return False
    inside = [each for argument in node.args for each in ast.walk(argument)]
    return all(
        isinstance(each.value, ast.Attribute) and each.value.attr == "shape"
        for each in inside
        if isinstance(each, ast.Subscript)
    )
