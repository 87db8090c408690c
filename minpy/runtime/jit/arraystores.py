"""LLVM code that computes array expressions: into other arrays, and into new ones that variables may hold."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import Any

from minpy.runtime.jit.buffers import HEADER
from minpy.runtime.jit.expressions import BITS, constant_of
from minpy.runtime.jit.ir import double
from minpy.runtime.jit.kinds import TooLarge, Unsupported
from minpy.runtime.jit.undo import BEFORE, NOT
from minpy.runtime.jit.values import ArrayType, ArrayVariable, Lazy, Ref, Several, Val, small
from minpy.runtime.jit.views import Views
from minpy.runtime.jit.wholes import breaks_of, is_plain, refs_of

# Elements of what is made or stored into: larger arrays are left to NumPy and to the blocks, which have threads, and
# keep no memory. What is only read, or computed and added up, may be larger.
LARGEST, LARGEST_READ = 1 << 20, 1 << 28
# The processor's flags for what NumPy warns of: an invalid operation, a division by zero, an overflow.
HAS_FLAGS = platform.machine() in ("x86_64", "AMD64")
RAISED = "an overflow, an invalid value or a division by zero"
_RAISED = 0x1 | 0x4 | 0x8
_MOST_BREAKS = 9  # of one axis
_MUCH = 6  # operations on an element


def is_turned(ref: Ref) -> bool:
    """Whether the elements of each column of a matrix lie side by side, whatever happens."""
    if len(ref.dims) != 2 or "1" in ref.dims:
        return False
    size = str(BITS[ref.type.dtype][1])
    return ref.strides[0] == size != ref.strides[1]


# Fewer elements fill no round of a loop that takes several vectors at a time, as the compiler else makes it.
_FEW_IN_A_ROW = 32


def tables_of(value: Any) -> list[Ref]:
    """The operands of an array expression that have several axes."""
    return [ref for ref in refs_of(value) if len(ref.dims) - ref.dims.count("1") > 1]


def is_turned_all(value: Any) -> bool:
    """Whether NumPy lays the result of an expression out as a transposed matrix."""
    tables = tables_of(value)
    return len(value.dims) == 2 and bool(tables) and all(map(is_turned, tables))


class Stores(Views):
    """Loops over elements, new arrays, variables that hold arrays."""

    held_in_rounds: frozenset[str] = (
        frozenset()
    )  # variables whose arrays are not let go before a round is over
    in_columns = False  # whether nothing but the elements of some columns may be worked on (see `columns`)

    def size_of(self, dims: tuple[str, ...], largest: int = LARGEST) -> str:
        """The number of elements; leaves the loop if it is large."""
        known = [self.extents.get(dim, constant_of(dim) or 1) for dim in dims]
        if prod(known) > largest:
            raise TooLarge("arrays so large are left to NumPy")
        size = "1"
        for dim in dims:
            size = dim if size == "1" else self.w.op(f"mul i64 {size}, {dim}") if dim != "1" else size
        self.guard_range(size, 0, largest, "arrays so large are left to NumPy")
        return size

    def bytes_of(self, dtype: str, dims: tuple[str, ...]) -> str:
        """The number of elements of an array that is made or stored into; of single bytes there may be more."""
        return self.size_of(dims, LARGEST * 8 if BITS[dtype][1] == 1 else LARGEST)

    def nest(
        self,
        dims: tuple[str, ...],
        body: Callable[[list[str]], None],
        stores: bool = False,
        breaks: tuple[tuple[int, str], ...] = (),
        independent: bool = False,
        one_by_one: bool = False,
        piece: tuple[str, str] | None = None,
    ) -> None:
        """Run code for all indices, in pieces between `breaks`; what its guards find is looked at afterwards.

        If the body `stores` all that it computes, the processor's flags say whether an operation overflowed, divided by
        zero or was invalid, as they do for NumPy. (What is not stored, the compiler may compute after they are read.)
        `independent`: no round reads or stores what another one stores, so that the compiler need not find that out,
        which it cannot where an array is changed in place. `piece` says which indices of the first axis are meant, if
        not all are.
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
                k, end_of_loop = self._over_elements(start, stop, loop)
                self.pieces[k] = start, frozenset(x for each, x in breaks if each == axis)
            else:
                k, end_of_loop = self._over_elements("0", dim, loop)
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
        found, self.flag, self.flag_reason = self.flag_reason, outer, reason
        if found:
            self.guard(self.w.op(f"load i1, ptr {flag}"), found)
        self.w.lines[opening:opening] = [
            f'  {new} = call double asm sideeffect "", "=x,0"(double {x})' for x, new in opaques.items()
        ]
        if computed:
            self.flagged(opening)

    def _flag_of_row(self, flag: str, row: str) -> None:
        """At the end of a row: what its flag says, all of them say."""
        fine = self.w.op(f"and i1 {self.w.op(f'load i1, ptr {flag}')}, {self.w.op(f'load i1, ptr {row}')}")
        self.w.put(f"store i1 {fine}, ptr {flag}")

    def _over_elements(self, start: str, stop: str, loop: str = "") -> tuple[str, Callable[[], None]]:
        """Begin a loop from `start` to before `stop`: its index, and what ends it; `loop` as in `Writer.jump`."""
        self.at_once()
        counter = self.w.alloca("i64", "k")
        self.w.put(f"store i64 {start}, ptr {counter}")
        head, inside, end = (self.w.fresh(hint) for hint in ("over", "element", "past"))
        self.w.place(head)
        k = self.w.op(f"load i64, ptr {counter}")
        self.w.branch(self.w.op(f"icmp slt i64 {k}, {stop}"), inside, end)
        self.w.place(inside)

        def finish() -> None:
            self.w.put(f"store i64 {self.w.op(f'add nuw nsw i64 {k}, 1')}, ptr {counter}")
            self.w.jump(head, loop)
            self.w.place(end)

        return k, finish

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

    def fill(self, target: Ref, value: Any, apart: bool = False) -> None:
        """Store an array or a scalar into all elements of another; `apart` if they share no memory."""
        self.bytes_of(target.type.dtype, target.dims)
        self.keep_view(target, BITS[target.type.dtype][1])
        with self.kept_as(BEFORE):
            self._fill(target, value, apart)

    def _fill(self, target: Ref, value: Any, apart: bool) -> None:
        if isinstance(value, Val):
            self.nest(target.dims, lambda indices: self.write(self._spot(target, indices), value))
            return
        self.whole(value)
        if len(value.dims) > len(target.dims):
            raise Unsupported("a store of an array with more axes")
        for dim, other in zip(reversed(target.dims), reversed(value.dims), strict=False):
            if other not in ("1", dim):
                self.guard(self.w.op(f"icmp eq i64 {dim}, {other}"), "a store of an array of another shape")
        self._computed(value, target.dims)
        around, self.instead = self.instead, {} if apart else self._copies_of(target, value)
        if apart:
            place = target
        elif self._better_in_rows(target, value):
            new = self.fresh(target.type.dtype, target.dims)
            type_ = target.type._replace(unit=True)
            place = replace(target, type=type_, pointer=new.pointer, strides=new.strides)
        else:
            place = self._apart(target, value)

        def store(indices: list[str]) -> None:
            self.write(self._spot(place, indices), self.at(value, indices))

        if is_turned(target):
            self.nest(target.dims[::-1], lambda indices: store(indices[::-1]), True, independent=True)
        else:
            dims = target.dims
            if is_plain(value, dims):
                dims = self._unfolded(dims, [place, *refs_of(value)])
            # Where elements of what came in share memory the loop does not begin.
            one_by_one = isinstance(value, Lazy) and value.one_by_one
            self.nest(dims, store, True, breaks_of(value), independent=True, one_by_one=one_by_one)
        if place is not target:
            shared, copy, on = (
                self.w.op(f"icmp ne ptr {place.pointer}, {target.pointer}"),
                *map(self.w.fresh, ("copy", "on")),
            )
            self.w.branch(shared, copy, on)
            self.w.place(copy)
            type_ = BITS[target.type.dtype][0]

            def move(indices: list[str]) -> None:
                x = self.w.op(f"load {type_}, ptr {self._spot(place, indices).pointer}{self.w.access}")
                self.w.put(f"store {type_} {x}, ptr {self._spot(target, indices).pointer}{self.w.access}")

            self.nest(target.dims, move, independent=True)
            self.w.place(on)
        self.instead = around

    @staticmethod
    def _better_in_rows(target: Ref, value: Any) -> bool:
        """Whether so much is computed for elements far from each other that it is worth to lay them side by side first.

        The processor then works on several at a time.
        """
        if target.type.unit or is_turned(target) or not isinstance(value, Lazy) or value.cost < _MUCH:
            return False
        rows = [ref for ref in value.refs if ref.dims and ref.dims[-1] != "1"]
        return bool(rows) and not value.mixed and all(ref.type.unit for ref in rows)

    def _copies_of(self, target: Ref, value: Any) -> dict[Ref, Ref]:
        """Copies of rows and columns of `target` that are stretched over it: less than to compute all of it apart."""
        copies: dict[Ref, Ref] = {}
        if isinstance(value, Lazy) and value.mixed:
            return copies
        for ref in dict.fromkeys(refs_of(value)):
            stretched = len(ref.dims) < len(target.dims) or any(
                one == "1" != other for one, other in zip(ref.dims, target.dims, strict=True)
            )
            if not stretched or not ref.roots & target.roots:
                continue
            elements = Lazy(ref.type.kind, ref.dims, lambda indices, ref=ref: self.at(ref, indices), (ref,))
            meets = self._meet(self.span(ref), self.span(target))
            copies[ref] = self._elsewhere(ref, meets, elements)
        return copies

    def _meet(self, one: tuple[str, str], other: tuple[str, str]) -> str:
        """Whether what lies between two pairs of addresses has a part in common."""
        first = self.w.op(f"icmp ult i64 {one[0]}, {other[1]}")
        return self.w.op(f"and i1 {first}, {self.w.op(f'icmp ult i64 {other[0]}, {one[1]}')}")

    def _unfolded(self, dims: tuple[str, ...], refs: list[Ref]) -> tuple[str, ...]:
        """The shape for a loop over elements of arrays of one shape: last axes that lie without gaps are one."""
        axes = [axis for axis, dim in enumerate(dims) if dim != "1"]  # on others there are no indices
        if len(axes) < 2:
            return dims
        row, last = "true", dims[axes[-1]]
        found = list(dims)
        for axis, following in reversed(list(pairwise(axes))):
            for ref in dict.fromkeys(refs):
                reach = self.w.op(f"mul i64 {dims[following]}, {ref.strides[following]}")
                follows = self.w.op(f"icmp eq i64 {ref.strides[axis]}, {reach}")
                row = self.w.op(f"and i1 {row}, {follows}")
            more = self.w.op(f"mul i64 {last}, {dims[axis]}")
            last = self.w.op(f"select i1 {row}, i64 {more}, i64 {last}")
            found[axis] = self.w.op(f"select i1 {row}, i64 1, i64 {dims[axis]}")
        found[axes[-1]] = last
        if extent := self.extents.get(dims[axes[-1]], constant_of(dims[axes[-1]]) or 0):
            self.extents[last] = extent  # so many at least: enough to tell whether wide vectors gain
        return tuple(found)

    def _spot(self, ref: Ref, indices: list[str]) -> Ref:
        return self.item(ref, indices, checked=False)

    def _apart(self, target: Ref, value: Any) -> Ref:
        """Where to compute what goes into `target`: there, or apart if an operand may be overwritten too early."""
        shared = "false"
        span = self.span(target)
        for ref in dict.fromkeys(refs_of(value)):
            if ref in self.instead:
                continue
            meets = self._meet(self.span(ref), span)
            if len(ref.dims) == len(target.dims) and not (isinstance(value, Lazy) and value.mixed):
                same = self.w.op(f"icmp eq ptr {ref.pointer}, {target.pointer}")
                pairs = zip((*ref.dims, *ref.strides), (*target.dims, *target.strides), strict=True)
                for one, other in pairs:
                    if one != other:
                        same = self.w.op(f"and i1 {same}, {self.w.op(f'icmp eq i64 {one}, {other}')}")
                meets = self.w.op(f"and i1 {meets}, {self.w.op(f'xor i1 {same}, true')}")
            shared = meets if shared == "false" else self.w.op(f"or i1 {shared}, {meets}")
        if shared == "false":
            return target
        return self._elsewhere(target, shared)

    def _elsewhere(self, ref: Ref, when: str, elements: Lazy | None = None) -> Ref:
        """A new array in the place of `ref`, of these elements if they are given, where `when` is true; else `ref`."""
        cells = [self.w.alloca("i64", "stride") for _ in ref.strides]
        pointer = self.w.alloca("ptr", "place")

        def hold(array: Ref) -> None:
            self.w.put(f"store ptr {array.pointer}, ptr {pointer}")
            for cell, x in zip(cells, array.strides, strict=True):
                self.w.put(f"store i64 {x}, ptr {cell}")

        hold(ref)
        apart, on = self.w.fresh("apart"), self.w.fresh("on")
        self.w.branch(when, apart, on)
        self.w.place(apart)
        new = self.fresh(ref.type.dtype, ref.dims)
        if elements is not None:
            self.quietly(lambda: self.fill(new, elements, apart=True))
        hold(new)
        self.w.place(on)
        strides = [self.w.op(f"load i64, ptr {cell}") for cell in cells]
        if ref.type.unit:
            strides[-1] = ref.strides[-1]
        return replace(ref, pointer=self.w.op(f"load ptr, ptr {pointer}"), strides=tuple(strides))

    def span(self, ref: Ref) -> tuple[str, str]:
        """The addresses between which an array lies."""
        start = self.w.op(f"ptrtoint ptr {ref.pointer} to i64")
        low = high = start
        for dim, stride in zip(ref.dims, ref.strides, strict=True):
            if stride == "0" or dim == "1":
                continue
            reach = self.w.op(f"mul i64 {self.w.op(f'sub i64 {dim}, 1')}, {stride}")
            constant = constant_of(stride)
            if constant is None:
                down = self.w.op(f"icmp slt i64 {reach}, 0")
                low = self.w.op(f"add i64 {low}, {self.w.op(f'select i1 {down}, i64 {reach}, i64 0')}")
                high = self.w.op(f"add i64 {high}, {self.w.op(f'select i1 {down}, i64 0, i64 {reach}')}")
            else:
                high = self.w.op(f"add i64 {high}, {reach}")
        return low, self.w.op(f"add i64 {high}, {BITS[ref.type.dtype][1]}")

    # New arrays.

    def fresh(self, dtype: str, dims: tuple[str, ...], order: str = "C") -> Ref:
        """A new array, with anything in it. A place of the code has one at a time, and holds it until the next."""
        self.at_once()
        if self.in_columns:
            raise Unsupported("more than some columns")
        self.made = True
        self.places_made += 1
        size = BITS[dtype][1]
        count = self.bytes_of(dtype, dims)
        cell = self.w.cell("made", "[2 x i64]")
        bytes_ = self.w.op(f"mul i64 {count}, {size}")
        owner = self.w.op(f"call i64 @make(ptr {cell}, i64 {bytes_}, ptr {self.head})")
        self.guard(self.w.op(f"icmp ne i64 {owner}, 0"), "there is no memory")
        self.unnamed.add(owner)
        pointer = self.w.op(f"inttoptr i64 {self.w.op(f'add i64 {owner}, {HEADER}')} to ptr")
        strides = [str(size)]
        for dim in reversed(dims[1:]) if order == "C" else dims[:-1]:
            stride = strides[0]
            strides.insert(0, stride if dim == "1" else self.w.op(f"mul i64 {stride}, {dim}"))
        if order == "F":
            strides.reverse()
        kind = "bool_" if dtype == "bool" else dtype
        type_ = ArrayType(dtype, len(dims), order == "C", kind)
        made = dims, tuple(strides)
        return Ref(type_, pointer, *made, "", owner, frozenset(), True, made=made)

    def held(self, value: Any) -> Ref:
        """An array expression, computed into a new array that nothing else holds; a `Ref` as it is."""
        if isinstance(value, Ref):
            return value
        if not isinstance(value, Lazy):
            raise Unsupported("a value that is no array")
        # NumPy lays its results out as the operands lie; ours are in C order, or in that of transposed matrices.
        turned = is_turned_all(value)
        self.ordered_alike(value, turned)
        dtype = "bool" if value.kind == "bool_" else value.kind
        new = self.fresh(dtype, value.dims, "F" if turned else "C")

        def store() -> None:
            for i, item in enumerate(value.items):
                self.write(self.item(new, [str(i)], checked=False), item)
            if not value.items:
                self.fill(new, value, apart=True)

        self.quietly(store)
        return new

    def ordered_alike(self, value: Any, turned: bool) -> None:
        """Leave the loop if an array expression's operands do not all lie in C order; or in the other, if `turned`."""
        for ref in tables_of(value):
            if turned:
                ref = replace(ref, dims=ref.dims[::-1], strides=ref.strides[::-1])
            self._descending(ref)

    def quietly(self, store: Callable[[], None]) -> None:
        """Store into a new array, where it shows nowhere when the loop is left."""
        stored, clean, inner = self.stored, self.clean, self.inner
        self.stored, self.inner = False, 0
        with self.kept_as(BEFORE):
            store()
        self.stored, self.inner = stored, inner
        self.clean = clean and (self.clean or not stored)

    def kept(self, value: Any) -> Any:
        """A value as a variable keeps it: what is computed later would see later stores."""
        if isinstance(value, Lazy):
            return self.held(value)
        if isinstance(value, Several):
            return Several(tuple(map(self.kept, value.items)))
        return value

    def _descending(self, ref: Ref) -> None:
        strides = [stride for dim, stride in zip(ref.dims, ref.strides, strict=True) if dim != "1"]
        for one, other in pairwise(strides):
            if one != "0" and other != "0":
                self.guard(self.w.op(f"icmp sge i64 {one}, {other}"), "an array that is not in C order")
                self.guard(self.w.op(f"icmp sge i64 {other}, 0"), "an array that is not in C order")

    def pinned(self, value: Any) -> Any:
        if isinstance(value, Ref) and value.fresh:
            cell = self.w.cell("pin")
            self.w.put(f"call void @hold(i64 {value.owner})")
            self.w.put(f"call void @drop(i64 {self.w.op(f'load i64, ptr {cell}')}, ptr {self.head})")
            self.w.put(f"store i64 {value.owner}, ptr {cell}")
            self.made = True
        return value

    def named(self, ref: Ref) -> Ref:
        """An array with an identity of its own, for variables that hold it."""
        if ref.ident:
            return ref
        ident = self.w.op(f"load i64, ptr {self.idents}")
        self.w.put(f"store i64 {self.w.op(f'add i64 {ident}, 1')}, ptr {self.idents}")
        if ref.made == (ref.dims, ref.strides):
            start = self.w.op(f"inttoptr i64 {ref.owner} to ptr")
            data = self.w.op(f"getelementptr i8, ptr {start}, i64 {HEADER}")
            place = self.w.op(f"getelementptr i8, ptr {start}, i64 32")
            old = self.w.op(f"load i64, ptr {place}")
            first = self.w.op(
                f"and i1 {self.w.op(f'icmp eq i64 {old}, 0')}, {self.w.op(f'icmp eq ptr {data}, {ref.pointer}')}"
            )
            self.w.put(f"store i64 {self.w.op(f'select i1 {first}, i64 {ident}, i64 {old}')}, ptr {place}")
        return replace(ref, ident=ident)

    # Variables.

    def allocate_array(self, array: ArrayVariable) -> None:
        """Give an array variable its place."""
        count = array.type.ndim
        array.pointer, array.ident = self.w.cell("p", "ptr"), self.w.cell("id")
        array.owner = self.w.cell("owner")
        array.dims = tuple(self.w.cell("dim") for _ in range(count))
        array.strides = tuple(self.w.cell("stride") for _ in range(count))

    def store_array(self, array: ArrayVariable, value: Ref) -> None:
        """Let a variable hold an array; what it cannot hold yet, it can in the next pass."""
        self.at_once()
        value = self.named(value)
        self.unnamed.discard(value.owner)
        joined = array.type.joined(value.type.with_dims(value.dims))
        if joined is None:
            raise Unsupported(f"{array.name!r} changes between arrays of different types")
        if joined != array.type:
            array.type = joined
            self.changed = True
        if not value.roots <= array.roots or (value.fresh and not array.fresh):
            array.roots |= value.roots
            array.fresh = array.fresh or value.fresh
            self.changed = True
        if value.fresh:
            self.made = True
            if self.arrays.get(array.name) is not array or array.name not in self.held_in_rounds:
                self.clean = False  # what a variable held at the start of an iteration may be gone
        array.assigned = True
        if value.fresh or array.fresh:
            self.w.put(f"call void @hold(i64 {value.owner})")
            self.w.put(f"call void @drop(i64 {self.w.op(f'load i64, ptr {array.owner}')}, ptr {self.head})")
        shape = tuple(self.extents.get(dim, constant_of(dim) or 0) for dim in value.dims)
        if all(shape):
            self.shapes_made[array.pointer] = shape
        else:
            self.shapes_made.pop(array.pointer, None)
        self.w.put(f"store ptr {value.pointer}, ptr {array.pointer}")
        self.w.put(f"store i64 {value.ident}, ptr {array.ident}")
        self.w.put(f"store i64 {value.owner}, ptr {array.owner}")
        for places, values in ((array.dims, value.dims), (array.strides, value.strides)):
            for place, x in zip(places, values, strict=True):
                self.w.put(f"store i64 {x}, ptr {place}")

    def note_written(self, ref: Ref) -> None:
        """Elements of an array are stored into."""
        self.written |= ref.roots
