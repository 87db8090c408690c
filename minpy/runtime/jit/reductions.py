"""LLVM code that calls NumPy's own inner loops, and for reductions: sums as NumPy adds, extrema, means."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from minpy.runtime.jit import numpy_loops
from minpy.runtime.jit.arraystores import LARGEST, LARGEST_READ
from minpy.runtime.jit.calls import Calls
from minpy.runtime.jit.expressions import BITS
from minpy.runtime.jit.ir import double
from minpy.runtime.jit.kinds import BOOLS, COMPLEX, INTS, Unsupported
from minpy.runtime.jit.leaving import constant_of
from minpy.runtime.jit.values import Ref, Val, scalar
from minpy.runtime.jit.wholes import kind_of

LETTERS = {"float64": "d", "float32": "f"}  # NumPy's, in the types of a loop
SIGNED = frozenset({"int64", "int32", "int16", "int8"})


class Reductions(Calls):
    """What makes a number of an array."""

    # NumPy's own loops.

    def loop(self, what: str) -> str:
        """The name of one of NumPy's loops in the code.

        Raises
        ------
        Unsupported
            It is not to be had here.
        """
        if not numpy_loops.address(what):
            raise Unsupported(f"NumPy's loop for {what}")
        symbol = numpy_loops.symbol(what)
        self.externals[what] = 0
        if numpy_loops.extra(what):
            self.externals[f"extra {what}"] = 0
            self.w.declarations.add(f"@extra_{symbol} = external global i8")
        self.w.declarations.add(f"declare void @{symbol}(ptr, ptr, ptr, ptr)")
        return symbol

    def run_loop(self, symbol: str, pointers: list[str], sizes: list[str], steps: list[str]) -> None:
        """Call a loop of NumPy's."""
        self.at_once()
        places = []
        for type_, values in (("ptr", pointers), ("i64", sizes), ("i64", steps)):
            place = self.w.alloca(f"[{len(values)} x {type_}]", "passed")
            for i, x in enumerate(values):
                spot = self.w.op(f"getelementptr {type_}, ptr {place}, i64 {i}")
                self.w.put(f"store {type_} {x}, ptr {spot}")
            places.append(f"ptr {place}")
        extra = (
            f"@extra_{symbol}" if f"@extra_{symbol} = external global i8" in self.w.declarations else "null"
        )
        self.w.put(f"call void @{symbol}({', '.join(places)}, ptr {extra})")

    def _contiguous(self, ref: Ref) -> None:
        size = str(BITS[ref.type.dtype][1])
        for dim, stride in zip(reversed(ref.dims), reversed(ref.strides), strict=True):
            if stride != size:
                self.guard(self.w.op(f"icmp eq i64 {stride}, {size}"), "an array that is not in C order")
            size = self.w.op(f"mul i64 {size}, {dim}")

    def _is_finite(self, x: str) -> None:
        self.guard(self.are_finite(x), "a result that is infinite or NaN")

    def _finite_result(self, kind: str, pointer: str) -> Val:
        x = self.w.op(f"load {BITS[kind][0]}, ptr {pointer}")
        if kind == "float32":
            x = self.w.op(f"fpext float {x} to double")
        self.guard(self.are_finite(x), "a result that is infinite or NaN")
        return scalar(kind, "d", x)

    # Reductions.

    def _line(self, value: Any) -> Ref:
        """An array whose elements lie in a line, for NumPy also."""
        ref = self.held(self.whole(value))
        if len(ref.dims) > 1:
            self._contiguous(ref)
        return ref

    def total(self, value: Any) -> Val:
        """``np.sum`` of all elements."""
        kind = kind_of(self.whole(value))
        if kind in LETTERS:
            symbol = self.loop(f"reduce add {LETTERS[kind] * 3}")
            ref = self._line(value)
            size = self.size_of(ref.dims, LARGEST_READ)
            type_ = BITS[kind][0]
            out = self.w.alloca(type_, "sum")
            self.w.put(f"store {type_} {double(0.0)}, ptr {out}")
            step = ref.strides[-1] if len(ref.dims) == 1 else str(BITS[kind][1])
            end = ""
            if step == "8" and self.may_add_in_eights(kind, size):
                some, many, end = self.either_in_eights(size)
                self.w.place(some)
                x = self.sum_in_eights(size, lambda k, type_: self.elements_at(ref.pointer, k, type_))
                self.w.put(f"store double {self.w.op(f'fadd double {x}, {double(0.0)}')}, ptr {out}")
                self.w.jump(end)
                self.w.place(many)
            self._sum_pieces(symbol, out, ref.pointer, size, step, numpy_loops.sum_piece(LETTERS[kind] * 3))
            if end:
                self.w.place(end)
            return self._finite_result(kind, out)
        if kind not in SIGNED | {"bool_"}:
            raise Unsupported(f"a sum of {kind}")
        self.size_of(value.dims, LARGEST_READ)
        out = self.w.alloca("i64", "sum")
        self.w.put(f"store i64 0, ptr {out}")

        def add(indices: list[str]) -> None:
            x = self.exact("sadd", self.w.op(f"load i64, ptr {out}"), self.as_i64(self.at(value, indices)).x)
            self.w.put(f"store i64 {x}, ptr {out}")

        self.nest(value.dims, add)
        return scalar("int64", "i", self.w.op(f"load i64, ptr {out}"))

    @staticmethod
    def may_add_in_eights(kind: str, count: str) -> bool:
        """Whether there may be so few elements, and their sum need not be a call."""
        constant = constant_of(count)
        few = constant is None or 8 <= constant <= numpy_loops.MOST_IN_EIGHTS
        return few and kind == "float64" and numpy_loops.adds_in_eights("ddd")

    def either_in_eights(self, count: str) -> tuple[str, str, str]:
        """Labels for so few elements, for others, and for what follows; the block is ended."""
        some, many, end = (self.w.fresh(hint) for hint in ("eights", "many", "added"))
        over = self.w.op(f"sub i64 {count}, 8")
        few = self.w.op(f"icmp ult i64 {over}, {numpy_loops.MOST_IN_EIGHTS - 7}")
        self.w.branch(few, some, many)
        return some, many, end

    def elements_at(self, pointer: str, k: str, type_: str) -> str:
        """One element, or several that lie side by side."""
        place = self.w.op(f"getelementptr double, ptr {pointer}, i64 {k}")
        return self.w.op(f"load {type_}, ptr {place}, align 8")

    def sum_in_eights(self, count: str, elements: Callable[[str, str], str]) -> str:
        """The sum of 8 to 128 elements as NumPy adds them; `elements` gives those from an index on, of a type."""
        w, eight = self.w, "<8 x double>"
        sums, total = w.alloca(eight, "sums"), w.alloca("double", "total")

        def loop(start: str, stop: str, step: int, cell: str, type_: str) -> None:
            # So few rounds are not worth another loop.
            one = w.note('!"llvm.loop.vectorize.width", i32 1', distinct=False)
            with w.rounds(start, stop, step, w.note(f"{{}}, {one}")) as k:
                x = w.op(f"fadd {type_} {w.op(f'load {type_}, ptr {cell}')}, {elements(k, type_)}")
                w.put(f"store {type_} {x}, ptr {cell}")

        w.put(f"store {eight} {elements('0', eight)}, ptr {sums}")
        whole = w.op(f"and i64 {count}, -8")
        loop("8", whole, 8, sums, eight)
        x, lanes = w.op(f"load {eight}, ptr {sums}"), 8
        while lanes > 1:
            half = lanes // 2
            sides = []
            for first in (0, 1):
                places = ", ".join(f"i32 {first + 2 * i}" for i in range(half))
                sides.append(
                    w.op(
                        f"shufflevector <{lanes} x double> {x}, <{lanes} x double> undef, <{half} x i32> <{places}>"
                    )
                )
            x, lanes = w.op(f"fadd <{half} x double> {sides[0]}, {sides[1]}"), half
        w.put(f"store double {w.op(f'extractelement <1 x double> {x}, i32 0')}, ptr {total}")
        loop(whole, count, 1, total, "double")
        return w.op(f"load double, ptr {total}")

    def _sum_pieces(self, symbol: str, out: str, start: str, size: str, step: str, piece: int) -> None:
        """Add up elements in the pieces in which NumPy does."""
        constant = constant_of(size)
        short = constant is not None and constant <= numpy_loops.LONGEST_SUM
        if short or piece > LARGEST:
            self.run_loop(symbol, [out, start, out], [size], ["0", step, "0"])
            return
        if not piece:
            self.guard_range(size, 0, numpy_loops.LONGEST_SUM, "a long sum")
            piece = numpy_loops.LONGEST_SUM
        done = self.w.alloca("i64", "done")
        self.w.put(f"store i64 0, ptr {done}")
        head, more, end = (self.w.fresh(hint) for hint in ("sum", "piece", "end"))
        self.w.place(head)
        first = self.w.op(f"load i64, ptr {done}")
        left = self.w.op(f"sub i64 {size}, {first}")
        self.w.branch(self.w.op(f"icmp sgt i64 {left}, 0"), more, end)
        self.w.place(more)
        count = self.w.op(f"select i1 {self.w.op(f'icmp slt i64 {left}, {piece}')}, i64 {left}, i64 {piece}")
        place = self.w.op(f"getelementptr i8, ptr {start}, i64 {self.w.op(f'mul i64 {first}, {step}')}")
        self.run_loop(symbol, [out, place, out], [count], ["0", step, "0"])
        self.w.put(f"store i64 {self.w.op(f'add i64 {first}, {count}')}, ptr {done}")
        self.w.jump(head)
        self.w.place(end)

    def _some(self, dims: tuple[str, ...]) -> str:
        size = self.size_of(dims, LARGEST_READ)
        self.guard(self.w.op(f"icmp sgt i64 {size}, 0"), "a reduction of nothing")
        return size

    def _extremum(self, value: Any, name: str) -> Val:
        kind = kind_of(value)
        if kind in LETTERS:
            # Of zeros of both signs NumPy's choice is its own.
            symbol = self.loop(f"reduce {name} {LETTERS[kind] * 3}")
            ref = self._line(value)
            size = self._some(ref.dims)
            type_, bytes_ = BITS[kind]
            out = self.w.alloca(type_, "best")
            self.w.put(f"store {type_} {self.w.op(f'load {type_}, ptr {ref.pointer}')}, ptr {out}")
            step = ref.strides[-1] if len(ref.dims) == 1 else str(bytes_)
            rest = self.w.op(f"getelementptr i8, ptr {ref.pointer}, i64 {step}")
            more, on = self.w.fresh("more"), self.w.fresh("on")
            self.w.branch(self.w.op(f"icmp sgt i64 {size}, 1"), more, on)
            self.w.place(more)
            self.run_loop(symbol, [out, rest, out], [self.w.op(f"sub i64 {size}, 1")], ["0", step, "0"])
            self.w.place(on)
            x = self.w.op(f"load {type_}, ptr {out}")
            if kind == "float32":
                x = self.w.op(f"fpext float {x} to double")
            self.ordered(x)
            return scalar(kind, "d", x)
        best, _ = self._best(value, ast.Lt() if name == "minimum" else ast.Gt())
        return best

    def _best(self, value: Any, op: ast.cmpop) -> tuple[Val, str]:
        """The least or greatest element, and which it is in C order, the first of equal ones."""
        kind = kind_of(value)
        if kind == "uint64" or kind in COMPLEX or (isinstance(value, Ref) and value.type.sequence):
            raise Unsupported(f"the extremum of {kind}")
        self._some(value.dims)
        rep = "d" if kind in LETTERS else "b" if kind in BOOLS else "i"
        type_ = {"d": "double", "b": "i1", "i": "i64"}[rep]
        best, place, number = (
            self.w.alloca(type_, "best"),
            self.w.alloca("i64", "place"),
            self.w.alloca("i64", "n"),
        )
        for each in (place, number):
            self.w.put(f"store i64 0, ptr {each}")
        first = self.w.alloca(type_, "first")
        origin = self.held(value)
        start = self.read(self.item(origin, ["0"] * len(origin.dims), checked=False))
        self.w.put(f"store {type_} {start.x}, ptr {best}")
        self.w.put(f"store {type_} {start.x}, ptr {first}")

        def look(indices: list[str]) -> None:
            item = self.at(origin, indices)
            if rep == "d":
                self.ordered(item.x)
            now = scalar(kind, rep, self.w.op(f"load {type_}, ptr {best}"))
            better = self.compare(op, item, now).x
            n = self.w.op(f"load i64, ptr {number}")
            at = self.w.op(f"load i64, ptr {place}")
            x = self.w.op(f"select i1 {better}, {type_} {item.x}, {type_} {now.x}")
            self.w.put(f"store {type_} {x}, ptr {best}")
            self.w.put(f"store i64 {self.w.op(f'select i1 {better}, i64 {n}, i64 {at}')}, ptr {place}")
            self.w.put(f"store i64 {self.w.op(f'add i64 {n}, 1')}, ptr {number}")

        self.nest(origin.dims, look)
        return scalar(kind, rep, self.w.op(f"load {type_}, ptr {best}")), self.w.op(f"load i64, ptr {place}")

    def _argument(self, value: Any, op: ast.cmpop) -> Val:
        return scalar("int64", "i", self._best(value, op)[1])

    def _truths(self, value: Any, every: bool) -> Val:
        """``any`` and ``all``."""
        if kind_of(value) not in BOOLS:
            raise Unsupported("any() or all() of numbers")
        self.size_of(value.dims, LARGEST_READ)
        out = self.w.alloca("i1", "truth")
        self.w.put(f"store i1 {str(every).lower()}, ptr {out}")

        def look(indices: list[str]) -> None:
            joined = f"{'and' if every else 'or'} i1 {self.w.op(f'load i1, ptr {out}')}, {self.at(value, indices).x}"
            self.w.put(f"store i1 {self.w.op(joined)}, ptr {out}")

        self.nest(value.dims, look)
        return scalar("bool_", "b", self.w.op(f"load i1, ptr {out}"))

    def spread_out(self, x: str, lanes: int, type_: str = "double") -> str:
        """A number in all places of a vector."""
        w, vector = self.w, f"<{lanes} x {type_}>"
        one = w.op(f"insertelement {vector} undef, {type_} {x}, i32 0")
        return w.op(f"shufflevector {vector} {one}, {vector} undef, <{lanes} x i32> zeroinitializer")

    def _mean(self, value: Any) -> Val:
        if kind_of(value) not in INTS | {"float64"}:
            raise Unsupported(f"the mean of {kind_of(value)}")
        value = self._cast(value, "float64")
        size = self._some(value.dims)
        count = scalar("int", "i", size)
        return scalar("float64", "d", self.binary("/", self.total(value), count).x)

    def _variance(self, value: Any) -> Val:
        if kind_of(value) != "float64" or len(value.dims) != 1:
            raise Unsupported("the variance of this array")
        ref = self.held(value)
        mean = self._mean(ref)
        size = self.size_of(ref.dims, LARGEST_READ)
        count, end = scalar("int", "i", size), ""
        out = self.w.alloca("double", "squares")
        if ref.strides[0] == "8" and self.may_add_in_eights("float64", size):
            some, many, end = self.either_in_eights(size)
            self.w.place(some)

            def squares(k: str, type_: str) -> str:
                less = mean.x if type_ == "double" else self.spread_out(mean.x, 8)
                off = self.w.op(f"fsub {type_} {self.elements_at(ref.pointer, k, type_)}, {less}")
                return self.w.op(f"fmul {type_} {off}, {off}")

            self.w.put(f"store double {self.sum_in_eights(size, squares)}, ptr {out}")
            self.w.jump(end)
            self.w.place(many)
        off = self.held(self.binary("-", ref, mean))
        self.w.put(f"store double {self.total(self.binary('*', off, off)).x}, ptr {out}")
        if end:
            self.w.place(end)
        return scalar("float64", "d", self.binary("/", self._finite_result("float64", out), count).x)

    def _deviation(self, value: Any) -> Val:
        return self.root(self._variance(value))
