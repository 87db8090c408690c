"""LLVM code for reductions of a matrix along one of its axes, and for products of vectors and matrices."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import Any

from minpy.runtime.jit import numpy_loops
from minpy.runtime.jit.expressions import BITS, constant_of
from minpy.runtime.jit.ir import double
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.reductions import LETTERS, SIGNED, Reductions
from minpy.runtime.jit.values import Lazy, Ref, Val, scalar
from minpy.runtime.jit.wholes import kind_of

_FACTOR = 1 << 26  # elements of a factor: all the work is BLAS's, as in NumPy


class Matrices(Reductions):
    """What knows of rows and columns."""

    # Reductions along an axis of a matrix.

    def along(self, value: Any, name: str, axis: Any, keep: bool) -> Any:
        """A reduction of a matrix along one of its axes, which is kept with one element if `keep` says so."""
        found = self._along(value, name, axis)
        if not keep:
            return found
        if not isinstance(found, Ref):
            raise Unsupported(f".{name}() of a vector with keepdims")
        dim, stride = found.dims[0], found.strides[0]
        first = self._operand(axis).x in ("0", "-2")
        # As NumPy lays it out: in C order.
        size = str(BITS[found.type.dtype][1])
        strides = (self.w.op(f"mul i64 {dim}, {size}"), size) if first else (stride, size)
        dims = ("1", dim) if first else (dim, "1")
        return replace(found, type=found.type._replace(ndim=2), dims=dims, strides=strides)

    def _along(self, value: Any, name: str, axis: Any) -> Any:
        axis = self._operand(axis)
        if len(value.dims) == 1 and axis.x in ("0", "-1"):
            return self.call_method(value, name, [], {})
        if len(value.dims) != 2 or axis.kind != "int" or axis.x not in ("0", "1", "-1", "-2"):
            raise Unsupported(f".{name}() along this axis")
        first = axis.x in ("0", "-2")
        ref = self.held(value)
        rows, columns = ref.dims
        self.size_of(ref.dims)
        count, kept = (rows, columns) if first else (columns, rows)
        if name in ("sum", "mean"):
            total = self._sum_along(ref, first, count, kept)
            if name == "sum":
                return total
            self.guard(self.w.op(f"icmp sgt i64 {count}, 0"), "a reduction of nothing")
            return self.held(self.binary("/", total, scalar("int", "i", count)))
        return self._best_along(ref, first, count, kept, name)

    def _sum_along(self, ref: Ref, first: bool, count: str, kept: str) -> Ref:
        kind = ref.type.kind
        if kind in LETTERS:
            # Rows in C order: along them NumPy adds pair by pair, across them one after the other.
            self._descending(ref)
            self.guard_range(count, 0, numpy_loops.LONGEST_SUM, "a long sum")
            symbol = self.loop(f"reduce add {LETTERS[kind] * 3}")
        elif kind not in SIGNED | {"bool_"}:
            raise Unsupported(f"a sum of {kind}")
        new = self._filled(kind if kind in LETTERS else "int64", (kept,), self.constant(0))
        if kind in LETTERS and not first:

            def row(indices: list[str]) -> None:
                start = self.item(ref, [indices[0], "0"], checked=False).pointer
                out = self.item(new, indices, checked=False)
                self.run_loop(symbol, [out.pointer, start, out.pointer], [count], ["0", ref.strides[1], "0"])
                self._is_finite(self.read(out).x)

            self.nest((kept,), row)
            return new
        if first:
            self.guard(self.w.op(f"icmp sgt i64 {kept}, 1"), "a sum along a single column")

        def add(indices: list[str]) -> None:
            out = self.item(new, indices[1:] if first else indices[:1], checked=False)
            item = self.at(ref, indices)
            if kind in LETTERS:
                total = self.binary("+", self.read(out), item)
                self._is_finite(total.x)
            else:
                x = self.exact("sadd", self.read(out).x, self.as_i64(item).x)
                total = scalar("int64", "i", x)
            self.write(out, total)

        self.quietly(lambda: self.nest(ref.dims, add))
        return new

    def _best_along(self, ref: Ref, first: bool, count: str, kept: str, name: str) -> Ref:
        kind, op = ref.type.kind, ast.Lt() if name in ("min", "argmin") else ast.Gt()
        if kind == "uint64":
            raise Unsupported(f"the extremum of {kind}")
        self.guard(self.w.op(f"icmp sgt i64 {count}, 0"), "a reduction of nothing")
        best = self.fresh(ref.type.dtype, (kept,))
        places = self._filled("int64", (kept,), self.constant(0)) if name.startswith("arg") else None

        def start(indices: list[str]) -> None:
            own = ["0", *indices] if first else [*indices, "0"]
            item = self.at(ref, own)
            if item.rep == "d":
                self.ordered(item.x)
            self.write(self.item(best, indices, checked=False), item)

        def look(indices: list[str]) -> None:
            number, own = (indices[0], indices[1:]) if first else (indices[1], indices[:1])
            item, out = self.at(ref, indices), self.item(best, own, checked=False)
            now = self.read(out)
            if item.rep == "d":
                self.ordered(item.x)
                if places is None:
                    # Of zeros of both signs NumPy's choice is its own.
                    zero = self.w.op(f"fcmp oeq double {item.x}, {double(0.0)}")
                    signs = self.w.op(f"fcmp oeq double {now.x}, {double(0.0)}")
                    both = self.w.op(f"and i1 {zero}, {signs}")
                    bits = [self.w.op(f"bitcast double {each.x} to i64") for each in (item, now)]
                    differ = self.w.op(f"icmp ne i64 {bits[0]}, {bits[1]}")
                    odd = self.w.op(f"and i1 {both}, {differ}")
                    self.guard(self.w.op(f"xor i1 {odd}, true"), "an extremum that is zero")
            better = self.compare(op, item, now).x
            type_ = {"d": "double", "b": "i1", "i": "i64"}[item.rep]
            x = self.w.op(f"select i1 {better}, {type_} {item.x}, {type_} {now.x}")
            self.write(out, scalar(kind, item.rep, x))
            if places is not None:
                spot = self.item(places, own, checked=False)
                old = self.read(spot)
                x = self.w.op(f"select i1 {better}, i64 {number}, i64 {old.x}")
                self.write(spot, scalar("int64", "i", x))

        self.quietly(lambda: self.nest((kept,), start))
        self.quietly(lambda: self.nest(ref.dims, look))
        return places or best

    # Products.

    def product(self, left: Any, right: Any, name: str = "matmul") -> Any:
        """``left @ right`` of vectors and matrices; with ``"dot"``, what ``np.dot`` gives."""
        left, right = self.whole(left), self.whole(right)
        kind = kind_of(left)
        ranks = len(left.dims), len(right.dims)
        if kind != kind_of(right) or kind not in LETTERS or max(ranks) > 2:
            raise Unsupported("a product of arrays of these types")
        symbol = self.loop(f"product {name} {LETTERS[kind] * 3}")
        one, other = self.held(left), self.held(right)
        if name == "dot":
            for each in (one, other):
                self._plain(each)
        m, n = (
            (("1", "0"), (one.dims[0], one.strides[0]))
            if ranks[0] == 1
            else list(zip(one.dims, one.strides, strict=True))
        )
        n2, p = (
            ((other.dims[0], other.strides[0]), ("1", "0"))
            if ranks[1] == 1
            else list(zip(other.dims, other.strides, strict=True))
        )
        self.guard(self.w.op(f"icmp eq i64 {n[0]}, {n2[0]}"), "a product of arrays that do not fit")
        self.size_of(one.dims, _FACTOR)
        self.size_of(other.dims, _FACTOR)
        dims = (*([m[0]] if ranks[0] == 2 else []), *([p[0]] if ranks[1] == 2 else []))
        if dims:
            new = self.fresh(kind, dims)
            pointer, out = new.pointer, list(zip(new.dims, new.strides, strict=True))
        else:
            pointer, out = self.w.alloca(BITS[kind][0], "product"), []
        om = out.pop(0) if ranks[0] == 2 else ("1", "0")
        op = out.pop(0) if ranks[1] == 2 else ("1", "0")
        steps = ["0", "0", "0", *(self._stride(*each) for each in (m, n, n2, p, om, op))]
        self.run_loop(symbol, [one.pointer, other.pointer, pointer], ["1", m[0], n[0], p[0]], steps)
        if dims:
            self.nest(dims, lambda indices: self._is_finite(self.at(new, indices).x))
            return new
        value = self._finite_result(kind, pointer)
        if name == "dot":
            longer = self.w.op(f"icmp ne i64 {n[0]}, 1")
            zero = self.w.op(f"fcmp une double {value.x}, {double(0.0)}")
            self.guard(self.w.op(f"or i1 {longer}, {zero}"), "a product of single elements that is zero")
        return value

    def _stride(self, dim: str, stride: str) -> str:
        if stride == "0" or dim == "1":
            return "0"
        return self.w.op(f"select i1 {self.w.op(f'icmp eq i64 {dim}, 1')}, i64 0, i64 {stride}")

    def _plain(self, ref: Ref) -> None:
        if len(ref.dims) == 2:
            self._contiguous(ref)
            for dim in ref.dims:
                self.guard(
                    self.w.op(f"icmp sgt i64 {dim}, 1"), "a product with a matrix of one row or column"
                )
        elif constant_of(ref.strides[0]) is None:
            self.guard(self.w.op(f"icmp sgt i64 {ref.strides[0]}, 0"), "a product of a reversed vector")

    def _dot(self, left: Any, right: Any) -> Any:
        return self.product(left, right, "dot")

    def _outer(self, left: Any, right: Any) -> Lazy:
        left, right = self.whole(left), self.whole(right)
        if len(left.dims) != 1 or len(right.dims) != 1:
            raise Unsupported("np.outer of matrices")
        kind, result = self._kinds("*", left, right)
        one, other = (self._cast(each, kind) for each in (left, right))

        def element(indices: list[str]) -> Val:
            return self.binary("*", self.at(one, indices[:1]), self.at(other, indices[1:]))

        refs = tuple(
            ref for each in (one, other) for ref in (each.refs if isinstance(each, Lazy) else (each,))
        )
        return Lazy(result, (one.dims[0], other.dims[0]), element, refs, True)

    def _norm(self, value: Any) -> Val:
        value = self.whole(value)
        if len(value.dims) != 1 or kind_of(value) != "float64":
            raise Unsupported("the norm of this array")
        ref = self.held(value)
        if not ref.type.unit:
            ref = self._copy(ref)
        return self.root(self.product(ref, ref, "dot"))
