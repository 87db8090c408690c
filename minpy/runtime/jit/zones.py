"""LLVM code for masks that limits tell: ``np.logical_and(low <= r, r < high)`` in a loop, each round with other limits.

Where a loop compares one array again and again, and nothing stores into it, the least and the greatest of each 32 of
its elements are noted once. A later mask is false where these are beyond a limit, without a look at the elements.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from minpy.records import dataclass
from minpy.runtime.jit.arraystores import LARGEST_READ
from minpy.runtime.jit.ir import double
from minpy.runtime.jit.kinds import BOOLS
from minpy.runtime.jit.magnitudes import Magnitudes
from minpy.runtime.jit.selections import Spots
from minpy.runtime.jit.values import ArrayType, Lazy, Ref
from minpy.runtime.jit.wholes import is_whole, kind_of

_BLOCK, _EACH = 5, 8  # a zone has 2**5 elements; so many zones are looked at at a time
_GROUP = 8  # 2**8 elements: those zones'
_LEAST = 1 << 10  # elements: fewer are compared as they are
_BEFORE = 2  # masks that are made in the plain way before zones are noted
_MANY = 8  # rounds: if so many are left, none is
_NEVER = -(1 << 40)
_OPS: dict[type, str] = {ast.Lt: "olt", ast.LtE: "ole", ast.Gt: "ogt", ast.GtE: "oge"}
_TURNED = {"olt": "ogt", "ole": "oge", "ogt": "olt", "oge": "ole"}


@dataclass(frozen=True)
class Limit:
    """What elements of an array are compared with: the comparison, with the array on its left, and the number."""

    array: Ref
    op: str
    number: str


@dataclass(frozen=True)
class _Noted:
    """Where the code keeps what it knows of an array that came in.

    `apart`: whether nothing is stored into its memory; `met`: how often it was compared without zones; then how `many`
    elements `of` which address have zones, and where these are noted.
    """

    apart: str
    met: str
    many: str
    of: str
    zones: str


class Zones(Magnitudes):
    """Masks that limits tell."""

    def __init__(self) -> None:
        super().__init__()
        self._limits: dict[int, tuple[Lazy, tuple[Limit, ...]]] = {}
        self._noted: dict[str, _Noted] = {}

    def compare(self, op: ast.cmpop, left: Any, right: Any) -> Any:
        found = super().compare(op, left, right)
        if isinstance(found, Lazy) and (limit := self._limit(_OPS.get(type(op)), left, right)):
            self._limits[id(found)] = found, (limit,)
        return found

    def binary(self, symbol: str, left: Any, right: Any) -> Any:
        found = super().binary(symbol, left, right)
        if symbol == "&" and isinstance(found, Lazy):
            both = [self._limits.get(id(each)) for each in (left, right)]
            if None not in both:
                self._limits[id(found)] = found, (*both[0][1], *both[1][1])
        return found

    def _limit(self, op: str | None, left: Any, right: Any) -> Limit | None:
        if op is None or is_whole(left) == is_whole(right):
            return None
        if is_whole(right):
            left, right, op = right, left, _TURNED[op]
        number = self._operand(right)
        if not isinstance(left, Ref) or kind_of(left) != "float64" or number.kinds & BOOLS:
            return None
        if left.type.sequence or left.fresh or len(left.roots) != 1 or "1" in left.dims:
            return None
        return Limit(left, op, self.converted(number, "float64").x)

    def tells_by_limits(self, value: Lazy) -> bool:
        """Whether an expression is a mask that zones may tell."""
        known = self._limits.get(id(value))
        return known is not None and len({each.array.roots for each in known[1]}) == 1

    def _limits_for(self, value: Any, rank: int) -> tuple[Limit, ...]:
        """The limits of a mask, if code that uses zones can be written here; else nothing."""
        if not isinstance(value, Lazy) or not self.tells_by_limits(value) or self.in_columns or self.flag:
            return ()
        limits = self._limits[id(value)][1]
        return limits if all(len(each.array.dims) == rank for each in limits) else ()

    def fill(self, target: Ref, value: Any, apart: bool = False) -> None:
        limits = self._limits_for(value, len(target.dims)) if apart else ()
        if not limits or target.made != (target.dims, target.strides) or target.strides[-1] != "1":
            super().fill(target, value, apart)
            return
        size, array = self.stored_size("bool", target.dims), limits[0].array.pointer

        def by_zones(zones: str) -> str:
            def clear(first: str) -> None:
                group = self.w.op(f"getelementptr i8, ptr {target.pointer}, i64 {first}")
                self.w.put(f"store <{1 << _GROUP} x i8> zeroinitializer, ptr {group}, align 1")

            def look(start: str, lanes: int) -> None:
                found = self._compared_at(array, limits, start, lanes)
                byte = "i8" if lanes == 1 else f"<{lanes} x i8>"
                bytes_ = self.w.op(f"zext {'i1' if lanes == 1 else f'<{lanes} x i1>'} {found} to {byte}")
                to = self.w.op(f"getelementptr i8, ptr {target.pointer}, i64 {start}")
                self.w.put(f"store {byte} {bytes_}, ptr {to}, align 1")

            return self._by_zones(limits, size, zones, clear, look)

        self._perhaps_by_zones(
            limits, size, (), by_zones, lambda: super(Zones, self).fill(target, value, apart)
        )

    def _masked(self, view: Ref, axis: int, mask: Any) -> Spots:
        limits = self._limits_for(mask, len(mask.dims))
        if not limits:
            return super()._masked(view, axis, mask)
        rank = len(mask.dims)
        dims, strides = view.dims[axis : axis + rank], view.strides[axis : axis + rank]
        for dim, other in zip(mask.dims, dims, strict=True):
            if dim != other:
                self.guard(self.w.op(f"icmp eq i64 {dim}, {other}"), "a mask of another shape")
        size, array = self.size_of(mask.dims, LARGEST_READ), limits[0].array.pointer
        pointer, owner, number = self.w.alloca("ptr", "places"), self.w.cell("owner"), self.w.cell("number")

        def keep(places: Ref, count: str) -> None:
            for x, type_, cell in (
                (places.pointer, "ptr", pointer),
                (places.owner, "i64", owner),
                (count, "i64", number),
            ):
                self.w.put(f"store {type_} {x}, ptr {cell}")

        def by_zones(zones: str) -> str:
            places = self.fresh("int64", (self._room_by_zones(limits, size, zones),))
            count = self.w.alloca("i64", "count")
            self.w.put(f"store i64 0, ptr {count}")

            def reach(k: str) -> str:
                return self.w.op(f"mul i64 {k}, {strides[-1]}")

            def look(start: str, lanes: int) -> None:
                found = self._compared_at(array, limits, start, lanes)
                if lanes > 1:
                    bits = self.w.op(f"bitcast <{lanes} x i1> {found} to i{lanes}")
                    bits = self.w.op(f"zext i{lanes} {bits} to i64")
                    self._note_bits(bits, start, places, count, reach)
                    return
                n = self.w.op(f"load i64, ptr {count}")
                place = self.item(places, [n], checked=False).pointer
                self.w.put(f"store i64 {reach(start)}, ptr {place}")
                one = self.w.op(f"zext i1 {found} to i64")
                self.w.put(f"store i64 {self.w.op(f'add i64 {n}, {one}')}, ptr {count}")

            opened = self._by_zones(limits, size, zones, lambda first: None, look)
            keep(places, self.w.op(f"load i64, ptr {count}"))
            return opened

        self._perhaps_by_zones(
            limits,
            size,
            tuple(
                f"icmp eq i64 {outer}, {self.w.op(f'mul i64 {inner}, {dim}')}"
                for (outer, _), (inner, dim) in pairwise(zip(strides, dims, strict=True))
            ),
            by_zones,
            lambda: keep(*self._trues(self.held(mask), strides)),
            before=0,  # in the last round it is made for the frame as well
        )
        count = self.w.op(f"load i64, ptr {number}")
        ours = self.w.op(f"load i64, ptr {owner}")
        self.unnamed.add(ours)
        type_ = ArrayType("int64", 1, True, "int64")
        at = self.w.op(f"load ptr, ptr {pointer}")
        places = Ref(type_, at, (count,), ("8",), "", ours, frozenset(), True)

        def offset(indices: list[str]) -> str:
            return self.read(self.item(places, indices, checked=False)).x

        return Spots(view, axis, rank, (count,), offset, (places,), distinct=True)

    def _perhaps_by_zones(
        self,
        limits: tuple[Limit, ...],
        size: str,
        conditions: tuple[str, ...],
        by_zones: Callable[[str], str],
        plainly: Callable[[], None],
        before: int = _BEFORE,
    ) -> None:
        """Write code that uses zones, and what runs without them; `by_zones` gives how many it had to look into.

        They are noted when so many masks were made `before` without them.
        """
        array = limits[0].array
        (name,) = array.roots
        if name not in self._noted:
            self._noted[name] = _Noted(
                *(self.w.cell(hint) for hint in ("apart", "met", "many")),
                *(self.w.cell(hint, "ptr") for hint in ("of", "zones")),
            )
        noted = self._noted[name]
        fits = self.w.op(f"icmp ne i64 {self.w.op(f'load i64, ptr {noted.apart}')}, 0")
        conditions += (f"icmp sge i64 {size}, {_LEAST}", f"icmp eq i64 {array.strides[-1]}, 8")
        conditions += tuple(f"icmp eq ptr {each.array.pointer}, {array.pointer}" for each in limits[1:])
        for (outer, _), (inner, dim) in pairwise(zip(array.strides, array.dims, strict=True)):
            conditions += (f"icmp eq i64 {outer}, {self.w.op(f'mul i64 {inner}, {dim}')}",)
        for each in conditions:
            fits = self.w.op(f"and i1 {fits}, {self.w.op(each)}")
        look, plain, again, note, known, end = (
            self.w.fresh(hint) for hint in ("look", "plain", "again", "note", "known", "end")
        )
        self.w.branch(fits, look, plain)
        self.w.place(look)
        same = self.w.op(f"icmp eq ptr {self.w.op(f'load ptr, ptr {noted.of}')}, {array.pointer}")
        as_many = self.w.op(f"icmp eq i64 {self.w.op(f'load i64, ptr {noted.many}')}, {size}")
        self.w.branch(self.w.op(f"and i1 {same}, {as_many}"), known, again)
        self.w.place(again)
        times = self.w.op(f"load i64, ptr {noted.met}")
        self.w.put(f"store i64 {self.w.op(f'add i64 {times}, 1')}, ptr {noted.met}")
        self.w.branch(self.w.op(f"icmp sge i64 {times}, {before}"), note, plain)
        self.w.place(note)
        groups = self.w.op(f"lshr i64 {size}, {_GROUP}")
        new = self.fresh("float64", (self.w.op(f"mul i64 {groups}, {2 * _EACH}"),)).pointer
        self._note_zones(array.pointer, new, groups)
        self.w.put(f"store ptr {new}, ptr {noted.zones}")
        self.w.put(f"store ptr {array.pointer}, ptr {noted.of}")
        self.w.put(f"store i64 {size}, ptr {noted.many}")
        self.w.jump(known)
        self.w.place(known)
        opened = by_zones(self.w.op(f"load ptr, ptr {noted.zones}"))
        # If most zones have to be looked into, it is not worth it.
        most = self.w.op(f"icmp ugt i64 {self.w.op(f'shl i64 {opened}, {_BLOCK + 1}')}, {size}")
        bad = self.w.fresh("bad")
        self.w.branch(most, bad, end)
        self.w.place(bad)
        self.w.put(f"store i64 {_NEVER}, ptr {noted.met}")
        self.w.put(f"store ptr null, ptr {noted.of}")
        self.w.jump(end)
        self.w.place(plain)
        plainly()
        self.w.place(end)

    def _note_zones(self, array: str, zones: str, groups: str) -> None:
        """Note the least of each zone, and behind all of these the greatest; a NaN is neither."""
        blocks = self.w.op(f"mul i64 {groups}, {_EACH}")
        with self.w.rounds("0", blocks, 1) as k:
            start = self.w.op(f"getelementptr double, ptr {array}, i64 {self.w.op(f'shl i64 {k}, {_BLOCK}')}")
            parts = [
                self.w.op(
                    f"load <8 x double>, ptr {self.w.op(f'getelementptr double, ptr {start}, i64 {8 * i}')}, align 8"
                )
                for i in range((1 << _BLOCK) // 8)
            ]
            for op, beyond, at in (
                ("olt", float("inf"), k),
                ("ogt", float("-inf"), self.w.op(f"add i64 {blocks}, {k}")),
            ):
                best = self._splat(double(beyond))
                for part in parts:
                    best = self._better(op, "<8 x double>", part, best)
                for width in (4, 2, 1):
                    lower, upper = (self._lanes(best, 2 * width, start, width) for start in (0, width))
                    best = self._better(op, f"<{width} x double>", lower, upper)
                x = self.w.op(f"extractelement <1 x double> {best}, i32 0")
                self.w.put(
                    f"store double {x}, ptr {self.w.op(f'getelementptr double, ptr {zones}, i64 {at}')}"
                )

    def _splat(self, x: str, lanes: int = 8) -> str:
        one = self.w.op(f"insertelement <{lanes} x double> undef, double {x}, i32 0")
        return self.w.op(
            f"shufflevector <{lanes} x double> {one}, <{lanes} x double> undef, <{lanes} x i32> zeroinitializer"
        )

    def _lanes(self, x: str, lanes: int, start: int, count: int) -> str:
        which = ", ".join(f"i32 {start + i}" for i in range(count))
        return self.w.op(
            f"shufflevector <{lanes} x double> {x}, <{lanes} x double> undef, <{count} x i32> <{which}>"
        )

    def _better(self, op: str, type_: str, x: str, best: str) -> str:
        lanes = type_.split()[0]
        found = self.w.op(f"fcmp {op} {type_} {x}, {best}")
        return self.w.op(f"select {lanes} x i1> {found}, {type_} {x}, {type_} {best}")

    def _open_zones(self, limits: tuple[Limit, ...], zones: str, groups: str, k: str) -> str:
        """Which zones of a group may have elements within the limits: a byte."""
        at, blocks = self.w.op(f"shl i64 {k}, 3"), self.w.op(f"shl i64 {groups}, 3")
        greatest = self.w.op(f"getelementptr double, ptr {zones}, i64 {blocks}")
        ends = {}
        for side, start in (("ol", zones), ("og", greatest)):
            place = self.w.op(f"getelementptr double, ptr {start}, i64 {at}")
            ends[side] = self.w.op(f"load <8 x double>, ptr {place}, align 8")
        may = ""
        for limit in limits:
            now = self.w.op(f"fcmp {limit.op} <8 x double> {ends[limit.op[:2]]}, {self._splat(limit.number)}")
            may = self.w.op(f"and <8 x i1> {may}, {now}") if may else now
        return self.w.op(f"bitcast <8 x i1> {may} to i8")

    def _room_by_zones(self, limits: tuple[Limit, ...], size: str, zones: str) -> str:
        """At least as many as elements within the limits, and some more that `_note_bits` may write."""
        groups, room = self.w.op(f"lshr i64 {size}, {_GROUP}"), self.w.alloca("i64", "room")
        self.w.put(f"store i64 {(1 << _GROUP) + 64}, ptr {room}")
        self.w.declarations.add("declare i8 @llvm.ctpop.i8(i8)")
        with self.w.rounds("0", groups, 1) as k:
            ones = self.w.op(f"call i8 @llvm.ctpop.i8(i8 {self._open_zones(limits, zones, groups, k)})")
            elements = self.w.op(f"shl i64 {self.w.op(f'zext i8 {ones} to i64')}, {_BLOCK}")
            before = self.w.op(f"load i64, ptr {room}")
            self.w.put(f"store i64 {self.w.op(f'add i64 {before}, {elements}')}, ptr {room}")
        return self.w.op(f"load i64, ptr {room}")

    def _by_zones(
        self,
        limits: tuple[Limit, ...],
        size: str,
        zones: str,
        begin: Callable[[str], None],
        look: Callable[[str, int], None],
    ) -> str:
        """Write the code to `begin` with each group, and to `look` into zones; gives how many these are."""
        groups = self.w.op(f"lshr i64 {size}, {_GROUP}")
        opened, left = self.w.alloca("i64", "opened"), self.w.alloca("i8", "left")
        self.w.put(f"store i64 0, ptr {opened}")
        self.w.declarations.add("declare i8 @llvm.cttz.i8(i8, i1)")
        with self.w.rounds("0", groups, 1) as k:
            bits = self._open_zones(limits, zones, groups, k)
            first = self.w.op(f"shl i64 {k}, {_GROUP}")
            begin(first)
            self.w.put(f"store i8 {bits}, ptr {left}")
            head, inside, past = (self.w.fresh(hint) for hint in ("open", "zone", "past"))
            self.w.place(head)
            rest = self.w.op(f"load i8, ptr {left}")
            self.w.branch(self.w.op(f"icmp ne i8 {rest}, 0"), inside, past)
            self.w.place(inside)
            number = self.w.op(f"call i8 @llvm.cttz.i8(i8 {rest}, i1 true)")
            less = self.w.op(f"add i8 {rest}, -1")
            self.w.put(f"store i8 {self.w.op(f'and i8 {rest}, {less}')}, ptr {left}")
            before = self.w.op(f"load i64, ptr {opened}")
            self.w.put(f"store i64 {self.w.op(f'add i64 {before}, 1')}, ptr {opened}")
            zone = self.w.op(f"shl i64 {self.w.op(f'zext i8 {number} to i64')}, {_BLOCK}")
            look(self.w.op(f"add i64 {first}, {zone}"), 1 << _BLOCK)
            self.w.jump(head)
            self.w.place(past)
        with self.w.rounds(self.w.op(f"shl i64 {groups}, {_GROUP}"), size, 1) as k:
            look(k, 1)
        return self.w.op(f"load i64, ptr {opened}")

    def _compared_at(self, array: str, limits: tuple[Limit, ...], start: str, lanes: int) -> str:
        """Whether elements side by side are within the limits."""
        type_, bit = ("double", "i1") if lanes == 1 else (f"<{lanes} x double>", f"<{lanes} x i1>")
        place = self.w.op(f"getelementptr double, ptr {array}, i64 {start}")
        x = self.w.op(f"load {type_}, ptr {place}, align 8")
        found = ""
        for limit in limits:
            other = limit.number if lanes == 1 else self._splat(limit.number, lanes)
            now = self.w.op(f"fcmp {limit.op} {type_} {x}, {other}")
            found = self.w.op(f"and {bit} {found}, {now}") if found else now
        return found

    def note_what_lies_apart(self, place: int, rounds: Callable[[], str]) -> None:
        """At the line `place` of the finished code, note of which arrays with zones nothing is stored into.

        `rounds` writes how many rounds the loop is to run: if they are many, zones are noted in the first one.
        """
        lines, self.w.lines, ended, self.w.ended = self.w.lines, [], self.w.ended, False
        for own, noted in self._noted.items():
            if own in self.written:
                continue
            mine, apart = self.span(self.load_array(self.arrays[own])), "true"
            for name in sorted(self.written):
                if not self.arrays[name].type.sequence:
                    meets = self._meet(mine, self.span(self.load_array(self.arrays[name])))
                    apart = self.w.op(f"and i1 {apart}, {self.w.op(f'xor i1 {meets}, true')}")
            self.w.put(f"store i64 {self.w.op(f'zext i1 {apart} to i64')}, ptr {noted.apart}")
            many = self.w.op(f"icmp sge i64 {rounds()}, {_MANY}")
            self.w.put(f"store i64 {self.w.op(f'select i1 {many}, i64 {_BEFORE}, i64 0')}, ptr {noted.met}")
        code, self.w.lines, self.w.ended = self.w.lines, lines, ended
        self.w.lines[place:place] = code
