"""LLVM code for what is computed where a comparison holds, which often is everywhere: ``a[a > 0] = a[a > 0] ** -1.5``.

The comparison is made once. Where it holds for all elements, the statement is the same without it, and nothing has to
be taken out and put back.
"""

from __future__ import annotations

import ast
import copy
from functools import lru_cache
from typing import Any

from minpy.records import dataclass
from minpy.runtime.jit.ahead import Ahead
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.values import Ref
from minpy.runtime.jit.wholes import is_whole, kind_of

_PARTS = (ast.BinOp, ast.UnaryOp, ast.Name, ast.Constant, ast.operator, ast.unaryop, ast.Load)
_ODD = (ast.MatMult, ast.Not)
_MASK = "%where"  # what the mask is called, which has no name in the program


@dataclass(frozen=True)
class Everywhere:
    """A statement's mask, the statement with a name in its place and without it, the arrays and the other names."""

    mask: ast.expr
    named: ast.Assign
    plain: ast.Assign
    arrays: tuple[str, ...]
    numbers: tuple[str, ...]


class ByComparison(Ahead):
    """Statements that work where a comparison holds."""

    scopes: list[dict[str, Any]]  # names that stand for something while an expression is written

    def by_comparison(self, node: ast.Assign) -> bool:
        """Write a statement with and without its mask; False if nothing has been written."""
        found = everywhere_of(node)
        if found is None:
            return False
        around = list(self.scopes)
        written = self._written_apart(lambda: self._write_both(node, found))
        self.scopes = around
        return written

    def _write_both(self, node: ast.Assign, found: Everywhere) -> bool:
        def value_of(name: str) -> object:
            return self.expression(ast.copy_location(ast.Name(name, ast.Load()), node))

        mask = self.held(self.whole(self.expression(found.mask)))
        arrays = [value_of(name) for name in found.arrays]
        if kind_of(mask) != "bool_" or "1" in mask.dims or any(map(is_whole, map(value_of, found.numbers))):
            raise Unsupported("another mask")
        alike = "true"
        for array in arrays:
            if not isinstance(array, Ref) or array.type.sequence or len(array.dims) != len(mask.dims):
                raise Unsupported("a mask of another shape")
            for dim, other in zip(mask.dims, array.dims, strict=True):
                alike = self.w.op(f"and i1 {alike}, {self.w.op(f'icmp eq i64 {dim}, {other}')}")
        every = self.w.alloca("i8", "every")
        self.w.put(f"store i8 1, ptr {every}")

        def look(indices: list[str]) -> None:
            byte = self.w.op(f"load i8, ptr {self.item(mask, indices, checked=False).pointer}")
            both = self.w.op(f"and i8 {self.w.op(f'load i8, ptr {every}')}, {byte}")
            self.w.put(f"store i8 {both}, ptr {every}")

        self.nest(self._unfolded(mask.dims, [mask]), look)
        holds = self.w.op(f"icmp eq i8 {self.w.op(f'load i8, ptr {every}')}, 1")
        plain, named, end = (self.w.fresh(hint) for hint in ("everywhere", "somewhere", "end"))
        self.w.branch(self.w.op(f"and i1 {alike}, {holds}"), plain, named)
        self.w.place(plain)
        self._assigned(found.plain)
        self.w.jump(end)
        self.w.place(named)
        self.scopes.append({_MASK: mask})
        self._variable_at[mask.pointer] = _MASK
        self._assigned(found.named)
        self.w.place(end)
        return True

    def _assigned(self, node: ast.Assign) -> None:
        """Write an assignment as it stands."""
        raise NotImplementedError


class _Put(ast.NodeTransformer):
    """Puts a name in the place of a mask, or the array in the place of what it selects."""

    def __init__(self, mask: str, name: str) -> None:
        self._mask, self._new = mask, name
        self.arrays: set[str] = set()

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        if not isinstance(node.value, ast.Name) or ast.dump(node.slice) != self._mask:
            self.generic_visit(node)
            return node
        self.arrays.add(node.value.id)
        if not self._new:
            return node.value
        index = ast.copy_location(ast.Name(self._new, ast.Load()), node.slice)
        return ast.copy_location(ast.Subscript(node.value, index, node.ctx), node)


@lru_cache(maxsize=256)
def everywhere_of(node: ast.Assign) -> Everywhere | None:
    """What the text of a statement says, if it stores where a comparison holds what is made of elements there."""
    target = node.targets[0]
    if len(node.targets) > 1 or not isinstance(target, ast.Subscript):
        return None
    if not isinstance(target.value, ast.Name) or not _is_comparison(target.slice):
        return None
    mask = ast.dump(target.slice)
    put = _Put(mask, "")
    value = put.visit(copy.deepcopy(node.value))
    nodes = list(ast.walk(value))
    if not put.arrays or not all(isinstance(each, _PARTS) and not isinstance(each, _ODD) for each in nodes):
        return None
    numbers = {each.id for each in nodes if isinstance(each, ast.Name)} - put.arrays
    everything = ast.copy_location(ast.Constant(...), target.slice)
    whole = ast.copy_location(ast.Subscript(target.value, everything, ast.Store()), target)
    named = _Put(mask, _MASK).visit(copy.deepcopy(node))
    plain = ast.copy_location(ast.Assign([whole], value), node)
    return Everywhere(
        target.slice, named, plain, tuple(sorted({target.value.id} | put.arrays)), tuple(sorted(numbers))
    )


def _is_comparison(node: ast.expr) -> bool:
    """Whether an expression compares one time what names and numbers stand for."""
    if not isinstance(node, ast.Compare) or len(node.ops) != 1:
        return False
    return all(
        isinstance(each, (ast.Name, ast.Constant))
        or (isinstance(each, ast.UnaryOp) and isinstance(each.operand, ast.Constant))
        for each in (node.left, *node.comparators)
    )


__all__ = ["ByComparison", "everywhere_of"]
