"""The names in a loop's text: which it reads, stores, indexes, appends to, and which live on from round to round."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

from minpy.runtime.jit.kinds import Unsupported

_COMPREHENSIONS = (ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp)


class NamesOf:
    """The names in a piece of program: which it reads and stores, and which of them it takes for sequences."""

    def __init__(self, parts: Iterable[ast.AST]) -> None:
        self.read: set[str] = set()
        self.stored: set[str] = set()
        self.dotted: set[str] = set()
        self.indexed: set[str] = set()
        self.appended: set[str] = set()
        self.popped: set[str] = set()
        parts = list(parts)
        own = own_names(parts)
        for part in parts:
            for each in ast.walk(part):
                if each not in own:
                    self._note(each)

    def _note(self, node: ast.AST) -> None:
        if isinstance(node, ast.Name):
            (self.read if isinstance(node.ctx, ast.Load) else self.stored).add(node.id)
            if isinstance(node.ctx, ast.Del):
                raise Unsupported("a variable is deleted")
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            self.read.add(node.target.id)
        elif isinstance(node, ast.Attribute):
            name = dotted(node)
            if name is not None:
                self.dotted.add(name)
        elif isinstance(node, ast.Expr):
            self._append(node)
        elif isinstance(node, ast.Subscript):
            self._index(node.value)
            for part in node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]:
                self._index(part)
        elif isinstance(node, (ast.For, ast.comprehension)):
            self._index(node.iter)
        elif isinstance(node, ast.Call):
            for argument in node.args:
                self._index(argument)
            if isinstance(node.func, ast.Attribute) and node.func.attr in ("pop", "popleft"):
                self.popped.add(dotted(node.func.value) or "")

    def _append(self, node: ast.Expr) -> None:
        call = node.value
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "append":
            name = dotted(call.func.value)
            if name is not None:
                self.appended.add(name)

    def _index(self, node: ast.expr) -> None:
        name = dotted(node)
        if name is not None:
            self.indexed.add(name)


class Names(NamesOf):
    """The names in a loop; `live` are those that an iteration may read before it stores them."""

    def __init__(self, node: ast.For | ast.While, text: str) -> None:
        head = node.target if isinstance(node, ast.For) else node.test
        super().__init__([head, *node.body, *node.orelse])
        self.node, self.text = node, text
        self.live = live_names(node)
        self.lasts: dict[str, int] = {}  # of arrays that were met: `ArrayType.last`
        self.lasts_vary = False

    def wake_inner(self, site: Any) -> None:
        """Give the loops directly inside this one sites of their own."""
        from minpy.runtime.jit.sites import loops

        waiting: list[ast.AST] = [*self.node.body, *self.node.orelse]
        while waiting:
            node = waiting.pop()
            if not isinstance(node, (ast.For, ast.While)):
                waiting += ast.iter_child_nodes(node)
                continue
            what = "iter" if isinstance(node, ast.For) else "while"
            if (
                isinstance(node, ast.For)
                and isinstance(node.iter, ast.Call)
                and isinstance(node.iter.func, ast.Name)
            ):
                what = node.iter.func.id
            if what in ("iter", "range", "enumerate", "zip", "while"):
                nest = any(
                    isinstance(each, (ast.For, ast.While)) for part in node.body for each in ast.walk(part)
                )
                if what == "while" and not nest:
                    continue  # it has no site
                name = f"inner_{what}_{node.lineno}_{site.digest}"
                loops.wake(name, what, nest, node.lineno, site.digest)


def own_names(parts: Iterable[ast.AST]) -> set[ast.AST]:
    """The names that are variables of comprehensions, which nothing else sees."""
    found: set[ast.AST] = set()
    for part in parts:
        for each in ast.walk(part):
            if not isinstance(each, _COMPREHENSIONS):
                continue
            targets = {
                name.id
                for generator in each.generators
                for name in ast.walk(generator.target)
                if isinstance(name, ast.Name)
            }
            outside = set(ast.walk(each.generators[0].iter))  # is evaluated before there are any
            found |= {
                name
                for name in ast.walk(each)
                if isinstance(name, ast.Name) and name.id in targets and name not in outside
            }
    return found


def dotted(node: ast.expr) -> str | None:
    """``a.b.c`` of a chain of attributes of a name, or None."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = dotted(node.value)
        return None if base is None else f"{base}.{node.attr}"
    return None


def live_names(node: ast.For | ast.While) -> set[str]:
    """The names that an iteration may read before it stores them."""
    live: set[str] = set()
    own = own_names([node])

    def reads(part: ast.AST | None, done: set[str]) -> None:
        for each in ast.walk(part) if part is not None else ():
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load) and each.id not in done:
                if each not in own:
                    live.add(each.id)

    def block(body: list[ast.stmt], done: set[str]) -> set[str] | None:
        """What is certainly stored after statements; None if control does not come out at their end."""
        for statement in body:
            after = one(statement, done)
            if after is None:
                return None
            done = after
        return done

    def stored(target: ast.AST) -> set[str]:
        return {
            each.id
            for each in ast.walk(target)
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store) and each not in own
        }

    def one(statement: ast.stmt, done: set[str]) -> set[str] | None:
        if isinstance(statement, (ast.Break, ast.Continue, ast.Raise, ast.Return)):
            reads(statement, done)
            return None
        if isinstance(statement, ast.If):
            reads(statement.test, done)
            ends = [
                end for part in (statement.body, statement.orelse) if (end := block(part, done)) is not None
            ]
            return set.intersection(*ends) if ends else None
        if isinstance(statement, (ast.For, ast.While)):
            inside = set(done)
            if isinstance(statement, ast.For):
                reads(statement.iter, done)
                reads(statement.target, done)
                inside |= stored(statement.target)
            else:
                reads(statement.test, done)
            block(statement.body, inside)
            block(statement.orelse, set(done))
            return done
        if isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
            if statement.target.id not in done:
                live.add(statement.target.id)
        reads(statement, done)
        return done | stored(statement)

    if isinstance(node, ast.For):
        reads(node.target, set())
        block(node.body, stored(node.target))
    else:
        reads(node.test, set())
        block(node.body, set())
    block(node.orelse, set())
    return live
