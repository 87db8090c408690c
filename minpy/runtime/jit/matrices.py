"""LLVM code for products of vectors and matrices."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from minpy.runtime.jit import numpy_loops
from minpy.runtime.jit.axes import Axes
from minpy.runtime.jit.expressions import BITS
from minpy.runtime.jit.ir import double
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.leaving import constant_of
from minpy.runtime.jit.reductions import LETTERS
from minpy.runtime.jit.values import Known, Lazy, Ref, Several, Val
from minpy.runtime.jit.wholes import kind_of

_FACTOR = 1 << 26  # elements of a factor: all the work is BLAS's, as in NumPy
LONGEST_SPREAD = 4096  # of longer vectors BLAS may add parts in several threads


class Matrices(Axes):
    """What knows of rows and columns."""

    # Products.

    def product(self, left: Any, right: Any, name: str = "matmul") -> Any:
        """``left @ right`` of vectors and matrices; with ``"dot"``, what ``np.dot`` gives."""
        left, right = self.whole(left), self.whole(right)
        kind = kind_of(left)
        ranks = len(left.dims), len(right.dims)
        stacks = max(ranks) > 2
        if kind != kind_of(right) or kind not in LETTERS or (stacks and (min(ranks) < 2 or name == "dot")):
            raise Unsupported("a product of arrays of these types")
        symbol = self.loop(f"product {name} {LETTERS[kind] * 3}")
        one, other = self.held(left), self.held(right)
        if stacks:
            return self._products(symbol, one, other)
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
        done = ""
        if not dims and kind == "float64":
            done = self._vector_product(one, other, pointer)
        steps = ["0", "0", "0", *(self._stride(*each) for each in (m, n, n2, p, om, op))]
        self.run_loop(symbol, [one.pointer, other.pointer, pointer], ["1", m[0], n[0], p[0]], steps)
        if done:
            self.w.place(done)
        if dims:
            self.nest(dims, lambda indices: self._is_finite(self.at(new, indices).x))
            return new
        value = self._finite_result(kind, pointer)
        if name == "dot":
            longer = self.w.op(f"icmp ne i64 {n[0]}, 1")
            zero = self.w.op(f"fcmp une double {value.x}, {double(0.0)}")
            self.guard(self.w.op(f"or i1 {longer}, {zero}"), "a product of single elements that is zero")
        return value

    def _vector_product(self, one: Ref, other: Ref, out: str) -> str:
        """Write the product of two vectors: the sum where one has gaps, as a call would take longer; else BLAS' call.

        Gives the label of what follows, where code for all others is to be written now; nothing if there is none.
        """
        end = self.w.fresh("end")
        spread = self._spread_product(one, other, out, end)
        close = self._close_product(one, other, out, end)
        return end if spread or close else ""

    def _close_product(self, one: Ref, other: Ref, out: str, end: str) -> bool:
        """Write a call of BLAS for vectors without gaps: NumPy's loop looks long at what it is given."""
        what, w = "blas ddot ddd", self.w
        if not numpy_loops.address(what):
            return False
        self.at_once()
        symbol = numpy_loops.symbol(what)
        self.externals[what] = 0
        w.declarations.add(f"declare double @{symbol}(i64, ptr, i64, ptr, i64)")
        close = "true"
        for each in (one, other):
            if each.strides[0] != "8":
                close = w.op(f"and i1 {close}, {w.op(f'icmp eq i64 {each.strides[0]}, 8')}")
        here, others = w.fresh("close"), w.fresh("others")
        w.branch(close, here, others)
        w.place(here)
        (n,) = one.dims
        x = w.op(f"call double @{symbol}(i64 {n}, ptr {one.pointer}, i64 1, ptr {other.pointer}, i64 1)")
        w.put(f"store double {w.op(f'fadd double {x}, {double(0.0)}')}, ptr {out}")
        w.jump(end)
        w.place(others)
        return True

    def _spread_product(self, one: Ref, other: Ref, out: str, end: str) -> bool:
        """Write the sum of products for vectors of which one has gaps; False if there is nothing to write."""
        order = self.spread_order()
        if not order or (one.strides[0] == other.strides[0] == "8"):
            return False
        (n,), w = one.dims, self.w
        spread = w.op(f"icmp sle i64 {n}, {LONGEST_SPREAD}")
        for each in (one, other):
            if constant_of(each.strides[0]) is None:
                spread = w.op(f"and i1 {spread}, {w.op(f'icmp sgt i64 {each.strides[0]}, 0')}")
        sides = [w.op(f"icmp ne i64 {each.strides[0]}, 8") for each in (one, other)]
        spread = w.op(f"and i1 {spread}, {w.op(f'or i1 {sides[0]}, {sides[1]}')}")
        here, others = w.fresh("spread"), w.fresh("others")
        w.branch(spread, here, others)
        w.place(here)

        def elements(k: str) -> tuple[str, str]:
            places = [self.item(each, [k], checked=False).pointer for each in (one, other)]
            return w.op(f"load double, ptr {places[0]}"), w.op(f"load double, ptr {places[1]}")

        w.put(f"store double {self.sum_of_products(order, n, 'double', elements)}, ptr {out}")
        w.jump(end)
        w.place(others)
        return True

    def spread_order(self) -> str:
        """`numpy_loops.spread_order`, which is looked at again where the code is loaded."""
        order = numpy_loops.spread_order()
        if order:
            self.externals[f"order {order} ddd"] = 0
        return order

    def sum_of_products(
        self, order: str, count: str, type_: str, elements: Callable[[str], tuple[str, str]]
    ) -> str:
        """The sum of products of `elements`, as BLAS adds them where they have gaps (`numpy_loops.spread_order`).

        `type_` is that of an element: a double, or a vector of them.
        """
        w, zero = self.w, "0.0" if type_ == "double" else "zeroinitializer"
        fma = f"llvm.fma.{'f64' if type_ == 'double' else f'v{type_[1:].split()[0]}f64'}"
        if order == "fused":
            w.declarations.add(f"declare {type_} @{fma}({', '.join([type_] * 3)})")
        cells = [w.alloca(type_, "sum") for _ in range(4 if order == "four" else 2)]
        for cell in cells:
            w.put(f"store {type_} {zero}, ptr {cell}")
        counter = w.alloca("i64", "k")
        w.put(f"store i64 0, ptr {counter}")

        def product(pair: tuple[str, str]) -> str:
            return w.op(f"fmul {type_} {pair[0]}, {pair[1]}")

        def plus(total: str, pair: tuple[str, str]) -> str:
            if order == "fused":
                return w.op(f"call {type_} @{fma}({type_} {pair[0]}, {type_} {pair[1]}, {type_} {total})")
            return w.op(f"fadd {type_} {total}, {product(pair)}")

        def add(cell: str, x: Callable[[str], str]) -> None:
            w.put(f"store {type_} {x(w.op(f'load {type_}, ptr {cell}'))}, ptr {cell}")

        def loop(stop: str, step: int, inside: Callable[[str], None]) -> None:
            head, body, end = (w.fresh(hint) for hint in ("sums", "products", "past"))
            w.place(head)
            k = w.op(f"load i64, ptr {counter}")
            w.branch(w.op(f"icmp slt i64 {k}, {stop}"), body, end)
            w.place(body)
            inside(k)
            w.put(f"store i64 {w.op(f'add nuw nsw i64 {k}, {step}')}, ptr {counter}")
            w.jump(head)
            w.place(end)

        def by_four(k: str) -> None:
            places = [k, *(w.op(f"add nuw nsw i64 {k}, {i}") for i in (1, 2, 3))]
            pairs = [elements(place) for place in places]
            if order == "four":
                for cell, pair in zip(cells, pairs, strict=True):
                    add(cell, lambda total, pair=pair: plus(total, pair))
                return
            for cell, pair, later in zip(cells, pairs[:2], pairs[2:], strict=True):
                # The sum of two products does not depend on which comes first; what is rounded does.
                both = plus(product(later), pair)
                add(cell, lambda total, both=both: w.op(f"fadd {type_} {total}, {both}"))

        loop(w.op(f"and i64 {count}, -4"), 4, by_four)
        loop(count, 1, lambda k: add(cells[0], lambda total: plus(total, elements(k))))
        sums = [w.op(f"load {type_}, ptr {cell}") for cell in cells]
        while len(sums) > 1:
            sums = [w.op(f"fadd {type_} {a}, {b}") for a, b in zip(sums[::2], sums[1::2], strict=True)]
        return sums[0]

    def _products(self, symbol: str, one: Ref, other: Ref) -> Ref:
        """The products of the matrices of two stacks, which are stretched to each other: always in C order."""
        (m, n), (n2, p) = (list(zip(each.dims, each.strides, strict=True))[-2:] for each in (one, other))
        self.guard(self.w.op(f"icmp eq i64 {n[0]}, {n2[0]}"), "a product of arrays that do not fit")
        self.size_of(one.dims, _FACTOR)
        self.size_of(other.dims, _FACTOR)
        leads = [replace(each, dims=each.dims[:-2], strides=each.strides[:-2]) for each in (one, other)]
        stack = self.common(*leads)
        new = self.fresh(one.type.kind, (*stack, m[0], p[0]))
        om, op = list(zip(new.dims, new.strides, strict=True))[-2:]
        steps = ["0", "0", "0", *(self._stride(*each) for each in (m, n, n2, p, om, op))]

        def multiply(indices: list[str]) -> None:
            places = []
            for ref in (one, other, new):
                own = indices[len(indices) + 2 - len(ref.dims) :]
                own = ["0" if dim == "1" else k for dim, k in zip(ref.dims, own, strict=False)]
                places.append(self.item(ref, [*own, "0", "0"], checked=False).pointer)
            self.run_loop(symbol, places, ["1", m[0], n[0], p[0]], steps)

        self.quietly(lambda: self.nest(stack, multiply))
        self.nest(new.dims, lambda indices: self._is_finite(self.at(new, indices).x))
        return new

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
        if isinstance(one, Ref):
            # A column and a row: what else is in the expression is read where its elements will be.
            return self.binary("*", self._view(one, [ast.Slice(), None]), other)

        def element(indices: list[str]) -> Val:
            return self.binary("*", self.at(one, indices[:1]), self.at(other, indices[1:]))

        refs = tuple(
            ref for each in (one, other) for ref in (each.refs if isinstance(each, Lazy) else (each,))
        )
        return Lazy(result, (one.dims[0], other.dims[0]), element, refs, True)

    def norm(self, value: Any, axis: Any = None, keep: bool = False) -> Any:
        """``np.linalg.norm`` of a vector or a matrix, or of the vectors along an axis."""
        value = self.whole(value)
        if kind_of(value) != "float64":
            raise Unsupported("the norm of this array")
        ref = self.held(value)
        if axis is not None and not (isinstance(axis, Known) and axis.value is None):
            if isinstance(axis, Several):
                raise Unsupported("the norm along several axes")
            total = self.along(self.held(self.binary("*", ref, ref)), "sum", axis, keep)
            if isinstance(total, Val):
                raise Unsupported("the norm along the only axis")
            return self.held(self.mapped("float64", self.root, total))
        if keep or len(value.dims) > 2:
            raise Unsupported("the norm of this array")
        if len(value.dims) == 2:
            self._contiguous(ref)
            size = str(BITS[ref.type.dtype][1])
            type_ = ref.type._replace(ndim=1, unit=True)
            ref = replace(ref, type=type_, dims=(self.size_of(ref.dims),), strides=(size,), ident="")
        if not ref.type.unit:
            ref = self._copy(ref)
        return self.root(self.product(ref, ref, "dot"))
