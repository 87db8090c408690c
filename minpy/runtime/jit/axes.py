"""LLVM code for reductions of arrays along some of their axes, in the order in which NumPy makes them."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from minpy.runtime.jit import numpy_loops
from minpy.runtime.jit.arraystores import LARGEST_READ, is_turned_all
from minpy.runtime.jit.expressions import BITS
from minpy.runtime.jit.ir import double
from minpy.runtime.jit.kinds import BOOLS, COMPLEX, Unsupported
from minpy.runtime.jit.leaving import constant_of
from minpy.runtime.jit.reductions import LETTERS, SIGNED, Reductions
from minpy.runtime.jit.values import Known, Lazy, Ref, Several, Val, scalar, small
from minpy.runtime.jit.wholes import breaks_of, kind_of

_ABREAST = 4  # elements of a last axis, of which sums are made for several rows at once
_SHORT = 8  # NumPy adds fewer elements one after the other


class Axes(Reductions):
    """What knows of axes."""

    def __init__(self) -> None:
        super().__init__()
        # Of expressions whose places of extremes were looked for, by identity: the extremes (where nothing has been
        # stored since, and all code after comes here).
        self.extrema: dict[tuple[Any, ...], tuple[Lazy, Ref]] = {}

    def axes_of(self, axis: Any, rank: int) -> tuple[int, ...] | None:
        """The axes that an argument names, or None for all."""
        if isinstance(axis, Known) and axis.value is None:
            return None
        items = axis.items if isinstance(axis, Several) else (axis,)
        found = set()
        for item in items:
            operand = self._operand(item)
            number = constant_of(operand.x) if operand.kind == "int" else None
            if number is None or not -rank <= number < rank or number % rank in found:
                raise Unsupported("a reduction along these axes")
            found.add(number % rank)
        return None if len(found) == rank else tuple(sorted(found))

    def along(self, value: Any, name: str, axis: Any, keep: bool, freedom: int = 0) -> Any:
        """A reduction along axes, which are kept with one element each if `keep` says so.

        `freedom` is what is taken from the number of elements for a variance.
        """
        rank = len(value.dims)
        if name.startswith("arg") and isinstance(axis, Several):
            raise Unsupported(f".{name}() along several axes")
        axes = self.axes_of(axis, rank)
        if axes is None:
            if freedom:
                raise Unsupported(f".{name}() with ddof")
            found = self.call_method(value, name, [], {})
            if not keep:
                return found
            return self._filled(_dtype(found.kind or ""), ("1",) * rank, found)
        self.size_of(value.dims, LARGEST_READ)
        if name in ("sum", "mean"):
            total = self._sum_along(value, axes, keep)
            if name == "sum":
                return total
            if kind_of(value) != "float64":
                raise Unsupported(f"the mean of {kind_of(value)}")
            return self.held(self.binary("/", total, scalar("int", "i", self._number_along(value, axes))))
        if name in ("var", "std"):
            return self._variance_along(self.held(value), axes, keep, freedom, name)
        if name in ("any", "all"):
            return self._truths_along(self.held(value), axes, keep, name == "all")
        return self._best_along(value, axes, keep, name)

    def _number_along(self, ref: Any, axes: tuple[int, ...]) -> str:
        count = "1"
        for axis in axes:
            dim = ref.dims[axis]
            count = dim if count == "1" else count if dim == "1" else self.w.op(f"mul i64 {count}, {dim}")
        self.guard(self.w.op(f"icmp sgt i64 {count}, 0"), "a reduction of nothing")
        return count

    @staticmethod
    def _left(items: Any, axes: tuple[int, ...], keep: bool, one: str) -> Any:
        """Of something that there is for each axis, that for the axes that stay."""
        kept = (one if axis in axes else item for axis, item in enumerate(items) if keep or axis not in axes)
        return list(kept) if isinstance(items, list) else tuple(kept)

    def _sum_along(self, value: Any, axes: tuple[int, ...], keep: bool) -> Ref:
        kind, rank = kind_of(value), len(value.dims)
        if kind not in LETTERS and kind not in SIGNED | {"bool_"}:
            raise Unsupported(f"a sum of {kind}")
        if axes == (rank - 1,) and kind in LETTERS and self._is_short(value.dims[-1], LETTERS[kind] * 3):
            return self._sum_short(value, keep)
        # Across the last axis each element is added once, and computed then.
        across = isinstance(value, Lazy) and rank - 1 not in axes and not is_turned_all(value)
        if across:
            self.ordered_alike(value, False)
        ref = value if across else self.held(value)
        dims = self._left(ref.dims, axes, keep, "1")
        new = self._filled(kind if kind in LETTERS else "int64", dims, self.constant(0))
        run = next(
            n for n in range(rank + 1) if rank - 1 - n not in axes
        )  # axes at the end that are added up
        if kind in LETTERS:
            # In C order. Along the last axes NumPy adds pair by pair, across them one after the other.
            if not across:
                self._descending(ref)
            several = len(axes) > 1
            for axis in range(rank):
                if axis not in axes and (several or axis == rank - 1) and constant_of(ref.dims[axis]) is None:
                    self.guard(self.w.op(f"icmp sgt i64 {ref.dims[axis]}, 1"), "a sum along single elements")
        if kind in LETTERS and run:
            self.quietly(lambda: self._sum_runs(ref, new, axes, keep, run))
            return new

        if axes == (1,) and rank == 3 and kind == "float64" and (constant_of(dims[-1]) or 9) <= _ABREAST:
            self.quietly(lambda: self._sums_abreast(ref, new, keep))
            return new

        def add(indices: list[str]) -> None:
            out = self.item(new, self._left(indices, axes, keep, "0"), checked=False)
            item = self.at(ref, indices)
            if kind in LETTERS:
                total = self.binary("+", self.read(out), item)
            else:
                x = self.exact("sadd", self.read(out).x, self.as_i64(item).x)
                total = scalar("int64", "i", x)
            self.write(out, total)

        self.quietly(lambda: self.nest(ref.dims, add, True, breaks_of(ref)))
        return new

    def _sums_abreast(self, value: Any, new: Ref, keep: bool) -> None:
        """Sums along the middle axis of what has few elements in the last one, for several places of the first at once.

        Each addition has to wait for the one before; so many of different sums need not.
        """
        n, m, last = value.dims
        blocks = self.w.op(f"lshr i64 {n}, 2")
        done = self.w.op(f"shl i64 {blocks}, 2")

        def sums(rows: list[str]) -> None:
            cells = [[self.w.alloca("double", "sum") for _ in range(int(last))] for _ in rows]
            for cell in (cell for line in cells for cell in line):
                self.w.put(f"store double {double(0.0)}, ptr {cell}")
            j, finish = self._over_elements("0", m)
            for row, line in zip(rows, cells, strict=True):
                for k, cell in enumerate(line):
                    total = scalar("float64", "d", self.w.op(f"load double, ptr {cell}"))
                    x = self.binary("+", total, self.at(value, [row, j, str(k)])).x
                    self.w.put(f"store double {x}, ptr {cell}")
            if self.floats is not None:
                self.floats.clear()  # a NaN stays in the sum
            finish()
            for row, line in zip(rows, cells, strict=True):
                for k, cell in enumerate(line):
                    x = self.w.op(f"load double, ptr {cell}")
                    self.ordered(x)
                    place = [row, *(["0"] if keep else []), str(k)]
                    self.write(self.item(new, place, checked=False), scalar("float64", "d", x))

        def four(indices: list[str]) -> None:
            first = self.w.op(f"shl i64 {indices[0]}, 2")
            sums([first, *(self.w.op(f"add i64 {first}, {i}") for i in (1, 2, 3))])

        self.nest((blocks,), four, True)
        rest = self.w.op(f"and i64 {n}, 3")
        self.nest((rest,), lambda indices: sums([self.w.op(f"add i64 {indices[0]}, {done}")]), True)

    @staticmethod
    def _is_short(dim: str, types: str) -> bool:
        """Whether an axis is known to have so few elements that their sum is written out."""
        count = small(constant_of(dim) or 0)
        adds = numpy_loops.adds_in_order if count < _SHORT else numpy_loops.adds_by_eight
        return bool(count) and adds(types)

    def _sum_short(self, value: Any, keep: bool) -> Ref:
        """Sums along a short last axis, each computed from the expression: no array is made of its elements."""
        if is_turned_all(value):
            value = self.held(value)
        self.ordered_alike(value, False)
        *dims, last = value.dims
        end = ["1"] if keep else []
        new = self.fresh(kind_of(value), (*dims, *end))

        def row(indices: list[str]) -> None:
            items = [self.at(value, [*indices, str(k)]) for k in range(int(last))]
            if len(items) >= _SHORT:  # NumPy adds them pair by pair, and what is left one after the other
                pairs, rest = items[:_SHORT], items[_SHORT:]
                while len(pairs) > 1:
                    pairs = [self.binary("+", *each) for each in zip(pairs[::2], pairs[1::2], strict=True)]
                items = pairs + rest
            total = items[0]
            for each in items[1:]:
                total = self.binary("+", total, each)
            total = self.binary("+", scalar(total.kind, "d", double(0.0)), total)
            self.write(self.item(new, [*indices, *(["0"] if keep else [])], checked=False), total)

        self.quietly(lambda: self.nest(tuple(dims), row, True, independent=True))
        return new

    def _sum_runs(self, ref: Ref, new: Ref, axes: tuple[int, ...], keep: bool, run: int) -> None:
        """Sums of elements that lie in a row, one row after the other."""
        kind, dims, strides = ref.type.kind, ref.dims, ref.strides
        rank = len(dims)
        symbol = self.loop(f"reduce add {LETTERS[kind] * 3}")
        count, step = dims[-1], strides[-1]
        for axis in range(rank - 2, rank - 1 - run, -1):
            reach = self.w.op(f"mul i64 {dims[axis + 1]}, {strides[axis + 1]}")
            self.guard(self.w.op(f"icmp eq i64 {strides[axis]}, {reach}"), "a sum of rows with gaps")
            count = self.w.op(f"mul i64 {count}, {dims[axis]}")
        self.guard_range(count, 0, numpy_loops.LONGEST_SUM, "a long sum")
        outer = rank - run
        in_order = numpy_loops.adds_in_order(LETTERS[kind] * 3)

        def place(indices: list[str]) -> tuple[Ref, str]:
            every = [*indices, *["0"] * run]
            out = self.item(new, self._left(every, axes, keep, "0"), checked=False)
            return out, self.item(ref, every, checked=False).pointer

        def row(indices: list[str]) -> None:
            out, start = place(indices)
            self.run_loop(symbol, [out.pointer, start, out.pointer], [count], ["0", step, "0"])
            self._is_finite(self.read(out).x)

        def short_row(indices: list[str]) -> None:
            out, start = place(indices)
            type_ = BITS[kind][0]
            total = self.w.alloca("double", "sum")
            self.w.put(f"store double {double(-0.0)}, ptr {total}")

            def add(inner: list[str]) -> None:
                at = self.w.op(
                    f"getelementptr i8, ptr {start}, i64 {self.w.op(f'mul i64 {inner[0]}, {step}')}"
                )
                x = self.w.op(f"load {type_}, ptr {at}")
                if kind == "float32":
                    x = self.w.op(f"fpext float {x} to double")
                sum_ = self.binary(
                    "+", scalar(kind, "d", self.w.op(f"load double, ptr {total}")), scalar(kind, "d", x)
                )
                self.w.put(f"store double {sum_.x}, ptr {total}")

            k, finish = self._over_elements("0", count)
            add([k])
            if self.floats is not None:
                self.floats.clear()  # a NaN stays in the sum
            finish()
            found = scalar(kind, "d", self.w.op(f"load double, ptr {total}"))
            self.write(out, self.binary("+", self.read(out), found))

        def row_in_eights(indices: list[str]) -> None:
            out, start = place(indices)
            found = self.sum_in_eights(count, lambda k, type_: self.elements_at(start, k, type_))
            x = self.w.op(f"fadd double {self.read(out).x}, {found}")
            self._is_finite(x)
            self.write(out, scalar(kind, "d", x))

        after = ""
        if step == "8" and self.may_add_in_eights(kind, count):
            some, others, after = self.either_in_eights(count)
            self.w.place(some)
            self.nest(dims[:outer], row_in_eights)
            self.w.jump(after)
            self.w.place(others)
        if not in_order:
            self.nest(dims[:outer], row)
            if after:
                self.w.place(after)
            return
        short, long, end = (self.w.fresh(hint) for hint in ("short", "long", "end"))
        constant = constant_of(count)
        if constant is not None:
            self.nest(dims[:outer], *((short_row, True) if constant < _SHORT else (row,)))
            if after:
                self.w.place(after)
            return
        self.w.branch(self.w.op(f"icmp slt i64 {count}, {_SHORT}"), short, long)
        self.w.place(short)
        self.nest(dims[:outer], short_row, True)
        self.w.jump(end)
        self.w.place(long)
        self.nest(dims[:outer], row)
        self.w.place(end)
        if after:
            self.w.place(after)

    def _variance_along(self, ref: Ref, axes: tuple[int, ...], keep: bool, freedom: int, name: str) -> Any:
        if ref.type.kind != "float64":
            raise Unsupported(f"the variance of {ref.type.kind}")
        count = self._number_along(ref, axes)
        mean = self.held(self.binary("/", self._sum_along(ref, axes, True), scalar("int", "i", count)))
        off = self.held(self.binary("-", ref, mean))
        total = self._sum_along(self.binary("*", off, off), axes, keep)
        if freedom:
            count = self.w.op(f"sub i64 {count}, {freedom}")
            self.guard(self.w.op(f"icmp sgt i64 {count}, 0"), "a variance of too few elements")
        found = self.held(self.binary("/", total, scalar("int", "i", count)))
        return found if name == "var" else self.held(self.mapped("float64", self.root, found))

    def _truths_along(self, ref: Ref, axes: tuple[int, ...], keep: bool, every: bool) -> Ref:
        if ref.type.kind not in BOOLS:
            raise Unsupported("any() or all() of numbers")
        dims = self._left(ref.dims, axes, keep, "1")
        new = self._filled("bool", dims, self.constant(every))

        def look(indices: list[str]) -> None:
            out = self.item(new, self._left(indices, axes, keep, "0"), checked=False)
            joined = f"{'and' if every else 'or'} i1 {self.read(out).x}, {self.at(ref, indices).x}"
            self.write(out, scalar("bool_", "b", self.w.op(joined)))

        self.quietly(lambda: self.nest(ref.dims, look))
        return new

    def _best_along(self, value: Any, axes: tuple[int, ...], keep: bool, name: str) -> Ref:
        kind, op = kind_of(value), ast.Lt() if name in ("min", "argmin") else ast.Gt()
        if kind == "uint64" or kind in COMPLEX:
            raise Unsupported(f"the extremum of {kind}")
        # Across the last axis each element is looked at once, and computed then.
        across = isinstance(value, Lazy) and len(value.dims) - 1 not in axes and not is_turned_all(value)
        across = across and not (value.mixed or value.breaks or value.items)
        if across:
            self.ordered_alike(value, False)
        ref = value if across else self.held(value)
        self._number_along(ref, axes)
        dims = self._left(ref.dims, axes, keep, "1")
        key = id(value), axes, keep, name[-3:]
        known = None if name.startswith("arg") else self.extrema.pop(key, None)
        best = self.fresh("bool" if kind == "bool_" else kind, dims) if known is None else known[1]
        places = self._filled("int64", dims, self.constant(0)) if name.startswith("arg") else None

        def start(indices: list[str]) -> None:
            waiting = iter(indices if not keep else [k for axis, k in enumerate(indices) if axis not in axes])
            own = ["0" if axis in axes else next(waiting) for axis in range(len(ref.dims))]
            item = self.at(ref, own)
            if item.rep == "d":
                self.ordered(item.x)
            self.write(self.item(best, indices, checked=False), item)

        def look(indices: list[str]) -> None:
            own = self._left(indices, axes, keep, "0")
            item, out = self.at(ref, indices), self.item(best, own, checked=False)
            now = self.read(out)
            if item.rep == "d":
                self.ordered(item.x)
                if places is None:
                    # Of zeros of both signs NumPy's choice is its own.
                    equal = self.w.op(f"fcmp oeq double {item.x}, {now.x}")
                    bits = [self.w.op(f"bitcast double {each.x} to i64") for each in (item, now)]
                    differ = self.w.op(f"icmp ne i64 {bits[0]}, {bits[1]}")
                    odd = self.w.op(f"and i1 {equal}, {differ}")
                    self.guard(self.w.op(f"xor i1 {odd}, true"), "an extremum that is zero")
            better = self.compare(op, item, now).x
            x = self._better_one(op, item, now, better)
            self.write(out, scalar(kind, item.rep, x))
            if places is not None:
                spot = self.item(places, own, checked=False)
                old = self.read(spot)
                x = self.w.op(f"select i1 {better}, i64 {indices[axes[0]]}, i64 {old.x}")
                self.write(spot, scalar("int64", "i", x))

        again = "" if known is None else self._unless_zero(best)
        self.quietly(lambda: self.nest(best.dims, start, across))
        in_rows = (
            not across and axes == (len(ref.dims) - 1,) and ref.strides[-1] == "8" and ref.dims[-1] != "1"
        )
        if kind == "float64" and places is None and in_rows and not small(constant_of(ref.dims[-1]) or 0):

            def row(indices: list[str]) -> None:
                self._best_of_row(
                    ref,
                    self.item(best, [*indices, *(["0"] if keep else [])], checked=False),
                    indices,
                    op,
                    look,
                )

            self.quietly(lambda: self.nest(ref.dims[:-1], row))
            return best
        # Where the last axis stays, each round of the innermost loop has a result of its own.
        apart = len(ref.dims) - 1 not in axes and not small(constant_of(ref.dims[-1]) or 0)
        self.quietly(lambda: self.nest(ref.dims, look, across, independent=apart))
        if again:
            self.w.place(again)
        if places is not None and across:
            self.extrema[key] = value, best
        return places or best

    def _unless_zero(self, best: Ref) -> str:
        """Go on where extremes that are known are to be found once more, as some are zero; else at the label it gives.

        Of zeros of both signs NumPy's choice is its own.
        """
        again, done = self.w.fresh("again"), self.w.fresh("known")
        zero = self.w.alloca("i1", "zero")
        self.w.put(f"store i1 false, ptr {zero}")

        def look(indices: list[str]) -> None:
            item = self.read(self.item(best, indices, checked=False))
            if item.rep == "d":
                is_zero = self.w.op(f"fcmp oeq double {item.x}, {double(0.0)}")
                before = self.w.op(f"load i1, ptr {zero}")
                self.w.put(f"store i1 {self.w.op(f'or i1 {before}, {is_zero}')}, ptr {zero}")

        self.nest(best.dims, look)
        self.w.branch(self.w.op(f"load i1, ptr {zero}"), again, done)
        self.w.place(again)
        return done

    def _best_of_row(
        self, ref: Ref, out: Ref, indices: list[str], op: ast.cmpop, look: Callable[[list[str]], None]
    ) -> None:
        """The extremum of the elements of a row, of which several are compared at a time.

        That of zeros of both signs depends on the order: `look` compares one by one then.
        """
        w, lanes = self.w, 8
        vector, mask, count = f"<{lanes} x double>", f"<{lanes} x i1>", ref.dims[-1]
        load = f"llvm.masked.load.v{lanes}f64.p0"
        name, sign = ("fmin", "olt") if isinstance(op, ast.Lt) else ("fmax", "ogt")
        w.declarations |= {
            f"declare {vector} @{load}(ptr, i32, {mask}, {vector})",
            f"declare double @llvm.vector.reduce.{name}.v{lanes}f64({vector})",
            f"declare i1 @llvm.vector.reduce.or.v{lanes}i1({mask})",
        }
        first = self.spread_out(self.read(out).x, lanes)
        best, odd = w.alloca(vector, "best"), w.alloca(mask, "odd")
        w.put(f"store {vector} {first}, ptr {best}")
        w.put(f"store {mask} zeroinitializer, ptr {odd}")
        with w.rounds("0", count, lanes) as k:
            numbers = f"<{', '.join(f'i64 {lane}' for lane in range(lanes))}>"
            left = self.spread_out(w.op(f"sub i64 {count}, {k}"), lanes, "i64")
            there = w.op(f"icmp slt <{lanes} x i64> {numbers}, {left}")
            place = self.item(ref, [*indices, k], checked=False).pointer
            x = w.op(f"call {vector} @{load}(ptr {place}, i32 8, {mask} {there}, {vector} {first})")
            now = w.op(f"load {vector}, ptr {best}")
            better = w.op(f"fcmp {sign} {vector} {x}, {now}")
            w.put(
                f"store {vector} {w.op(f'select {mask} {better}, {vector} {x}, {vector} {now}')}, ptr {best}"
            )
            before, none = w.op(f"load {mask}, ptr {odd}"), w.op(f"fcmp uno {vector} {x}, {x}")
            w.put(f"store {mask} {w.op(f'or {mask} {before}, {none}')}, ptr {odd}")
        none = w.op(f"load {mask}, ptr {odd}")
        none = w.op(f"call i1 @llvm.vector.reduce.or.v{lanes}i1({mask} {none})")
        self.guard(w.op(f"xor i1 {none}, true"), "a result that is NaN")
        now = w.op(f"load {vector}, ptr {best}")
        found = w.op(f"call nnan double @llvm.vector.reduce.{name}.v{lanes}f64({vector} {now})")
        found = w.op(f"freeze double {found}")
        plain, zero, done = (w.fresh(hint) for hint in ("plain", "zero", "done"))
        w.branch(w.op(f"fcmp une double {found}, {double(0.0)}"), plain, zero, expected=True)
        w.place(plain)
        w.put(f"store double {found}, ptr {out.pointer}")
        w.jump(done)
        w.place(zero)
        k, finish = self._over_elements("0", count)
        look([*indices, k])
        finish()
        w.place(done)

    def _better_one(self, op: ast.cmpop, item: Val, now: Val, better: str) -> str:
        """The lesser or greater of two numbers that are not NaN.

        Not by a selection, of which LLVM makes a store of some elements: processors do not hand on what that stored to
        the next row, which reads it.
        """
        least = isinstance(op, ast.Lt)
        if item.rep == "b":
            return self.w.op(f"select i1 {better}, i1 {item.x}, i1 {now.x}")
        name, type_ = (
            (("maxnum", "minnum")[least], "double") if item.rep == "d" else (("smax", "smin")[least], "i64")
        )
        full = f"@llvm.{name}.{'f64' if item.rep == 'd' else 'i64'}"
        self.w.declarations.add(f"declare {type_} {full}({type_}, {type_})")
        said = "nnan " if item.rep == "d" else ""
        return self.w.op(f"call {said}{type_} {full}({type_} {item.x}, {type_} {now.x})")

    def reduced_number(self, value: Val, name: str) -> Val:
        """``np.sum(x)`` of a number."""
        if value.kind != "float64" or name not in ("sum", "mean", "min", "max"):
            raise Unsupported(f"np.{name} of this number")
        self.guard(self.w.op(f"fcmp one double {value.x}, {double(0.0)}"), f"np.{name} of zero or NaN")
        return value


def _dtype(kind: str) -> str:
    return "bool" if kind in BOOLS else kind
