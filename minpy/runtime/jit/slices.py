"""LLVM code for short loops in which each round moves the elements of one slice of an array.

    for i in range(9):
        f[:, :, i] = np.roll(f[:, :, i], cx[i], axis=1)
        f[:, :, i] = np.roll(f[:, :, i], cy[i], axis=0)

The elements of a slice lie far from each other, and each round comes by all the memory, four times: what is rolled is
laid apart first. As no round looks at another's slice, a statement can be made for all of them in one loop over
elements, in which the slices' elements lie side by side; what it gives has memory of its own, where the next statement
finds it. That is done where it can be told before that the array shares no memory with others that are read; else the
loop runs as it is written.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from minpy.records import dataclass
from minpy.runtime.jit.columns import ByColumns, Columns, is_elementwise, made_of, parts_of
from minpy.runtime.jit.iterations import Range
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.leaving import constant_of
from minpy.runtime.jit.unroll import MOST
from minpy.runtime.jit.values import Ref
from minpy.runtime.jit.wholes import breaks_of, is_whole, kind_of

_HERE = "\0slice"  # stands for a round's slice in the expressions


@dataclass(frozen=True)
class Slices:
    """What a loop's text says: the slice of a round, what becomes of it, and what else is read and called."""

    target: ast.Subscript
    values: tuple[ast.expr, ...]
    names: Columns


class BySlices(ByColumns):
    """Loops whose rounds are made together."""

    scopes: list[dict[str, Any]]

    def by_slices(self, node: ast.For, step: Range, as_written: Callable[[], None]) -> bool:
        """Write a loop for all slices at once and, by `as_written`, as it is; False if nothing has been written."""
        slices, count = slices_of(node), constant_of(step.count) or 0
        if slices is None or not 1 < count <= MOST or (step.start, step.step) != ("0", "1"):
            return False
        if not self._are_known(slices.names, lambda function: function is np.roll):
            return False
        end = self.w.fresh("end")

        def write() -> bool:
            plain = self._write_slices(node, slices, step)
            self.w.jump(end)
            self.w.place(plain)
            return True

        scopes = list(self.scopes)
        if not self._written_apart(write):
            self.scopes = scopes
            return False
        as_written()
        self.w.place(end)
        return True

    def _write_slices(self, node: ast.For, slices: Slices, step: Range) -> str:
        """Write the loop; the label that is jumped to where it must run as it is written."""
        arrays = self._arrays_of(node, slices.names)
        base = arrays[slices.target.value.id]  # type: ignore[attr-defined]
        dims = self._space(arrays, slices.target)
        parts = parts_of(slices.target)[:-1]
        if base.type.ndim != len(parts) + 1 or "1" in dims:
            raise Unsupported("other axes")
        every = (*dims, step.count)
        self.size_of(every)
        plain, together = self.w.fresh("plain"), self.w.fresh("together")
        fine = self._are_apart(slices.names, arrays)
        for dim in dims:
            fine = self.w.op(f"and i1 {fine}, {self.w.op(f'icmp sgt i64 {dim}, 0')}")
        fine = self.w.op(f"and i1 {fine}, {self.w.op(f'icmp sge i64 {base.dims[-1]}, {step.count}')}")
        self.w.branch(fine, together, plain, expected=True)
        self.w.place(together)
        whole = self.parted(base, [*parts, ast.Slice(None, ast.Constant(int(step.count)), None)])
        whole = replace(whole, dims=every)
        here = whole
        for number, value in enumerate(slices.values, 1):
            found = self._of_slices(node, value, step, here)
            if number == len(slices.values) > 1:
                self.note_written(base)
                self._store_slices(whole, found)
            else:
                here = self.fresh(base.type.dtype, every)
                self.quietly(lambda here=here, found=found: self._store_slices(here, found))
        if len(slices.values) == 1:
            self.note_written(base)
            self.fill(whole, here, apart=True)
        return plain

    def _of_slices(self, node: ast.For, value: ast.expr, step: Range, whole: Ref) -> list[Any]:
        """What an expression gives for each slice of an array."""
        found = []
        for number in range(int(step.count)):
            self.bind(node.target, step.item(str(number)))
            here = self._one_slice(whole, number)
            self.scopes.append({_HERE: here})
            one = self.expression(value)
            self.scopes.pop()
            if not is_whole(one) or kind_of(one) != whole.type.kind or len(one.dims) != len(here.dims):
                raise Unsupported("slices of another type")
            for dim, other in zip(here.dims, one.dims, strict=True):
                if dim != other:
                    self.guard(
                        self.w.op(f"icmp eq i64 {dim}, {other}"), "a store of an array of another shape"
                    )
            found.append(one)
        return found

    def _one_slice(self, whole: Ref, number: int) -> Ref:
        """One of the slices along the last axis."""
        moved = self.w.op(f"mul i64 {whole.strides[-1]}, {number}")
        type_ = whole.type._replace(ndim=len(whole.dims) - 1, unit=False)
        pointer = self.w.op(f"getelementptr i8, ptr {whole.pointer}, i64 {moved}")
        made = {"dims": whole.dims[:-1], "strides": whole.strides[:-1], "ident": "", "made": None}
        return replace(whole, type=type_, pointer=pointer, **made)

    def _store_slices(self, whole: Ref, found: list[Any]) -> None:
        """Store what each slice becomes, in one loop over the elements of all."""
        places = [self._one_slice(whole, number) for number in range(len(found))]

        def store(indices: list[str]) -> None:
            for place, value in zip(places, found, strict=True):
                self.write(self._spot(place, indices), self.at(value, indices))

        breaks = tuple(dict.fromkeys(place for value in found for place in breaks_of(value)))
        # The compiler would gather several elements from where they are rolled, which takes longer.
        self.nest(whole.dims[:-1], store, True, breaks, independent=True, one_by_one=True)


class _Here(ast.NodeTransformer):
    """Puts a name in the place of a slice."""

    def __init__(self, target: ast.Subscript) -> None:
        self._text = ast.dump(target.value) + ast.dump(target.slice)

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        if ast.dump(node.value) + ast.dump(node.slice) == self._text:
            return ast.copy_location(ast.Name(_HERE, ast.Load()), node)
        self.generic_visit(node)
        return node


@lru_cache(maxsize=256)
def slices_of(node: ast.For) -> Slices | None:
    """What the text of a loop says, if each round changes a slice of one array and looks at no other of it."""
    if node.orelse or not isinstance(node.target, ast.Name) or not node.body:
        return None
    targets = [each.targets for each in node.body if isinstance(each, ast.Assign)]
    if len(targets) < len(node.body) or len({ast.dump(ast.Tuple(each)) for each in targets}) > 1:
        return None
    target = targets[0][0]
    if len(targets[0]) > 1 or not isinstance(target, ast.Subscript) or not isinstance(target.value, ast.Name):
        return None
    *parts, last = parts_of(target)
    if not parts or not all(isinstance(each, ast.Slice) and _is_fixed(each) for each in parts):
        return None
    if not isinstance(last, ast.Name) or last.id != node.target.id:
        return None
    values = [_Here(target).visit(copy.deepcopy(each.value)) for each in node.body]  # type: ignore[attr-defined]
    inside = [each for value in values for each in ast.walk(value)]
    callees = [each.func for each in inside if isinstance(each, ast.Call)]
    called = {id(part) for each in callees for part in ast.walk(each)}
    if not callees or not all(
        isinstance(each, ast.keyword) or is_elementwise(each, called, True) for each in inside
    ):
        return None
    read = made_of(inside, called) - {_HERE, node.target.id}
    if target.value.id in read:
        return None
    names = Columns((target.value.id,), tuple(sorted({*read, target.value.id})), tuple(callees))
    return Slices(target, tuple(values), names)


def _is_fixed(node: ast.Slice) -> bool:
    """Whether a slice is the same in each round."""
    return all(
        each is None or isinstance(each, (ast.Constant, ast.UnaryOp))
        for each in (node.lower, node.upper, node.step)
    )


__all__ = ["BySlices", "slices_of"]
