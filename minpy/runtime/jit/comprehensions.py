"""LLVM code for ``sum``, ``any`` and ``all`` of generator expressions, and for sums of the elements of an array."""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Callable
from typing import Any

from minpy.runtime.jit.helpers import Helpers
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.values import Known, Ref, Several, Val, scalar

_FUNCTIONS = (builtins.sum, builtins.any, builtins.all)
_MOST = 32  # items of a display that are written out one after the other
# Python adds floats with a correction from then on.
_CORRECTS = sys.version_info >= (3, 12)
_DECIDABLE = (
    ast.Compare,
    ast.BoolOp,
    ast.UnaryOp,
    ast.BinOp,
    ast.Tuple,
    ast.Name,
    ast.Constant,
    ast.cmpop,
    ast.boolop,
    ast.unaryop,
    ast.operator,
    ast.expr_context,
)


class Comprehensions(Helpers):
    """Generator expressions whose items are used up at once."""

    def __init__(self) -> None:
        super().__init__()
        self.scopes: list[dict[str, Any]] = []  # what the variables of the expressions around stand for

    def _name(self, node: ast.Name) -> Any:
        for scope in reversed(self.scopes):
            if node.id in scope:
                return scope[node.id]
        return super()._name(node)

    def dotted(self, node: ast.expr) -> str | None:
        name = super().dotted(node)
        if name is not None and any(name.partition(".")[0] in scope for scope in self.scopes):
            return None
        return name

    def _call(self, node: ast.Call) -> Any:
        if (
            isinstance(node.func, ast.Name)
            and len(node.args) == 1
            and not node.keywords
            and not self.calls
            and self.known.get(node.func.id) in _FUNCTIONS
        ):
            function = self.known[node.func.id]
            if isinstance(node.args[0], (ast.GeneratorExp, ast.ListComp)):
                return self._used_up(function, node, node.args[0])
            if function is builtins.sum:
                return self._sum_of_elements(node)
        return super()._call(node)

    def _sum_of_elements(self, node: ast.Call) -> Val:
        value = self.expression(node.args[0])
        if not isinstance(value, Ref) or len(value.dims) != 1:
            raise Unsupported("sum() of this")
        step = self.iteration(node.args[0])
        return self._total(node, lambda add: self._looped(step.count, lambda k: add(step.item(k))))

    def _used_up(self, function: Any, node: ast.Call, items: ast.GeneratorExp | ast.ListComp) -> Any:
        if any(each.is_async for each in items.generators):
            raise Unsupported("an asynchronous generator")
        if function is builtins.sum:
            found = self._written_out(items)
            if found is not None:
                total: Any = self.constant(0)
                for item in found:
                    self._may_be_added(item)
                    total = self.binary("+", total, item)
                return total
            return self._total(
                node, lambda add: self._each(items, items.generators, lambda: add(self.expression(items.elt)))
            )
        if isinstance(items, ast.ListComp):
            raise Unsupported("any() or all() of a list")
        return self._truth_of_any(items, function is builtins.any)

    # Items known when the code is made: written out one after the other.

    def _written_out(self, items: ast.GeneratorExp | ast.ListComp) -> list[Any] | None:
        """The items, if they are made of constants of the text; else None."""
        for generator in items.generators:
            parts = generator.iter.elts if isinstance(generator.iter, (ast.Tuple, ast.List)) else None
            if parts is None or not all(isinstance(_plain(each), ast.Constant) for each in parts):
                return None
        scope: dict[str, Any] = {}
        self.scopes.append(scope)
        found: list[Any] = []
        try:
            self._write_out(items.generators, items.elt, scope, {}, found)
        finally:
            self.scopes.pop()
        return found

    def _write_out(
        self,
        generators: list[ast.comprehension],
        item: ast.expr,
        scope: dict[str, Any],
        plain: dict[str, Any],
        found: list[Any],
    ) -> None:
        if not generators:
            if len(found) >= _MOST:
                raise Unsupported("a sum of many terms")
            found.append(self.expression(item))
            return
        first, *rest = generators
        if not isinstance(first.target, ast.Name):
            raise Unsupported("a generator expression over this")
        for part in first.iter.elts:  # type: ignore[attr-defined]
            scope[first.target.id] = self.scalar(part)
            plain[first.target.id] = ast.literal_eval(part)
            if all(_decided(test, plain) for test in first.ifs):
                self._write_out(rest, item, scope, plain, found)

    # Items that are made while the code runs.

    def _total(self, node: ast.Call, run: Callable[[Callable[[Any], None]], None]) -> Val:
        total = self.temporary(node)
        self.assign(total, self.constant(0))

        def add(item: Any) -> None:
            self._may_be_added(item)
            self.assign(total, self.binary("+", self.load(total), self._operand(item)))

        run(add)
        return self.load(total)

    @staticmethod
    def _may_be_added(item: Any) -> None:
        if _CORRECTS and isinstance(item, Val) and item.kinds & {"float", "complex"}:
            raise Unsupported("sum() of floats")
        if isinstance(item, (Known, Several)) or (isinstance(item, Val) and "str" in item.kinds):
            raise Unsupported("sum() of this")

    def _looped(self, count: str, body: Callable[[str], None]) -> None:
        k, finish = self._over_elements("0", count)
        body(k)
        finish()

    def _each(
        self,
        items: ast.GeneratorExp | ast.ListComp,
        generators: list[ast.comprehension],
        use: Callable[[], None],
    ) -> None:
        """Loops over all items."""
        first, *rest = generators
        if not isinstance(first.target, (ast.Name, ast.Tuple)):
            raise Unsupported("a generator expression over this")
        step = self.iteration(first.iter)
        scope: dict[str, Any] = {}

        def body(k: str) -> None:
            self._bind_in(scope, first.target, step.item(k))
            self.scopes.append(scope)
            try:
                skip = self.w.fresh("skip")
                for test in first.ifs:
                    on = self.w.fresh("on")
                    self.condition(test, on, skip)
                    self.w.place(on)
                if rest:
                    self._each(items, rest, use)
                else:
                    use()
                self.w.place(skip)
            finally:
                self.scopes.pop()

        self.inner += 1
        self.conditional += 1
        try:
            self._looped(step.count, body)
        finally:
            self.inner -= 1
            self.conditional -= 1

    def _bind_in(self, scope: dict[str, Any], target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            scope[target.id] = value
            return
        if not isinstance(target, ast.Tuple) or not isinstance(value, Several):
            raise Unsupported("a generator expression over this")
        if len(target.elts) != len(value.items):
            raise Unsupported("unpacking something of another length")
        for part, item in zip(target.elts, value.items, strict=True):
            self._bind_in(scope, part, item)

    def _truth_of_any(self, items: ast.GeneratorExp, wanted: bool) -> Val:
        out = self.w.alloca("i1", "truth")
        self.w.put(f"store i1 {str(not wanted).lower()}, ptr {out}")
        end = self.w.fresh("decided")

        def use() -> None:
            hit, on = self.w.fresh("hit"), self.w.fresh("on")
            truth = self.truth(self.expression(items.elt))
            self.w.branch(truth, *((hit, on) if wanted else (on, hit)))
            self.w.place(hit)
            self.w.put(f"store i1 {str(wanted).lower()}, ptr {out}")
            self.w.jump(end)
            self.w.place(on)

        self._each(items, items.generators, use)
        self.w.place(end)
        return scalar("bool", "b", self.w.op(f"load i1, ptr {out}"))


def _plain(node: ast.expr) -> ast.expr:
    """The constant in ``-1``."""
    return node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else node


def _decided(test: ast.expr, plain: dict[str, Any]) -> bool:
    """Whether a condition on constants holds.

    Raises
    ------
    Unsupported
        There is more in it.
    """
    for each in ast.walk(test):
        if not isinstance(each, _DECIDABLE) or (isinstance(each, ast.Name) and each.id not in plain):
            raise Unsupported("a condition of a generator expression")
    try:
        return bool(eval(compile(ast.Expression(test), "<condition>", "eval"), {"__builtins__": {}}, plain))
    except (ArithmeticError, TypeError, ValueError) as error:
        raise Unsupported("a condition of a generator expression") from error
