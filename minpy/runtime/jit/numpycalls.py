"""Element-wise functions in a compiled loop that are NumPy's own compiled loops, called for a number or for arrays."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from minpy.runtime.jit.expressions import BITS
from minpy.runtime.jit.kinds import COMPLEX, INTS, Unsupported
from minpy.runtime.jit.leaving import constant_of
from minpy.runtime.jit.matrices import Matrices
from minpy.runtime.jit.reductions import LETTERS
from minpy.runtime.jit.values import Ref, Val, scalar
from minpy.runtime.jit.wholes import is_whole, kind_of

_APART = 16
ELEMENTWISE: tuple[np.ufunc, ...] = (
    np.exp,
    np.log,
    np.sin,
    np.cos,
    np.tan,
    np.tanh,
    np.sinh,
    np.cosh,
    np.arctan,
    np.arcsin,
    np.arccos,
    np.exp2,
    np.log2,
    np.log10,
    np.log1p,
    np.expm1,
    np.cbrt,
    np.arcsinh,
    np.arctan2,
    np.hypot,
    np.power,
    np.logaddexp,
    np.deg2rad,
    np.rad2deg,
)


class NumpyCalls(Matrices):
    """Calls of NumPy's loops."""

    def _ufunc_of_scalars(self, function: np.ufunc, operands: list[Val]) -> Val:
        if function.nout != 1 or function.signature or function not in ELEMENTWISE:
            raise Unsupported(f"a call of np.{function.__name__}")
        if any(not each.kinds <= {"float64", "float", "int", "int64"} for each in operands):
            raise Unsupported(f"np.{function.__name__} of this type")
        symbol = self.loop(f"map {function.__name__} {'d' * (len(operands) + 1)}")
        values = [self.as_double(each, exact=True).x for each in operands]
        # Apart: where operands and results touch, NumPy's loops take another way, with other bits.
        room = self.w.alloca(f"[{_APART * (len(values) + 1)} x double]", "room")
        slots = [
            self.w.op(f"getelementptr double, ptr {room}, i64 {_APART * i}") for i in range(len(values) + 1)
        ]
        for x, slot in zip(values, slots, strict=False):
            self.w.put(f"store double {x}, ptr {slot}")
        self.run_loop(symbol, slots, ["1"], ["8"] * len(slots))
        x = self.w.op(f"load double, ptr {slots[-1]}")
        return scalar("float64", "d", self.checked(x, *values))

    def by_numpy(self, function: np.ufunc, *operands: Any) -> Ref:
        """An element-wise function that is not ours, of arrays."""
        if len(operands) != function.nin:
            raise Unsupported("a ufunc with this number of arguments")
        kinds = {kind_of(each) for each in operands if is_whole(each)}
        others = frozenset().union(*(each.kinds for each in operands if isinstance(each, Val)))
        if kinds & COMPLEX or others & COMPLEX:
            kind = "complex128"
            if not kinds <= INTS | {"float64", "complex128"} or "float32" in others:
                raise Unsupported(f"np.{function.__name__} of arrays of these types")
        else:
            kind = "float64" if kinds <= INTS else kinds.pop()
            if kinds - {kind} or kind not in LETTERS:
                raise Unsupported(f"np.{function.__name__} of arrays of this type")
        letter = "D" if kind in COMPLEX else LETTERS[kind]
        gives = "float64" if kind in COMPLEX and function is np.absolute else kind
        last = "d" if gives != kind else letter
        symbol = self.loop(f"map {function.__name__} {letter * len(operands)}{last}")
        refs, numbers = [], []
        pointers, steps, gaps = [], [], False
        for each in operands:
            if not is_whole(each):
                # As NumPy's iterator passes it: one element, over and over.
                number = self.converted(self._operand(each), kind)
                pointers.append(self._in_memory(number, kind))
                steps.append("0")
                numbers.append(number)
                continue
            whole = self._cast(self.whole(each), kind)
            refs.append(self.held(whole))
            if len(whole.dims) > 1 and isinstance(whole, Ref):
                self._descending(whole)
                gaps = True
            pointers.append(refs[-1].pointer)
            steps.append(refs[-1].strides[-1])
        for each in refs[1:]:
            if len(each.dims) != len(refs[0].dims):
                raise Unsupported(f"np.{function.__name__} of arrays with different axes")
            for dim, other in zip(refs[0].dims, each.dims, strict=True):
                if dim != other:
                    self.guard(self.w.op(f"icmp eq i64 {dim}, {other}"), "arrays whose shapes do not fit")
        new = self.fresh(gives, refs[0].dims)
        size = self.size_of(new.dims)
        self._run_rows(
            symbol, operands, refs, new, pointers, [*steps, new.strides[-1]], size if not gaps else ""
        )

        def look(indices: list[str]) -> None:
            if kind in COMPLEX:
                for x in self.parts(self.at(new, indices))[: 1 if gives != kind else 2]:
                    self._is_finite(x)
                return
            operands = (*(self.at(each, indices).x for each in refs), *(each.x for each in numbers))
            self.checked(self.at(new, indices).x, *operands)

        self.nest(new.dims, look, looks=True)
        return new

    def _run_rows(
        self,
        symbol: str,
        operands: tuple[Any, ...],
        refs: list[Ref],
        new: Ref,
        pointers: list[str],
        steps: list[str],
        size: str,
    ) -> None:
        """Call an element-wise loop for all elements at once if `size` says how many, or if they lie in a line; else
        for one row after the other, as NumPy does."""
        if size:
            self._run_line(symbol, [*pointers, new.pointer], size, steps, new.dims)
            return
        line = "true"
        for ref in refs:
            reach = str(BITS[ref.type.dtype][1])
            for dim, stride in zip(reversed(ref.dims), reversed(ref.strides), strict=True):
                if stride != reach:
                    line = self.w.op(f"and i1 {line}, {self.w.op(f'icmp eq i64 {stride}, {reach}')}")
                reach = self.w.op(f"mul i64 {reach}, {dim}")
        once, rows, end = (self.w.fresh(hint) for hint in ("once", "rows", "end"))
        self.w.branch(line, once, rows)
        self.w.place(once)
        self._run_line(symbol, [*pointers, new.pointer], self.size_of(new.dims), steps, new.dims)
        self.w.jump(end)
        self.w.place(rows)

        def row(indices: list[str]) -> None:
            waiting = iter(refs)
            places = [
                self.item(next(waiting), [*indices, "0"], checked=False).pointer
                if is_whole(each)
                else pointer
                for each, pointer in zip(operands, pointers, strict=True)
            ]
            out = self.item(new, [*indices, "0"], checked=False).pointer
            self.run_loop(symbol, [*places, out], [new.dims[-1]], steps)

        self.nest(new.dims[:-1], row)
        self.w.place(end)

    def _run_line(
        self, symbol: str, pointers: list[str], size: str, steps: list[str], dims: tuple[str, ...]
    ) -> None:
        """Call an element-wise loop for elements in a line, which threads may share."""
        self.elements[size] = prod(self.extents.get(dim, constant_of(dim) or 1) for dim in dims)
        flag = self.w.alloca("i1", "fine")
        limits = self.shared_over((size,), flag)
        if not limits:
            self.run_loop(symbol, pointers, [size], steps)
            return
        first, last = limits[-1]
        places = [
            self.w.op(f"getelementptr i8, ptr {pointer}, i64 {self.w.op(f'mul i64 {first}, {step}')}")
            for pointer, step in zip(pointers, steps, strict=True)
        ]
        self.run_loop(symbol, places, [self.w.op(f"sub i64 {last}, {first}")], steps)
        self.end_shared()

    def _in_memory(self, value: Val, kind: str) -> str:
        """Where a number lies that one of NumPy's loops reads."""
        type_, x = BITS[kind][0], value.x
        if kind == "float32":
            x = self.w.op(f"fptrunc double {x} to float")
        place = self.w.alloca(f"[{_APART} x {type_}]", "number")
        self.w.put(f"store {type_} {x}, ptr {place}")
        return place
