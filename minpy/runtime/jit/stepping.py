"""What the text of an innermost loop tells before the loop runs: which indices step evenly, and what a round does."""

from __future__ import annotations

import ast
import copy
from functools import lru_cache

from minpy.records import dataclass
from minpy.runtime.jit.ir import HAS_FLAGS

_LONGEST = 400  # nodes of a body that is written twice
_LOOPS = (ast.For, ast.While, ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp)
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.USub)
_SIMPLE_CALLS = frozenset({"sqrt", "fabs", "abs", "float", "float64"})

# Of numbers in a round: elements or what is made of them, integers that only the round's number decides, others.
LOADED, COUNTED, FIXED = "loaded", "counted", "fixed"

Key = tuple[str, int, str]


@dataclass(frozen=True)
class Plan:
    """What of a loop's body can be told before it.

    `subscripts` are the elements whose indices step evenly, with the keys of their parts in `parts`: the array, the
    axis, the index, and whether it changes. `flat` says that a round only computes numbers and stores them. `fixed` are
    those that are stored into and stay the same; `moving` says that others are. `steady` are those, by identity, whose
    indices are made of elements that stay the same as long as nothing that is stored into shares their memory. `even`
    are variables that step evenly and are part of an index.
    """

    subscripts: tuple[tuple[ast.Subscript, tuple[Key, ...]], ...]
    parts: dict[Key, tuple[ast.expr, int, ast.expr, bool]]
    flat: bool
    fixed: tuple[ast.Subscript, ...]
    moving: bool
    steady: frozenset[int] = frozenset()
    even: frozenset[str] = frozenset()


@lru_cache(maxsize=256)
def plan_of(node: ast.For) -> Plan | None:
    """The plan for a loop; None if it is to have one version."""
    inside = [each for statement in node.body for each in ast.walk(statement)]
    if not isinstance(node.target, ast.Name) or len(inside) > _LONGEST:
        return None
    if any(isinstance(each, _LOOPS) for each in inside):
        return None
    stored = {each.id for each in inside if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load)}
    if node.target.id in stored:
        return None
    found: list[tuple[ast.Subscript, tuple[Key, ...]]] = []
    parts: dict[Key, tuple[ast.expr, int, ast.expr, bool]] = {}
    # What a function is called for may store as well.
    calls = any(isinstance(each, ast.Call) for each in inside)
    written = {ast.dump(each.value) for each in inside if isinstance(each, ast.Subscript) and is_stored(each)}
    steady = set()
    values: dict[
        str, ast.expr
    ] = {}  # of variables that the statements so far have set, where they step evenly
    for statement in node.body:
        for each in ast.walk(statement):
            if not isinstance(each, ast.Subscript) or not _is_fixed(each.value, stored):
                continue
            nodes = each.slice.elts if isinstance(each.slice, ast.Tuple) else [each.slice]
            nodes = [_put(values, part) for part in nodes]
            degrees = [degree(part, node.target.id, stored) for part in nodes]
            if None in degrees and not calls:
                degrees = [degree(part, node.target.id, stored, written) for part in nodes]
                steady.add(id(each))
            if None in degrees:
                continue
            keys = []
            for axis, (part, number) in enumerate(zip(nodes, degrees, strict=True)):
                keys.append((ast.dump(each.value), axis, ast.dump(part)))
                parts[keys[-1]] = (each.value, axis, part, number == 1)
            found.append((each, tuple(keys)))
        name = _set_once(statement, inside)
        if name is not None:
            value = _put(values, statement.value)  # type: ignore[attr-defined]
            if degree(value, node.target.id, stored, None if calls else written) is not None:
                values[name] = value
    if not found:
        return None
    fixed = tuple(each for each, keys in found if is_stored(each) and not any(parts[key][3] for key in keys))
    targets = [
        each for each in inside if isinstance(each, (ast.Subscript, ast.Attribute)) and is_stored(each)
    ]
    # What is an index of elements that are known to be there is an integer.
    indices = {each.id for one, _ in found for each in ast.walk(one.slice) if isinstance(each, ast.Name)}
    even = frozenset(indices & values.keys())
    flat = HAS_FLAGS and _is_flat(node, {id(each) for each, _ in found}, even)
    return Plan(tuple(found), parts, flat, fixed, len(targets) > len(fixed), frozenset(steady), even)


def _set_once(statement: ast.stmt, inside: list[ast.AST]) -> str | None:
    """The variable that a statement, and no other one of a loop, sets."""
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return None
    (target,) = statement.targets
    if not isinstance(target, ast.Name):
        return None
    sets = [
        each for each in inside if isinstance(each, ast.Name) and each.id == target.id and is_stored(each)
    ]
    return target.id if sets == [target] else None


class _Put(ast.NodeTransformer):
    def __init__(self, values: dict[str, ast.expr]) -> None:
        self._values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._values.get(node.id, node)


def _put(values: dict[str, ast.expr], node: ast.expr) -> ast.expr:
    """An expression with the values of variables in their place."""
    if not any(isinstance(each, ast.Name) and each.id in values for each in ast.walk(node)):
        return node
    return _Put(values).visit(copy.deepcopy(node))


def is_neighbour(node: ast.Subscript, statement: ast.stmt) -> bool:
    """Whether an element lies in the row in which a statement stores another one."""
    target = statement.targets[0] if isinstance(statement, ast.Assign) else None
    if not isinstance(target, ast.Subscript) or ast.dump(target.value) != ast.dump(node.value):
        return False
    one, other = (
        (each.elts if isinstance(each, ast.Tuple) else [each]) for each in (target.slice, node.slice)
    )
    rows = [[ast.dump(part) for part in parts[:-1]] for parts in (one, other)]
    return len(one) == len(other) and rows[0] == rows[1] and ast.dump(one[-1]) != ast.dump(other[-1])


def _is_fixed(node: ast.expr, stored: set[str]) -> bool:
    """Whether an array is named that stays the same."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name) and node.id not in stored


def degree(node: ast.expr, target: str, stored: set[str], written: set[str] | None = None) -> int | None:
    """1 of an index that steps evenly as the loop's variable does, 0 of one that stays the same, else None.

    With `written`, the arrays that are stored into, elements of others stay the same.
    """
    if isinstance(node, ast.Subscript) and written is not None:
        nodes = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if not _is_fixed(node.value, stored) or ast.dump(node.value) in written:
            return None
        return 0 if all(degree(part, target, stored, written) == 0 for part in nodes) else None
    if isinstance(node, ast.Constant):
        return 0 if type(node.value) is int else None
    if isinstance(node, ast.Name) and node.id == target:
        return 1
    if isinstance(node, (ast.Name, ast.Attribute)):
        return 0 if _is_fixed(node, stored) else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return degree(node.operand, target, stored, written)
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub, ast.Mult)):
        left, right = (degree(each, target, stored, written) for each in (node.left, node.right))
        if left is None or right is None or (isinstance(node.op, ast.Mult) and left + right > 1):
            return None
        return max(left, right)
    return None


def _is_flat(node: ast.For, proved: set[int], indices: frozenset[str]) -> bool:
    """Whether each round computes numbers, all of which go into what it stores, from elements and fixed numbers.

    `indices` are variables that step evenly and are integers.
    """
    needed: set[str] = set()
    for statement in reversed(node.body):
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
        elif isinstance(statement, ast.AugAssign) and isinstance(statement.op, _OPERATORS):
            target = statement.target
        else:
            return False
        if isinstance(target, ast.Name):
            if target.id not in needed:
                if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
                    continue  # nothing is computed
                return False
            if isinstance(statement, ast.Assign):
                needed.discard(target.id)
        elif not isinstance(target, ast.Subscript) or id(target) not in proved:
            return False
        sources = [statement.value, *([target.slice] if isinstance(target, ast.Subscript) else [])]
        needed |= {each.id for part in sources for each in ast.walk(part) if isinstance(each, ast.Name)}
    names = {each.id: LOADED for each in ast.walk(node) if isinstance(each, ast.Name) and is_stored(each)}
    names[node.target.id] = COUNTED  # type: ignore[attr-defined]
    if needed & (names.keys() - {node.target.id}):  # type: ignore[attr-defined]
        return False  # a round needs what the one before computed
    for statement in node.body:
        value = statement.value  # type: ignore[attr-defined]
        if isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
            value = ast.BinOp(ast.Name(statement.target.id, ast.Load()), statement.op, value)
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        is_index = isinstance(target, ast.Name) and target.id in indices
        kind = COUNTED if is_index else _kind(value, names, proved)
        if kind is None:
            return False
        if isinstance(value, ast.BinOp) and value is not statement.value:  # type: ignore[attr-defined]
            names[statement.target.id] = kind  # type: ignore[attr-defined]
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            names[statement.targets[0].id] = kind
        elif isinstance(statement, ast.Assign) and kind == FIXED and not _is_small(statement.value):
            return False  # it may have to be rounded
    return True


def is_stored(node: ast.Name | ast.Subscript | ast.Attribute) -> bool:
    return isinstance(node.ctx, ast.Store)


def _is_small(node: ast.expr) -> bool:
    while isinstance(node, ast.UnaryOp):
        node = node.operand
    return isinstance(node, ast.Constant) and type(node.value) is float and abs(node.value) < 1e38


def _kind(node: ast.expr, names: dict[str, str], proved: set[int]) -> str | None:
    """What a number in a round is made of; None of one that must be looked at in each.

    An operation that needs no element of an array could be moved by the compiler to a place before the loop where
    nobody looks at the processor's flags. (Elements are loaded behind that place.)
    """
    if isinstance(node, ast.Subscript):
        return LOADED if id(node) in proved else None
    if isinstance(node, ast.Name):
        return names.get(node.id, FIXED)
    if isinstance(node, ast.Attribute):
        return FIXED
    if isinstance(node, ast.Constant):
        return {int: COUNTED, float: FIXED}.get(type(node.value))
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name not in _SIMPLE_CALLS or node.keywords or len(node.args) != 1:
            return None
        return LOADED if _kind(node.args[0], names, proved) == LOADED else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _kind(node.operand, names, proved)
    if isinstance(node, ast.BinOp) and isinstance(node.op, _OPERATORS):
        kinds = {_kind(each, names, proved) for each in (node.left, node.right)}
        if None in kinds:
            return None
        if LOADED in kinds:
            return LOADED
        return COUNTED if kinds == {COUNTED} and not isinstance(node.op, ast.Div) else None
    return None


def assigned(node: ast.For) -> set[str]:
    """The variables that a loop sets."""
    inside = [node.target, *(each for statement in node.body for each in ast.walk(statement))]
    return {each.id for each in inside if isinstance(each, ast.Name) and is_stored(each)}


def storing(node: ast.For) -> list[ast.stmt]:
    """The statements of a loop that store into elements."""
    inside = [each for statement in node.body for each in ast.walk(statement) if isinstance(each, ast.stmt)]
    targets = [(each, getattr(each, "targets", [getattr(each, "target", None)])) for each in inside]
    return [each for each, found in targets if any(isinstance(target, ast.Subscript) for target in found)]


def sum_of(node: ast.AST) -> str | None:
    """The variable, or the element, that a statement adds to, or subtracts from."""
    if isinstance(node, ast.AugAssign) and isinstance(node.op, (ast.Add, ast.Sub)):
        return node.target.id if isinstance(node.target, ast.Name) else ast.dump(node.target)
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp) and len(node.targets) == 1:
        target, value = node.targets[0], node.value
        if isinstance(value.op, (ast.Add, ast.Sub)) and isinstance(target, ast.Name):
            if any(isinstance(each, ast.Name) and each.id == target.id for each in (value.left, value.right)):
                return target.id
    return None


def summed(node: ast.For) -> frozenset[str]:
    """The variables that a loop only adds to (``s += x``, ``s = s - x``): one that is not finite stays so."""
    sums: set[str] = set()
    others = {node.target.id} if isinstance(node.target, ast.Name) else set()
    inside = [each for statement in node.body for each in ast.walk(statement)]
    steps = set()
    for each in inside:
        name = sum_of(each)
        if name is not None and not isinstance(getattr(each, "target", None), ast.Subscript):
            sums.add(name)
            steps.add(id(each.target if isinstance(each, ast.AugAssign) else each.targets[0]))  # type: ignore[attr-defined]
    others |= {
        each.id for each in inside if isinstance(each, ast.Name) and is_stored(each) and id(each) not in steps
    }
    return frozenset(sums - others)
