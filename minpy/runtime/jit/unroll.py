"""Short loops over ranges that the program's text decides are written out, one round after the other.

    for di in range(2):
        for dj in range(2):
            best = max(best, x[2 * i + di, 2 * j + dj])

What is around them is then an innermost loop (`minpy.runtime.jit.versions`), whose indices can be told before it.
"""

from __future__ import annotations

import ast
import builtins
import copy
from typing import Any

from minpy.runtime.jit.operators import folded_constant

_MOST = 9  # rounds
_LARGEST = 250  # nodes that may become of one loop
_JUMPS = (ast.Break, ast.Continue)
_SCOPES = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def unrolled(node: ast.For | ast.While, known: dict[str, Any]) -> ast.For | ast.While:
    """A loop, in which others are written out; `node` itself if there is nothing of the kind."""
    if known.get("range") is not builtins.range:
        return node
    if not any(_rounds(each) for statement in node.body for each in ast.walk(statement)):
        return node
    found = copy.copy(node)
    found.body = _written_out(node.body)
    return found


def _rounds(node: ast.AST) -> range | None:
    """What a loop runs over, if its text says it and that is little."""
    if not isinstance(node, ast.For) or node.orelse or not isinstance(node.target, ast.Name):
        return None
    call = node.iter
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id != "range":
        return None
    ends = [folded_constant(each) for each in call.args]
    if call.keywords or not 1 <= len(ends) <= 3 or any(type(each) is not int for each in ends):
        return None
    try:
        rounds = range(*ends)  # type: ignore[arg-type]
    except ValueError:
        return None
    if not 1 <= len(rounds) <= _MOST:
        return None
    for each in (inner for statement in node.body for inner in ast.walk(statement)):
        if isinstance(each, (*_JUMPS, *_SCOPES)):
            return None
        if isinstance(each, ast.Name) and each.id == node.target.id and not isinstance(each.ctx, ast.Load):
            return None
    return rounds


def _written_out(body: list[ast.stmt]) -> list[ast.stmt]:
    new: list[ast.stmt] = []
    for statement in body:
        rounds = _rounds(statement)
        statement = copy.copy(statement)
        for name in ("body", "orelse"):
            if isinstance(getattr(statement, name, None), list):
                setattr(statement, name, _written_out(getattr(statement, name)))
        if rounds is None or not isinstance(statement, ast.For):
            new.append(statement)
            continue
        nodes = sum(1 for each in statement.body for _ in ast.walk(each))
        if nodes * len(rounds) > _LARGEST:
            new.append(statement)
            continue
        for number in rounds:
            value = ast.copy_location(ast.Constant(number), statement.iter)
            new.append(ast.copy_location(ast.Assign([statement.target], value), statement))
            new += [
                _Constant(statement.target.id, number).visit(copy.deepcopy(each)) for each in statement.body
            ]
    return new


class _Constant(ast.NodeTransformer):
    """Puts a number in the place of a variable."""

    def __init__(self, name: str, number: int) -> None:
        self._name, self._number = name, number

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id == self._name and isinstance(node.ctx, ast.Load):
            return ast.copy_location(ast.Constant(self._number), node)
        return node
