"""LLVM code for parts of arrays: views by slices, and what arrays of integers select."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import Any

from minpy.runtime.jit.expressions import BITS
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.leaving import constant_of
from minpy.runtime.jit.values import Known, Lazy, Ref, Several
from minpy.runtime.jit.wholes import Wholes


class Views(Wholes):
    """Indices with more in them than numbers."""

    def element(self, base: Any, index: ast.expr) -> Any:
        """The element, view or selection that an index stands for."""
        if isinstance(base, Lazy):
            base = self.held(base)
        nodes = list(index.elts) if isinstance(index, ast.Tuple) else [index]
        if base.type.sequence:
            return super().element(base, index)
        parts = [self._part(node) for node in nodes]
        if any(isinstance(part, (Ref, Lazy, Several)) for part in parts):
            return self.chosen(base, parts)
        return self.parted(base, parts)

    def parted(self, base: Ref, parts: list[Any]) -> Ref:
        """The element or view for the parts of an index, none of them an array."""
        if all(isinstance(part, str) for part in parts):
            if len(parts) > base.type.ndim:
                raise Unsupported("more indices than axes")
            return self.item(base, parts)
        return self._view(base, parts)

    def _part(self, node: ast.expr) -> Any:
        """One part of an index: a number, a slice (`ast.Slice`), an array, None or Ellipsis."""
        if isinstance(node, ast.Slice):
            return node
        if isinstance(node, ast.Constant) and (node.value is None or node.value is Ellipsis):
            return node.value
        value = self.expression(node)
        if isinstance(value, Known):
            if value.value is None:
                return None
            value = self.constant(value.value)
        if isinstance(value, (Several, Ref, Lazy)):
            return value
        return self.as_integer(self._operand(value))

    def _view(self, base: Ref, parts: list[Any]) -> Ref:
        taken = sum(part is not None and part is not Ellipsis for part in parts)
        rest = base.type.ndim - taken
        if rest < 0 or sum(part is Ellipsis for part in parts) > 1:
            raise Unsupported("more indices than axes")
        everything: list[Any] = [ast.Slice() for _ in range(rest)]
        if Ellipsis in parts:
            place = parts.index(Ellipsis)
            parts = [*parts[:place], *everything, *parts[place + 1 :]]
        else:
            parts = [*parts, *everything]
        offset, axis = "0", 0
        dims: list[str] = []
        strides: list[str] = []
        for part in parts:
            if part is None:
                dims.append("1")
                strides.append("0")
                continue
            dim, stride = base.dims[axis], base.strides[axis]
            axis += 1
            if isinstance(part, str):
                start = self.wrapped(part, dim)
            else:
                start, count, step = self._part_taken(part, dim)
                dims.append(count)
                strides.append(stride if step == "1" else self.w.op(f"mul i64 {stride}, {step}"))
            if start != "0":
                moved = self.w.op(f"mul i64 {start}, {stride}")
                offset = moved if offset == "0" else self.w.op(f"add i64 {offset}, {moved}")
        pointer = base.pointer
        if offset != "0":
            pointer = self.w.op(f"getelementptr i8, ptr {pointer}, i64 {offset}")
        unit = bool(strides) and strides[-1] == str(BITS[base.type.dtype][1])
        type_ = base.type._replace(ndim=len(dims), unit=unit)
        return replace(base, type=type_, pointer=pointer, dims=tuple(dims), strides=tuple(strides), ident="")

    def _part_taken(self, node: ast.Slice, dim: str) -> tuple[str, str, str]:
        """First index, number and step of what a slice takes, as Python's ``slice.indices`` says."""
        lower, upper, step = (
            None
            if each is None or (isinstance(each, ast.Constant) and each.value is None)
            else self.integer(each)
            for each in (node.lower, node.upper, node.step)
        )
        w = self.w
        step = step or "1"
        number = constant_of(step)
        if number is None:
            self.guard(w.op(f"icmp sgt i64 {step}, 0"), "a slice with a step that is not positive")
            self.guard_range(step, 1, 2**31, "a slice with a large step")
        elif number == 0 or abs(number) > 2**31:
            raise Unsupported("a slice with this step")
        back = number is not None and number < 0
        least, most = ("-1", w.op(f"sub i64 {dim}, 1")) if back else ("0", dim)

        def bound(x: str | None, missing: str) -> str:
            if x is None or (x == "0" and missing == "0"):
                return missing
            constant = constant_of(x)
            if constant is None:
                wrapped = w.op(f"select i1 {w.op(f'icmp slt i64 {x}, 0')}, i64 {dim}, i64 0")
                x = w.op(f"add i64 {x}, {wrapped}")
            elif constant < 0:
                x = w.op(f"add i64 {dim}, {x}")
            x = w.op(f"select i1 {w.op(f'icmp slt i64 {x}, {least}')}, i64 {least}, i64 {x}")
            return w.op(f"select i1 {w.op(f'icmp sgt i64 {x}, {most}')}, i64 {most}, i64 {x}")

        ends = [constant_of(each or "0") for each in (lower, upper)]
        if number == 1 and ends[0] is not None and ends[0] >= 0 and ends[1] == ends[0] + 1:
            # Columns and rows meet other arrays, and are stretched.
            self.guard(w.op(f"icmp sgt i64 {dim}, {ends[0]}"), "a slice of one element that is not there")
            return str(ends[0]), "1", "1"
        extent = self._extent(dim, (lower, upper, step))
        start = bound(lower, most if back else "0")
        stop = bound(upper, "-1" if back else dim)
        if start == "0" and stop == dim and number == 1:
            return start, dim, "1"
        distance = w.op(f"sub i64 {start}, {stop}") if back else w.op(f"sub i64 {stop}, {start}")
        size = step if number is None else str(abs(number))
        if size != "1":
            less = w.op(f"sub i64 {size}, 1")
            distance = w.op(f"sdiv i64 {w.op(f'add i64 {distance}, {less}')}, {size}")
        empty = w.op(f"icmp sle i64 {distance}, 0")
        count = w.op(f"select i1 {empty}, i64 0, i64 {distance}")
        if extent is not None:
            self.extents[count] = extent
        return w.op(f"select i1 {empty}, i64 0, i64 {start}"), count, step

    def _extent(self, dim: str, parts: tuple[str | None, ...]) -> int | None:
        """How many elements a slice takes of an axis as long as it is now, if the loop does not change that."""
        if dim not in self.extents:
            return None
        numbers = [None if each is None else constant_of(each) for each in parts]
        if any(number is None and each is not None for number, each in zip(numbers, parts, strict=True)):
            return None
        return len(range(*slice(*numbers).indices(self.extents[dim])))

    def chosen(self, base: Ref, parts: list[Any]) -> Any:
        """What an index selects some of whose parts are arrays."""
        raise NotImplementedError

    def transposed(self, value: Any) -> Ref:
        """``a.T``."""
        ref = self.whole(self.held(value))
        if len(ref.dims) == 1:
            return replace(ref, ident="")
        return replace(
            ref,
            type=ref.type._replace(unit=False),
            dims=ref.dims[::-1],
            strides=ref.strides[::-1],
            ident="",
        )
