"""LLVM code for loops over the elements of arrays, and for a look at what their operations warn of."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from minpy.runtime.jit import crew, shares
from minpy.runtime.jit.ir import HAS_FLAGS, double
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.leaving import constant_of
from minpy.runtime.jit.undo import BEFORE, NOT
from minpy.runtime.jit.values import small
from minpy.runtime.jit.views import Views

# What the processor's flags tell that NumPy warns of.
RAISED = "an overflow, an invalid value or a division by zero"
_RAISED = 0x1 | 0x4 | 0x8
_MOST_BREAKS = 9  # of one axis
# Fewer elements fill no round of a loop that takes several vectors at a time, as the compiler else makes it.
_FEW_IN_A_ROW = 32


class Nests(Views):
    """Loops over elements."""

    in_columns = False  # whether nothing but the elements of some columns may be worked on (see `columns`)
    shares = (
        False  # whether threads may share loops over elements (see `shares`); not in the midst of such a one
    )

    def nest(
        self,
        dims: tuple[str, ...],
        body: Callable[[list[str]], None],
        stores: bool = False,
        breaks: tuple[tuple[int, str], ...] = (),
        independent: bool = False,
        one_by_one: bool = False,
        piece: tuple[str, str] | None = None,
        looks: bool = False,
    ) -> None:
        """Run code for all indices, in pieces between `breaks`; what its guards find is looked at afterwards.

        If the body `stores` all that it computes, the processor's flags say whether an operation overflowed, divided by
        zero or was invalid, as they do for NumPy. (What is not stored, the compiler may compute after they are read.)
        `independent`: no round reads or stores what another one stores, so that the compiler need not find that out,
        which it cannot where an array is changed in place. `piece` says which indices of the first axis are meant, if
        not all are. The body of a loop that only `looks` at elements stores nothing.
        """
        self.at_once()
        if self.in_columns and piece is None:
            raise Unsupported("more than some columns")
        self.whole_arrays = True
        opening, around, access = len(self.w.lines), (self.floats, self.computed), self.w.access
        group = self.w.note("") if independent else ""
        self.w.access = f", !llvm.access.group {group}" if group else ""
        self.floats, self.computed = ({} if stores and HAS_FLAGS else None), False
        flag, outer, reason = self.w.alloca("i1", "fine"), self.flag, self.flag_reason
        self.w.put(f"store i1 true, ptr {flag}")
        self.flag, self.flag_reason = flag, ""
        indices: list[str] = []
        ends: list[Callable[[], None]] = []
        parallel = self.w.note(f'!"llvm.loop.parallel_accesses", {group}', distinct=False) if group else ""
        # Each row has a flag of its own: else no row could be looked at before the one before it has been.
        row = self.w.alloca("i1", "fine") if len(dims) > 1 else ""
        cuts = {axis: self._cuts(dim, axis, breaks) for axis, dim in enumerate(dims, -len(dims))}
        alone = piece is not None or not (looks or (independent and stores))
        limits = {} if alone else self.shared_over(dims, flag)
        around_shares, self.shares = self.shares, self.shares and not limits
        for axis, dim in enumerate(dims, -len(dims)):
            # Short loops of a known length are unrolled, and the one around them is the innermost then.
            innermost = all(small(constant_of(each) or 0) for each in dims[len(dims) + axis + 1 :])
            said = [parallel] if group and innermost else []
            if one_by_one:
                said.append(self.w.note('!"llvm.loop.vectorize.width", i32 1', distinct=False))
            in_pieces = bool(cuts[axis])
            if innermost and small(constant_of(dim) or 0) and not in_pieces:
                # (Of a piece, whose length is not known, the compiler would tell the user that it cannot.)
                said.append(self.w.note('!"llvm.loop.unroll.full"', distinct=False))
            if axis == -1 and (extent := self.extents.get(dim, constant_of(dim) or 0)):
                self.rows.append(extent)
                if not small(extent) and extent < _FEW_IN_A_ROW:
                    said.append(self.w.note('!"llvm.loop.interleave.count", i32 1', distinct=False))
            loop = self.w.note(", ".join(["{}", *said])) if said else ""
            if axis == -1 and row:
                self.w.put(f"store i1 true, ptr {row}")
                self.flag = row
                ends.append(lambda: self._flag_of_row(flag, row))
            if piece is not None and axis == -len(dims):
                k, end_of_loop = self._over_elements(*piece, loop)
            elif in_pieces:
                start, stop, end_of_piece = self._over_pieces(*cuts[axis])
                ends.append(end_of_piece)
                k, end_of_loop = self._over_elements(*self._part_of(start, stop, limits.get(axis)), loop)
                self.pieces[k] = start, frozenset(x for each, x in breaks if each == axis)
            else:
                k, end_of_loop = self._over_elements(*limits.get(axis, ("0", dim)), loop)
            indices.append(k)
            ends.append(end_of_loop)
        opaques, self.opaques = self.opaques, {}
        elements, self.computed_elements = self.computed_elements, {}
        with self.kept_as(BEFORE if self.keeping == BEFORE else NOT):
            body(indices)
        opaques, self.opaques = self.opaques, opaques
        self.computed_elements = elements
        floats, computed = self.floats, self.computed
        (self.floats, self.computed), self.w.access = around, access
        for x in floats or ():
            self.guard(self.w.op(f"fcmp ord double {x}, {double(0.0)}"), "a result that is NaN")
        for finish in reversed(ends):
            finish()
        self.shares = around_shares
        if limits:
            self.end_shared()
        found, self.flag, self.flag_reason = self.flag_reason, outer, reason
        if found:
            self.guard(self.w.op(f"load i1, ptr {flag}"), found)
        self.w.lines[opening:opening] = [
            f'  {new} = call double asm sideeffect "", "=x,0"(double {x})' for x, new in opaques.items()
        ]
        if computed:
            self.flagged(opening)

    shared = 0  # loops over elements that are marked

    def shared_over(self, dims: tuple[str, ...], flag: str) -> dict[int, tuple[str, str]]:
        """Mark what follows as a loop that may be shared: the names of the first and last index of some axes.

        Nothing if it is not long enough. Axes of few elements are not shared.
        """
        known = self.elements.get(dims[-1]) or prod(
            self.extents.get(dim, constant_of(dim) or 1) for dim in dims
        )
        if not self.shares or known < crew.LEAST:
            return {}
        axes = {
            axis: dim
            for axis, dim in enumerate(dims, -len(dims))
            if dim != "1" and not small(constant_of(dim) or 0)
        }
        if not axes:
            return {}
        self.shared += 1
        marked = {
            axis: shares.Axis(dim, *map(self.w.fresh, ("%first", "%last"))) for axis, dim in axes.items()
        }
        rest = [dim for axis, dim in enumerate(dims, -len(dims)) if axis not in axes]
        self.w.lines.append(shares.begin(self.shared, flag, marked.values(), rest))
        return {axis: (each.first, each.last) for axis, each in marked.items()}

    def end_shared(self) -> None:
        """Mark the end of what `shared_over` began."""
        self.w.lines.append(shares.end(self.shared))

    def _part_of(self, start: str, stop: str, limits: tuple[str, str] | None) -> tuple[str, str]:
        """Of a piece of an axis, what lies within the limits of those indices that are asked for."""
        if limits is None:
            return start, stop
        self.w.declarations |= {f"declare i64 @llvm.{name}.i64(i64, i64)" for name in ("smax", "smin")}
        first = self.w.op(f"call i64 @llvm.smax.i64(i64 {start}, i64 {limits[0]})")
        return first, self.w.op(f"call i64 @llvm.smin.i64(i64 {stop}, i64 {limits[1]})")

    def _flag_of_row(self, flag: str, row: str) -> None:
        """At the end of a row: what its flag says, all of them say."""
        fine = self.w.op(f"and i1 {self.w.op(f'load i1, ptr {flag}')}, {self.w.op(f'load i1, ptr {row}')}")
        self.w.put(f"store i1 {fine}, ptr {flag}")

    def _over_elements(self, start: str, stop: str, loop: str = "") -> tuple[str, Callable[[], None]]:
        """Begin a loop from `start` to before `stop`: its index, and what ends it; `loop` as in `Writer.jump`."""
        self.at_once()
        return self.w.begin_rounds(start, stop, 1, loop, ("over", "element", "past"))

    def _cuts(self, dim: str, axis: int, breaks: tuple[tuple[int, str], ...]) -> tuple[str, ...]:
        """Where an axis is cut into pieces: the address of the positions in order, 0 first, and how many pieces.

        Nothing if it need not be cut, or at too many places.
        """
        places = tuple(dict.fromkeys(x for each, x in breaks if each == axis and x != "0"))
        if not 0 < len(places) <= _MOST_BREAKS:
            return ()
        found, count = self.w.alloca(f"[{len(places) + 2} x i64]", "cuts"), self.w.alloca("i64", "pieces")
        self.w.put(f"store i64 0, ptr {found}")
        self.w.put(f"store i64 0, ptr {count}")
        head, inside, end = (self.w.fresh(hint) for hint in ("cuts", "cut", "past"))
        self.w.place(head)
        number = self.w.op(f"load i64, ptr {count}")
        start = self.w.op(f"load i64, ptr {self._cut(found, number)}")
        self.w.branch(self.w.op(f"icmp slt i64 {start}, {dim}"), inside, end)
        self.w.place(inside)
        stop = dim
        for x in places:
            later = self.w.op(f"icmp sgt i64 {x}, {start}")
            sooner = self.w.op(f"icmp slt i64 {x}, {stop}")
            next_ = self.w.op(f"and i1 {later}, {sooner}")
            stop = self.w.op(f"select i1 {next_}, i64 {x}, i64 {stop}")
        more = self.w.op(f"add i64 {number}, 1")
        self.w.put(f"store i64 {stop}, ptr {self._cut(found, more)}")
        self.w.put(f"store i64 {more}, ptr {count}")
        self.w.jump(head)
        self.w.place(end)
        return found, self.w.op(f"load i64, ptr {count}")

    def _cut(self, cuts: str, number: str) -> str:
        return self.w.op(f"getelementptr i64, ptr {cuts}, i64 {number}")

    def _over_pieces(self, cuts: str, count: str) -> tuple[str, str, Callable[[], None]]:
        """Begin a loop over the pieces of an axis: where one begins and ends, and what ends the loop."""
        number, finish = self._over_elements("0", count)
        start = self.w.op(f"load i64, ptr {self._cut(cuts, number)}")
        next_ = self.w.op(f"add i64 {number}, 1")
        return start, self.w.op(f"load i64, ptr {self._cut(cuts, next_)}"), finish

    def flagged(self, opening: int) -> None:
        """Leave the loop if the code since the line `opening` raised one of the processor's flags."""
        place = self.w.alloca("i32", "flags")
        self.w.declarations |= {f"declare void @llvm.x86.sse.{name}mxcsr(ptr)" for name in ("ld", "st")}
        lines, self.w.lines = self.w.lines, []
        # To lower them takes as long as some operations, and they hardly ever are raised.
        self.w.put(f"call void @llvm.x86.sse.stmxcsr(ptr {place})")
        before = self.w.op(f"load i32, ptr {place}")
        lower, on = self.w.fresh("lower"), self.w.fresh("on")
        none = self.w.op(f"icmp eq i32 {self.w.op(f'and i32 {before}, {_RAISED}')}, 0")
        self.w.branch(none, on, lower)
        self.w.place(lower)
        self.w.put(f"store i32 {self.w.op(f'and i32 {before}, -64')}, ptr {place}")
        self.w.put(f"call void @llvm.x86.sse.ldmxcsr(ptr {place})")
        self.w.place(on)
        self.w.lines = [*lines[:opening], *self.w.lines, *lines[opening:]]
        self.guard(self.w.op(f"icmp eq i32 {self.raised()}, 0"), RAISED)

    def raised(self) -> str:
        """Those of the processor's flags that NumPy warns of."""
        place = self.w.alloca("i32", "flags")
        self.w.declarations.add("declare void @llvm.x86.sse.stmxcsr(ptr)")
        self.w.put(f"call void @llvm.x86.sse.stmxcsr(ptr {place})")
        return self.w.op(f"and i32 {self.w.op(f'load i32, ptr {place}')}, {_RAISED}")
