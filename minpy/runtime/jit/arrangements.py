"""LLVM code for functions that lay elements out anew (joined, reshaped, triangles, running sums); linear systems."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import Any

import numpy as np

from minpy.runtime.jit.expressions import BITS, TYPES
from minpy.runtime.jit.kinds import BOOLS, Unsupported
from minpy.runtime.jit.leaving import constant_of
from minpy.runtime.jit.reductions import LETTERS
from minpy.runtime.jit.values import Known, Lazy, Ref, Several, Val, scalar
from minpy.runtime.jit.wholecalls import FUNCTIONS, MAKERS, METHODS
from minpy.runtime.jit.wholes import is_whole, kind_of, refs_of
from minpy.runtime.jit.zones import Zones


class Arrangements(Zones):
    """Calls whose results have other shapes than their arguments."""

    def number_of(self, value: Any, what: str) -> int:
        """An argument that must be a constant integer."""
        value = self._operand(value)
        number = constant_of(value.x) if value.kind == "int" else None
        if number is None:
            raise Unsupported(f"{what} that is no constant")
        return number

    # Joining.

    def _parts(
        self, arguments: list[Any], keywords: dict[str, Any], axis: int | None
    ) -> tuple[list[Ref], int]:
        """The arrays that are to be joined, and along which axis (-1 counts from the end)."""
        values, *rest = arguments
        if not isinstance(values, Several) or not values.items or len(rest) > 1 or set(keywords) - {"axis"}:
            raise Unsupported("joining these")
        given = rest[0] if rest else keywords.get("axis")
        number = 0 if given is None else self.number_of(given, "an axis")
        parts = [self.held(self.whole(each)) for each in values.items]
        for part in parts:
            if len(part.dims) > 1:
                self._descending(part)
            if part.type.dtype != parts[0].type.dtype:
                raise Unsupported("joining arrays of different types")
        return parts, number if axis is None else axis

    def joined(self, parts: list[Ref], axis: int) -> Ref:
        """Arrays one after the other along an axis."""
        rank = len(parts[0].dims)
        if any(len(each.dims) != rank for each in parts) or not -rank <= axis < rank:
            raise Unsupported("joining arrays with different axes")
        axis %= rank
        total = parts[0].dims[axis]
        for part in parts[1:]:
            for place, (dim, other) in enumerate(zip(parts[0].dims, part.dims, strict=True)):
                if place != axis and dim != other:
                    self.guard(self.w.op(f"icmp eq i64 {dim}, {other}"), "joining arrays that do not fit")
            total = self._plus(total, part.dims[axis])
        dims = (*parts[0].dims[:axis], total, *parts[0].dims[axis + 1 :])
        new = self.fresh(parts[0].type.dtype, dims)
        begin = "0"
        for part in parts:
            moved = self.w.op(f"mul i64 {begin}, {new.strides[axis]}")
            pointer = self.w.op(f"getelementptr i8, ptr {new.pointer}, i64 {moved}")
            place = replace(new, pointer=pointer, dims=part.dims)
            self.quietly(lambda place=place, part=part: self.fill(place, part, apart=True))
            begin = self._plus(begin, part.dims[axis])
        return new

    def _plus(self, one: str, other: str) -> str:
        numbers = constant_of(one), constant_of(other)
        if None not in numbers:
            return str(sum(numbers))  # type: ignore[arg-type]
        return self.w.op(f"add i64 {one}, {other}")

    @staticmethod
    def with_axis(ref: Ref, axis: int) -> Ref:
        """A view with one more axis, of one element."""
        axis %= len(ref.dims) + 1
        dims = (*ref.dims[:axis], "1", *ref.dims[axis:])
        strides = (*ref.strides[:axis], "0", *ref.strides[axis:])
        unit = ref.type.unit and axis < len(ref.dims)
        return replace(
            ref, type=ref.type._replace(ndim=len(dims), unit=unit), dims=dims, strides=strides, ident=""
        )

    def _concatenate(self, arguments: list[Any], keywords: dict[str, Any]) -> Ref:
        return self.joined(*self._parts(arguments, keywords, None))

    def _hstack(self, arguments: list[Any], keywords: dict[str, Any]) -> Ref:
        parts, _ = self._parts(self._only(arguments, keywords), keywords, 0)
        return self.joined(parts, min(1, len(parts[0].dims) - 1))

    def _vstack(self, arguments: list[Any], keywords: dict[str, Any]) -> Ref:
        parts, _ = self._parts(self._only(arguments, keywords), keywords, 0)
        return self.joined([self.with_axis(each, 0) if len(each.dims) == 1 else each for each in parts], 0)

    def _column_stack(self, arguments: list[Any], keywords: dict[str, Any]) -> Ref:
        parts, _ = self._parts(self._only(arguments, keywords), keywords, 0)
        return self.joined([self.with_axis(each, 1) if len(each.dims) == 1 else each for each in parts], 1)

    def _stack(self, arguments: list[Any], keywords: dict[str, Any]) -> Ref:
        parts, axis = self._parts(arguments, keywords, None)
        if not -len(parts[0].dims) - 1 <= axis <= len(parts[0].dims):
            raise Unsupported("np.stack along this axis")
        for part in parts[1:]:
            if len(part.dims) != len(parts[0].dims):
                raise Unsupported("np.stack of arrays with different axes")
        axis %= len(parts[0].dims) + 1
        return self.joined([self.with_axis(each, axis) for each in parts], axis)

    @staticmethod
    def _only(arguments: list[Any], keywords: dict[str, Any]) -> list[Any]:
        if len(arguments) != 1 or keywords:
            raise Unsupported("a call with these arguments")
        return arguments

    # The same elements with other axes.

    def _reshape(self, value: Any, *shape: Any) -> Ref:
        ref = self.held(self.whole(value))
        if len(shape) == 1 and isinstance(shape[0], Several):
            shape = shape[0].items
        if ref.turned and len(shape) < len(ref.dims):
            ref = self._laid_out(ref)
        self._contiguous(ref)
        size = self.size_of(ref.dims)
        numbers = [self.as_integer(self._operand(each)) for each in shape]
        if not numbers or numbers.count("-1") > 1:
            raise Unsupported("a new shape like this")
        known = "1"
        for x in numbers:
            if x == "-1":
                continue
            self.guard_range(x, 0 if "-1" not in numbers else 1, 1 << 30, "a new shape like this")
            known = x if known == "1" else known if x == "1" else self.w.op(f"mul i64 {known}, {x}")
        if "-1" in numbers:
            rest = self.w.op(f"sdiv i64 {size}, {known}")
            numbers[numbers.index("-1")] = rest
            known = self.w.op(f"mul i64 {rest}, {known}")
        self.guard(self.w.op(f"icmp eq i64 {known}, {size}"), "a new shape that does not fit")
        itemsize = str(BITS[ref.type.dtype][1])
        strides = [itemsize]
        for x in reversed(numbers[1:]):
            strides.insert(0, strides[0] if x == "1" else self.w.op(f"mul i64 {strides[0]}, {x}"))
        type_ = ref.type._replace(ndim=len(numbers), unit=True)
        return replace(ref, type=type_, dims=tuple(numbers), strides=tuple(strides), ident="")

    def _laid_out(self, ref: Ref) -> Ref:
        """A copy in C order of an array of which no two axes can be made one, as NumPy then makes it too."""
        reason = "a new shape that may be had without a copy"
        for axis, dim in enumerate(ref.dims):
            self.guard(self.w.op(f"icmp sgt i64 {dim}, 1"), reason)
            if axis:
                reach = self.w.op(f"mul i64 {dim}, {ref.strides[axis]}")
                self.guard(self.w.op(f"icmp ne i64 {ref.strides[axis - 1]}, {reach}"), reason)
        new = self.fresh(ref.type.dtype, ref.dims)
        self.quietly(lambda: self.fill(new, ref, apart=True))
        return new

    def _ravel(self, value: Any) -> Ref:
        return self._reshape(value, self.constant(-1))

    def _flatten(self, value: Any) -> Ref:
        return self._copy(self._reshape(value, self.constant(-1)))

    def _transpose(self, value: Any, *axes: Any) -> Ref:
        ref = self.held(self.whole(value))
        if not axes or (len(axes) == 1 and isinstance(axes[0], Known) and axes[0].value is None):
            return self.transposed(ref)
        if len(axes) == 1 and isinstance(axes[0], Several):
            axes = axes[0].items
        rank = len(ref.dims)
        order = [self.number_of(each, "an axis") for each in axes]
        if sorted(each % rank for each in order) != list(range(rank)) or any(
            abs(each) > rank for each in order
        ):
            raise Unsupported("a transposition like this")
        return self._turned(ref, [each % rank for each in order])

    def _swapaxes(self, value: Any, one: Any, other: Any) -> Ref:
        ref = self.held(self.whole(value))
        rank = len(ref.dims)
        a, b = (self.number_of(each, "an axis") for each in (one, other))
        if not all(-rank <= each < rank for each in (a, b)):
            raise Unsupported("axes that are not there")
        order = list(range(rank))
        order[a % rank], order[b % rank] = order[b % rank], order[a % rank]
        return self._turned(ref, order)

    def _turned(self, ref: Ref, order: list[int]) -> Ref:
        dims, strides = (tuple(each[i] for i in order) for each in (ref.dims, ref.strides))
        unit = ref.type.unit and order[-1] == len(order) - 1
        type_, turned = ref.type._replace(unit=unit), order != list(range(len(order)))
        return replace(ref, type=type_, dims=dims, strides=strides, ident="", turned=turned)

    def _expand_dims(self, value: Any, axis: Any) -> Ref:
        ref = self.held(self.whole(value))
        number = self.number_of(axis, "an axis")
        if not -len(ref.dims) - 1 <= number <= len(ref.dims):
            raise Unsupported("an axis that is not there")
        return self.with_axis(ref, number)

    # Diagonals and triangles.

    def _eye(self, arguments: list[Any], keywords: dict[str, Any]) -> Ref:
        if not 1 <= len(arguments) <= 3 or set(keywords) - {"dtype", "k"}:
            raise Unsupported("np.eye with these arguments")
        rows, columns, offset = [*arguments, *[None] * (3 - len(arguments))]
        offset = keywords.get("k", offset)
        if columns is None or (isinstance(columns, Known) and columns.value is None):
            columns = rows
        shift = "0" if offset is None else self.as_integer(self._operand(offset))
        dtype = self._dtype_of(keywords.get("dtype"), "float64")
        kind = "bool_" if dtype == "bool" else dtype
        dims = self._shape_of(Several((rows, columns)))
        new = self._filled(dtype, dims, self.constant(0))
        one = self.constant(True) if kind == "bool_" else self.constant(1)
        # The diagonal begins in row -k or in column k.
        negative = self.w.op(f"icmp slt i64 {shift}, 0")
        minus = self.w.op(f"sub i64 0, {shift}")
        row = self.w.op(f"select i1 {negative}, i64 {minus}, i64 0")
        column = self.w.op(f"select i1 {negative}, i64 0, i64 {shift}")
        places = [self.w.op(f"sub i64 {dim}, {x}") for dim, x in zip(dims, (row, column), strict=True)]
        count = self.w.op(
            f"select i1 {self.w.op(f'icmp slt i64 {places[0]}, {places[1]}')}, i64 {places[0]}, i64 {places[1]}"
        )

        def store(indices: list[str]) -> None:
            own = [self.w.op(f"add i64 {indices[0]}, {x}") for x in (row, column)]
            self.write(self.item(new, own, checked=False), one)

        self.quietly(lambda: self.nest((count,), store))
        return new

    def _identity(self, arguments: list[Any], keywords: dict[str, Any]) -> Ref:
        return self._eye(self._only(arguments, {}), keywords)

    def _fill_diagonal(self, matrix: Any, value: Any) -> Known:
        if not isinstance(matrix, Ref) or len(matrix.dims) != 2 or matrix.type.sequence:
            raise Unsupported("np.fill_diagonal of this")
        number = self._operand(value)
        rows, columns = matrix.dims
        less = self.w.op(f"icmp slt i64 {rows}, {columns}")
        count = self.w.op(f"select i1 {less}, i64 {rows}, i64 {columns}")
        self.note_written(matrix)
        self.nest(
            (count,),
            lambda indices: self.write(self.item(matrix, [indices[0], indices[0]], checked=False), number),
        )
        return Known(None)

    def _triangle(self, value: Any, offset: Any, upper: bool) -> Lazy:
        whole = self.whole(value)
        if len(whole.dims) != 2:
            raise Unsupported("a triangle of this array")
        shift = self.as_integer(self._operand(offset)) if offset is not None else "0"
        kind = kind_of(whole)

        def element(indices: list[str]) -> Val:
            item = self.at(whole, indices)
            distance = self.w.op(f"sub i64 {indices[1]}, {indices[0]}")
            inside = self.w.op(f"icmp {'sge' if upper else 'sle'} i64 {distance}, {shift}")
            type_, zero = TYPES[item.rep], "zeroinitializer"
            x = self.w.op(f"select i1 {inside}, {type_} {item.x}, {type_} {zero}")
            return scalar(kind, item.rep, x)

        return Lazy(kind, whole.dims, element, refs_of(whole), isinstance(whole, Lazy) and whole.mixed)

    def _triangle_indices(self, arguments: list[Any], keywords: dict[str, Any], upper: bool) -> Several:
        if not 1 <= len(arguments) <= 2 or set(keywords) - {"k"}:
            raise Unsupported("indices of a triangle with these arguments")
        offset = keywords.get("k", arguments[1] if len(arguments) > 1 else None)
        (dim,) = self._shape_of(arguments[0])
        every = Lazy("bool_", (dim, dim), lambda indices: scalar("bool_", "b", "true"), ())
        return self._nonzero_of(self._triangle(every, offset, upper))

    # Running sums, differences, limits.

    def _cumsum(self, value: Any) -> Ref:
        ref = self.held(self.whole(value))
        kind = ref.type.kind
        if len(ref.dims) != 1 or kind not in ("float64", "int64"):
            raise Unsupported("np.cumsum of this array")
        new = self.fresh(ref.type.dtype, ref.dims)
        rep, type_ = ("d", "double") if kind in LETTERS else ("i", "i64")
        total = self.w.alloca(type_, "total")
        some, none = self.w.fresh("some"), self.w.fresh("none")
        self.w.branch(self.w.op(f"icmp sgt i64 {ref.dims[0]}, 0"), some, none)
        self.w.place(some)
        first = self.read(self.item(ref, ["0"], checked=False))
        self.w.put(f"store {type_} {first.x}, ptr {total}")
        self.quietly(lambda: self.write(self.item(new, ["0"], checked=False), first))
        rest = self._plus(ref.dims[0], "-1")

        def add(indices: list[str]) -> None:
            k = [self.w.op(f"add i64 {indices[0]}, 1")]
            now = scalar(kind, rep, self.w.op(f"load {type_}, ptr {total}"))
            item = self.read(self.item(ref, k, checked=False))
            if rep == "d":
                found = self.binary("+", now, item)
            else:
                found = scalar(kind, rep, self.w.op(f"add i64 {now.x}, {item.x}"))
            self.w.put(f"store {type_} {found.x}, ptr {total}")
            self.write(self.item(new, k, checked=False), found)

        self.quietly(lambda: self.nest((rest,), add, True))
        self.w.place(none)
        return new

    def _diff(self, value: Any) -> Lazy:
        ref = self.held(self.whole(value))
        if len(ref.dims) != 1 or ref.type.kind in BOOLS:
            raise Unsupported("np.diff of this array")
        later = self._view(ref, [ast.Slice(ast.Constant(1), None)])
        earlier = self._view(ref, [ast.Slice(None, ast.Constant(-1))])
        return self.binary("-", later, earlier)

    def _clip(self, value: Any, low: Any, high: Any) -> Any:
        """As NumPy: with the larger one first."""
        whole = self.whole(value)
        numbers = {"float64": {"int", "float", "float64"}, "int64": {"int", "int64"}}.get(kind_of(whole))
        if numbers is None:
            raise Unsupported(f"np.clip of {kind_of(whole)}")
        for bound in (low, high):
            if isinstance(bound, Known):
                raise Unsupported("np.clip without a limit")
            kinds = {kind_of(bound)} if is_whole(bound) else self._operand(bound).kinds
            if not kinds <= numbers and not (is_whole(bound) and kind_of(whole) == "float64"):
                raise Unsupported("np.clip with such limits")
        return self._larger_or_smaller(self._larger_or_smaller(whole, low, ast.Gt()), high, ast.Lt())

    def _sign(self, value: Any) -> Lazy:
        if kind_of(self.whole(value)) != "float64":
            raise Unsupported("np.sign of this type")

        def sign(each: Val) -> Val:
            self.ordered(each.x)
            up, down = (self.w.op(f"fcmp {how} double {each.x}, 0.0") for how in ("ogt", "olt"))
            below = self.w.op(f"select i1 {down}, double -1.0, double 0.0")
            return scalar("float64", "d", self.w.op(f"select i1 {up}, double 1.0, double {below}"))

        return self.mapped("float64", sign, value)

    # Small linear systems, by the very functions of LAPACK that NumPy calls.

    def _square(self, value: Any) -> Ref:
        ref = self.held(self.whole(value))
        if len(ref.dims) != 2 or ref.type.kind != "float64":
            raise Unsupported("linear algebra of this array")
        self.guard(self.w.op(f"icmp eq i64 {ref.dims[0]}, {ref.dims[1]}"), "a matrix that is not square")
        self.guard(self.w.op(f"icmp sgt i64 {ref.dims[0]}, 0"), "a matrix without elements")
        return ref

    def _solve(self, matrix: Any, value: Any) -> Ref:
        a, b = self._square(matrix), self.held(self.whole(value))
        if b.type.kind != "float64" or len(b.dims) > 2:
            raise Unsupported("np.linalg.solve of this array")
        self.guard(self.w.op(f"icmp eq i64 {a.dims[0]}, {b.dims[0]}"), "a system that does not fit")
        many = len(b.dims) == 2
        symbol = self.loop("linear solve ddd" if many else "linear solve1 ddd")
        new = self.fresh("float64", b.dims)
        steps = ["0", "0", "0", *a.strides, *b.strides, *new.strides]
        self.run_loop(symbol, [a.pointer, b.pointer, new.pointer], ["1", a.dims[0], *b.dims[1:]], steps)
        return self._all_finite(new)

    def _inverse(self, matrix: Any) -> Ref:
        a = self._square(matrix)
        symbol = self.loop("linear inv dd")
        new = self.fresh("float64", a.dims)
        steps = ["0", "0", *a.strides, *new.strides]
        self.run_loop(symbol, [a.pointer, new.pointer], ["1", a.dims[0]], steps)
        return self._all_finite(new)

    def _cholesky(self, matrix: Any) -> Ref:
        a = self._square(matrix)
        symbol = self.loop("linear cholesky_lo dd")
        new = self.fresh("float64", a.dims)
        steps = ["0", "0", *a.strides, *new.strides]
        self.run_loop(symbol, [a.pointer, new.pointer], ["1", a.dims[0]], steps)
        return self._all_finite(new)

    def _determinant(self, matrix: Any) -> Val:
        a = self._square(matrix)
        symbol = self.loop("linear det dd")
        out = self.w.alloca("double", "det")
        self.run_loop(symbol, [a.pointer, out], ["1", a.dims[0]], ["0", "0", *a.strides])
        return self._finite_result("float64", out)

    def _all_finite(self, ref: Ref) -> Ref:
        self.nest(ref.dims, lambda indices: self._is_finite(self.at(ref, indices).x))
        return ref


MAKERS |= {
    np.concatenate: Arrangements._concatenate,
    np.hstack: Arrangements._hstack,
    np.vstack: Arrangements._vstack,
    np.column_stack: Arrangements._column_stack,
    np.stack: Arrangements._stack,
    np.eye: Arrangements._eye,
    np.identity: Arrangements._identity,
    np.triu_indices: lambda self, arguments, keywords: self._triangle_indices(arguments, keywords, True),
    np.tril_indices: lambda self, arguments, keywords: self._triangle_indices(arguments, keywords, False),
}
FUNCTIONS |= {
    np.reshape: Arrangements._reshape,
    np.ravel: Arrangements._ravel,
    np.transpose: Arrangements._transpose,
    np.swapaxes: Arrangements._swapaxes,
    np.expand_dims: Arrangements._expand_dims,
    np.fill_diagonal: Arrangements._fill_diagonal,
    np.triu: lambda self, value, offset=None: self._triangle(value, offset, True),
    np.tril: lambda self, value, offset=None: self._triangle(value, offset, False),
    np.cumsum: Arrangements._cumsum,
    np.diff: Arrangements._diff,
    np.clip: Arrangements._clip,
    np.sign: Arrangements._sign,
    np.linalg.solve: Arrangements._solve,
    np.linalg.inv: Arrangements._inverse,
    np.linalg.cholesky: Arrangements._cholesky,
    np.linalg.det: Arrangements._determinant,
}
METHODS |= {
    "reshape": Arrangements._reshape,
    "ravel": Arrangements._ravel,
    "flatten": Arrangements._flatten,
    "transpose": Arrangements._transpose,
    "swapaxes": Arrangements._swapaxes,
    "cumsum": Arrangements._cumsum,
    "clip": Arrangements._clip,
}
