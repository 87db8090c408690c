"""Which arrays that a loop's statements compute only its next statements read, element by element.

    slope = u[1:] - u[:-1]
    flux[1:] = np.where(slope > 0, 0, slope)

Such an array need not be made: whatever reads it computes its elements. It is found in the text alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache

from minpy.records import dataclass

_BLOCKS = ("body", "orelse", "finalbody")
_JUMPS = (ast.Break, ast.Continue, ast.Return)
# What is in one of these may be computed not at all, or several times.
_APART = (ast.IfExp, ast.BoolOp, ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp, ast.Lambda)
_ELEMENTWISE = frozenset(
    "where minimum maximum sqrt square abs absolute floor ceil trunc rint round around less less_equal greater "
    "greater_equal equal not_equal add subtract multiply divide negative "
    "logical_and logical_or logical_xor logical_not isnan isinf isfinite".split()
)

# Along the first axis: several elements of each column, which are computed as they are looked at.
_EXTREMA = frozenset(("max", "min", "amax", "amin", "argmax", "argmin"))


@dataclass(frozen=True)
class Use:
    """What becomes of an array: the `last` statement that reads it, how many do, and whether it is then `seen`.

    It is where the variable keeps it when the round is over.
    """

    last: ast.stmt
    count: int
    seen: bool
    selects: bool = False  # the statement selects by it


def _names(node: ast.AST) -> Iterator[ast.Name]:
    return (each for each in ast.walk(node) if isinstance(each, ast.Name))


def defined(statement: ast.stmt) -> list[ast.Name]:
    """The names to which a statement gives values of their own."""
    if isinstance(statement, ast.AugAssign):
        return [statement.target] if isinstance(statement.target, ast.Name) else []
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return []
    target, value = statement.targets[0], statement.value
    if isinstance(target, ast.Name):
        return [target]
    if not isinstance(target, ast.Tuple) or not isinstance(value, ast.Tuple):
        return []
    names = [each for each in target.elts if isinstance(each, ast.Name)]
    odd = (ast.Starred, ast.Call)
    if len({each.id for each in names}) < len(target.elts) or len(target.elts) != len(value.elts):
        return []
    return [] if any(isinstance(each, odd) for each in ast.walk(value)) else names


def branches(statement: ast.stmt) -> bool:
    """Whether a statement may do something not at all, or several times."""
    if any(hasattr(statement, each) for each in _BLOCKS):
        return True
    apart = (each for each in ast.walk(statement) if isinstance(each, _APART))
    return any(isinstance(inner, ast.Call) for each in apart for inner in ast.walk(each))


def _reads(statement: ast.stmt, name: str) -> bool | None:
    """Whether a statement reads an array's elements, and nothing else of it; None if it does something else."""
    parents = {id(child): node for node in ast.walk(statement) for child in ast.iter_child_nodes(node)}
    found = False
    if _selects(statement, name):
        return True
    for each in _names(statement):
        if each.id != name:
            continue
        parent = parents[id(each)]
        if isinstance(parent, ast.AugAssign):
            if isinstance(parent.op, ast.MatMult):
                return None
        elif isinstance(each.ctx, ast.Store):
            continue
        elif not _is_elementwise(parent, each):
            return None
        above = parent
        while above is not statement:
            if isinstance(above, _APART):
                return None
            above = parents[id(above)]
        found = True
    return found


def _selects(statement: ast.stmt, name: str) -> bool:
    """Whether a statement is ``x = a[name]``: what selects elements is read once."""
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return False
    target, value = statement.targets[0], statement.value
    return (
        isinstance(target, ast.Name)
        and isinstance(value, ast.Subscript)
        and isinstance(value.value, ast.Name)
        and isinstance(value.slice, ast.Name)
        and value.slice.id == name not in (target.id, value.value.id)
    )


def _is_elementwise(node: ast.AST, operand: ast.Name) -> bool:
    """Whether a node makes something of each element of an operand."""
    if isinstance(node, ast.BinOp):
        if isinstance(node.op, ast.Pow):
            return isinstance(node.right, ast.Constant) and node.right.value in (2, 0.5)
        return not isinstance(node.op, ast.MatMult)
    if isinstance(node, ast.UnaryOp):
        return not isinstance(node.op, ast.Not)
    if isinstance(node, ast.Compare):
        return len(node.ops) == 1
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in _EXTREMA and isinstance(node.func, ast.Attribute):
            return [operand] == node.args and [ast.unparse(each) for each in node.keywords] == ["axis=0"]
        return name in _ELEMENTWISE and not node.keywords and operand in node.args
    if isinstance(node, ast.Assign):
        return len(node.targets) == 1 and isinstance(node.targets[0], ast.Subscript)
    return False


def _use(body: list[ast.stmt], place: int, name: str, shown: bool) -> Use | None:
    """What becomes of the value that the statement at a place gives a name; None if it must be made.

    `shown` says that the frame has the name, whose value is there where a loop is left.
    """
    last, count, selects = None, 0, False
    for statement in body[place + 1 :]:
        if not any(each.id == name for each in _names(statement)):
            if shown and any(isinstance(each, _JUMPS) for each in ast.walk(statement)):
                return None
            continue
        reads = None if branches(statement) else _reads(statement, name)
        if reads is None:
            return None
        if reads:
            last, count = statement, count + 1
            selects = selects or _selects(statement, name)
            if selects and count > 1:
                return None
        if any(each.id == name and not isinstance(each.ctx, ast.Load) for each in _names(statement)):
            simply = any(each.id == name for each in defined(statement))
            return Use(last, count, False, selects) if simply and last is not None else None
    return Use(last, count, shown, selects) if last is not None else None


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    for each in ast.walk(node):
        for field in _BLOCKS:
            block = getattr(each, field, None)
            if isinstance(block, list):
                yield block


@lru_cache(maxsize=32)
def _leaving(root: ast.AST) -> frozenset[str]:
    """The names in a loop or a function that are read somewhere else than behind what sets them in the same block."""
    behind: set[int] = set()
    for block in _blocks(root):
        names: set[str] = set()
        for statement in block:
            behind |= {id(each) for each in _names(statement) if each.id in names}
            names |= {each.id for each in defined(statement)}
    changed = (each for each in ast.walk(root) if isinstance(each, ast.AugAssign))
    targets = {id(each.target) for each in changed}
    read = (each for each in _names(root) if isinstance(each.ctx, ast.Load) or id(each) in targets)
    return frozenset(each.id for each in read if id(each) not in behind)


def _ends(body: list[ast.stmt], place: int, name: str) -> bool:
    """Whether a later statement of the block sets a name anew."""
    return any(each.id == name for statement in body[place + 1 :] for each in defined(statement))


@lru_cache(maxsize=128)
def uses(owner: ast.AST, root: ast.AST) -> dict[int, Use]:
    """For the body of a loop, or of a function that is made part of one: what becomes of its arrays.

    By the identity of the name that is set. `root` is the whole loop, or the function.
    """
    body: list[ast.stmt] = owner.body  # type: ignore[attr-defined]
    found: dict[int, Use] = {}
    # Where a round may end early, or nobody knows which is the last one, all that it sets must be there.
    kept = not isinstance(owner, ast.For) or any(
        isinstance(each, _JUMPS) for part in body for each in ast.walk(part)
    )
    for place, statement in enumerate(body):
        for target in defined(statement):
            use = _use(body, place, target.id, not isinstance(root, ast.FunctionDef))
            if use is None or (use.seen and kept):
                continue
            if not _ends(body, place, target.id) and target.id in _leaving(root):
                continue
            found[id(target)] = use
    return found
