"""Short loops over ranges that the program's text decides are written out, one round after the other.

    for di in range(2):
        for dj in range(2):
            best = max(best, x[2 * i + di, 2 * j + dj])

What is around them is then an innermost loop (`minpy.runtime.jit.versions`), whose indices can be told before it. Of a
loop over ``range(d)``, where `d` is a small number when the code is made, that is done in a version for this number.
"""

from __future__ import annotations

import ast
import builtins
import copy
from functools import lru_cache
from typing import Any

from minpy.runtime.jit.operators import folded_constant

MOST = 9  # rounds
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


@lru_cache(maxsize=256)
def written_out_for(
    node: ast.For, counts: tuple[tuple[str, int], ...]
) -> tuple[ast.For, frozenset[str]] | None:
    """A loop in which those inside are written out whose numbers of rounds are variables with these values.

    Gives the loop and the variables that matter; None if loops are left inside, or there are none.
    """
    values, used, stored = dict(counts), set(), set()
    for each in (inner for statement in node.body for inner in ast.walk(statement)):
        if isinstance(each, (ast.While, *_SCOPES)):
            return None
        if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load):
            stored.add(each.id)
        if isinstance(each, ast.For):
            call = each.iter
            if not isinstance(call, ast.Call) or not all(
                isinstance(part, (ast.Name, ast.Constant)) for part in call.args
            ):
                return None
            used |= {part.id for part in call.args if isinstance(part, ast.Name)}
    if not used or not used <= values.keys() or used & (stored | _names_of(node.target)):
        return None
    found = copy.copy(node)
    found.body = _written_out([_with_numbers(statement, values) for statement in node.body])
    if any(isinstance(each, ast.For) for statement in found.body for each in ast.walk(statement)):
        return None
    return found, frozenset(used)


def _names_of(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _with_numbers(statement: ast.stmt, values: dict[str, int]) -> ast.stmt:
    """A copy of a statement with numbers for the variables in what its loops run over."""
    statement = copy.deepcopy(statement)
    for each in ast.walk(statement):
        if isinstance(each, ast.For):
            each.iter.args = [  # type: ignore[attr-defined]
                ast.copy_location(ast.Constant(values[part.id]), part) if isinstance(part, ast.Name) else part
                for part in each.iter.args  # type: ignore[attr-defined]
            ]
    return statement


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
    if not 1 <= len(rounds) <= MOST:
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
