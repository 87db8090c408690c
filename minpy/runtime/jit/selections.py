"""LLVM code for what arrays select: by integers along one or several axes, by truth values; read and stored into."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

from minpy.records import dataclass
from minpy.runtime.jit.arraystores import LARGEST, Stores
from minpy.runtime.jit.expressions import BITS
from minpy.runtime.jit.kinds import INTS, Unsupported
from minpy.runtime.jit.leaving import constant_of
from minpy.runtime.jit.values import ArrayVariable, Lazy, Ref, Several, Val, scalar
from minpy.runtime.jit.wholes import breaks_of, is_whole, kind_of, refs_of


@dataclass(frozen=True)
class Spots:
    """Elements of an array that arrays select.

    `view` is the array, of whose axes those from `axis` on, `taken` of them, are replaced by `dims`; `offset` gives the
    code for where the element for indices along these lies, in bytes from where it would lie for zeros. `one_by_one` is
    as in `Lazy`. `distinct` says that no element is selected twice.
    """

    view: Ref
    axis: int
    taken: int
    dims: tuple[str, ...]
    offset: Callable[[list[str]], str]
    refs: tuple[Ref, ...]
    breaks: tuple[tuple[int, str], ...] = ()
    one_by_one: bool = False
    distinct: bool = False

    @property
    def shape(self) -> tuple[str, ...]:
        """The shape of what is selected."""
        return (*self.view.dims[: self.axis], *self.dims, *self.view.dims[self.axis + self.taken :])


_FAR = 1 << 32


def is_narrow(ref: Ref) -> bool:
    """Whether an array's elements are so narrow that the processor has no instruction to gather several of them."""
    return BITS[ref.type.dtype][1] < 4


class Selections(Stores):
    """Indices with arrays in them."""

    def __init__(self) -> None:
        super().__init__()
        # Of a statement all of which is computed: by the variable that is a mask, where that is true, and how often.
        self.listed: dict[str, tuple[Ref, str]] | None = None
        self._variable_at: dict[str, str] = {}
        # Of an array as an expression loaded it: the variable, and the list by which its elements are taken.
        self._taken: dict[str, tuple[str, ...]] = {}

    def load_array(self, array: ArrayVariable) -> Ref:
        ref = super().load_array(array)
        self._variable_at[ref.pointer] = array.name
        return ref

    def advanced(self, base: Ref, parts: list[Any]) -> Spots:
        """What an index selects some of whose parts are arrays."""
        parts = self._spread(base, [self._indexing(part) for part in parts])
        arrays = [i for i, part in enumerate(parts) if is_whole(part)]
        first, last = arrays[0], arrays[-1]
        while first and isinstance(parts[first - 1], str):
            first -= 1
        while last + 1 < len(parts) and isinstance(parts[last + 1], str):
            last += 1
        group = parts[first : last + 1]
        others = [*parts[:first], *parts[last + 1 :]]
        if any(not (is_whole(each) or isinstance(each, str)) for each in group) or any(
            isinstance(each, str) for each in others
        ):
            raise Unsupported("arrays in an index with something between them")
        taken = sum(self._rank(part) for part in group)
        every: list[Any] = [ast.Slice() for _ in range(taken)]
        view = self._view(base, [*parts[:first], *every, *parts[last + 1 :]])
        axis = first  # each part before is one axis of the view: a slice, or None
        if len(group) == 1 and kind_of(group[0]) == "bool_":
            return self._masked(view, axis, group[0])
        return self._picked(view, axis, group)

    def chosen(self, base: Ref, parts: list[Any]) -> Lazy:
        return self.gathered(self.advanced(base, parts))

    def _indexing(self, part: Any) -> Any:
        """A part of an index, with lists as arrays."""
        if isinstance(part, Several):
            return self.array_of_items(part)
        if isinstance(part, Ref) and part.type.sequence:
            if part.type.kind != "int":
                raise Unsupported("a list as an index")
            return replace(part, type=part.type._replace(kind="int64", sequence=False), ident="")
        return part

    def array_of_items(self, items: Several) -> Ref:
        """A list in the program's text as an array."""
        raise NotImplementedError

    @staticmethod
    def _rank(part: Any) -> int:
        """How many axes a part of an index is for."""
        if part is None:
            return 0
        return len(part.dims) if is_whole(part) and kind_of(part) == "bool_" else 1

    def _spread(self, base: Ref, parts: list[Any]) -> list[Any]:
        rest = base.type.ndim - sum(self._rank(part) for part in parts if part is not Ellipsis)
        if rest < 0 or sum(part is Ellipsis for part in parts) > 1:
            raise Unsupported("more indices than axes")
        everything: list[Any] = [ast.Slice() for _ in range(rest)]
        place = next((i for i, part in enumerate(parts) if part is Ellipsis), None)
        if place is None:
            return [*parts, *everything]
        return [*parts[:place], *everything, *parts[place + 1 :]]

    def _picked(self, view: Ref, axis: int, group: list[Any]) -> Spots:
        """Elements that integers pick."""
        pairs: list[tuple[Any, str, str]] = []
        looked_at: set[int] = set()
        for number, part in enumerate(group):
            dim, stride = view.dims[axis + number], view.strides[axis + number]
            self.guard(self.w.op(f"icmp sgt i64 {dim}, 0"), "a selection from nothing")
            if isinstance(part, str):
                pairs.append((scalar("int", "i", self.wrapped(part, dim)), dim, stride))
                continue
            if kind_of(part) == "bool_":
                part = self.nonzero(part, dim)
            if kind_of(part) not in INTS:
                raise Unsupported("an index of this type")
            if isinstance(part, Lazy) and part.cost > 1 and kind_of(part) == "uint8" and is_narrow(view):
                # Bytes: many are computed and compared at a time, apart from what they select.
                part = self.held(part)
                self.guard(self.w.op(f"icmp ult i64 {self._most(part)}, {dim}"), "an index out of bounds")
                looked_at.add(number)
            pairs.append((part, dim, stride))
        arrays = [part for part, _, _ in pairs if is_whole(part)]
        dims = self.common(*arrays)

        def offset(indices: list[str]) -> str:
            total = ""
            for place, (part, dim, stride) in enumerate(pairs):
                number = self.as_integer(self.at(part, indices))
                if is_whole(part) and place not in looked_at:
                    number = self.wrapped(number, dim)
                moved = self.w.op(f"mul i64 {number}, {stride}")
                total = self.w.op(f"add i64 {total}, {moved}") if total else moved
            return total

        refs = tuple(ref for each in arrays for ref in refs_of(each))
        behind = len(view.dims) - axis - len(group)
        breaks = tuple((place - behind, x) for each in arrays for place, x in breaks_of(each))
        distinct = len(dims) == 1 and any(isinstance(each, Lazy) and each.counts for each in arrays)
        return Spots(view, axis, len(group), dims, offset, refs, breaks, bool(looked_at), distinct)

    def _most(self, ref: Ref) -> str:
        """The largest of the bytes of an array, of which the processor compares many at a time."""
        cell = self.w.alloca("i8", "most")
        self.w.put(f"store i8 0, ptr {cell}")
        self.w.declarations.add("declare i8 @llvm.umax.i8(i8, i8)")

        def look(indices: list[str]) -> None:
            x = self.w.op(f"load i8, ptr {self.item(ref, indices, checked=False).pointer}")
            most = self.w.op(f"call i8 @llvm.umax.i8(i8 {self.w.op(f'load i8, ptr {cell}')}, i8 {x})")
            self.w.put(f"store i8 {most}, ptr {cell}")

        self.nest(ref.dims, look)
        return self.w.op(f"zext i8 {self.w.op(f'load i8, ptr {cell}')} to i64")

    def _masked(self, view: Ref, axis: int, mask: Any) -> Spots:
        """Elements for which a mask is true."""
        rank = len(mask.dims)
        mask = self.held(mask)
        for dim, other in zip(mask.dims, view.dims[axis : axis + rank], strict=True):
            if dim != other:
                self.guard(self.w.op(f"icmp eq i64 {dim}, {other}"), "a mask of another shape")
        strides = view.strides[axis : axis + rank]
        name = self._variable_at.get(mask.pointer)
        if self.listed is not None and name is not None and rank <= 2:
            return self._masked_again(view, axis, mask, name, strides)
        offsets, count = self._trues(mask, strides)

        def offset(indices: list[str]) -> str:
            return self.read(self.item(offsets, indices, checked=False)).x

        return Spots(view, axis, rank, (count,), offset, (offsets,), distinct=True)

    def _masked_again(self, view: Ref, axis: int, mask: Ref, name: str, strides: tuple[str, ...]) -> Spots:
        """The same by a variable that the statement may use for several arrays: ``z[m] = z[m] ** 2 + c[m]``.

        Where it is true is noted once, as indices, of two axes in one word.
        """
        assert self.listed is not None
        if name not in self.listed:
            self.listed[name] = self._trues(mask, (str(_FAR), "1")[-len(strides) :])
        places, count = self.listed[name]

        def offset(indices: list[str]) -> str:
            place = self.read(self.item(places, indices, checked=False)).x
            if len(strides) == 1:
                return self.w.op(f"mul i64 {place}, {strides[0]}")
            row, column = self.w.op(f"lshr i64 {place}, 32"), self.w.op(f"and i64 {place}, {_FAR - 1}")
            down, along = (
                self.w.op(f"mul i64 {each}, {stride}")
                for each, stride in zip((row, column), strides, strict=True)
            )
            return self.w.op(f"add i64 {down}, {along}")

        return Spots(view, axis, len(strides), (count,), offset, (places,), distinct=True)

    def _trues(self, mask: Ref, strides: tuple[str, ...]) -> tuple[Ref, str]:
        """Where the elements lie for which a mask is true, and how many they are."""
        many = prod(self.extents.get(dim, constant_of(dim) or 1) for dim in mask.dims) > LARGEST
        room = self._room_for(mask) if many else self.size_of(mask.dims)
        offsets = self.fresh("int64", (room,))
        count = self.w.alloca("i64", "count")
        self.w.put(f"store i64 0, ptr {count}")

        def note(indices: list[str]) -> None:
            total = self._reach(indices, strides)
            n = self.w.op(f"load i64, ptr {count}")
            # What is not true is written over by the next one that is.
            self.w.put(f"store i64 {total}, ptr {self.item(offsets, [n], checked=False).pointer}")
            one = self.w.op(f"zext i1 {self.truth(self.at(mask, indices))} to i64")
            self.w.put(f"store i64 {self.w.op(f'add i64 {n}, {one}')}, ptr {count}")

        def row(indices: list[str]) -> None:
            """Sixty-four elements at a time, then eight, which are passed over where none is true."""
            pointer = self.item(mask, indices, checked=False).pointer if indices else mask.pointer
            many = self.w.op(f"lshr i64 {mask.dims[-1]}, 6")
            k, finish = self._over_elements("0", many)
            start = self.w.op(f"shl i64 {k}, 6")
            place = self.w.op(f"getelementptr i8, ptr {pointer}, i64 {start}")
            whole = self.w.op(f"load <64 x i8>, ptr {place}, align 1")
            bits = self.w.op(
                f"bitcast <64 x i1> {self.w.op(f'icmp ne <64 x i8> {whole}, zeroinitializer')} to i64"
            )
            some, none = self.w.fresh("some"), self.w.fresh("none")
            self.w.branch(self.w.op(f"icmp ne i64 {bits}, 0"), some, none)
            self.w.place(some)
            self._note_bits(bits, start, offsets, count, lambda k: self._reach([*indices, k], strides))
            self.w.place(none)
            finish()
            eights = self.w.op(f"lshr i64 {mask.dims[-1]}, 3")
            k, finish = self._over_elements(self.w.op(f"shl i64 {many}, 3"), eights)
            start = self.w.op(f"shl i64 {k}, 3")
            place = self.w.op(f"getelementptr i8, ptr {pointer}, i64 {start}")
            some, none = self.w.fresh("some"), self.w.fresh("none")
            whole = self.w.op(f"load i64, ptr {place}, align 1")
            self.w.branch(self.w.op(f"icmp ne i64 {whole}, 0"), some, none)
            self.w.place(some)
            for number in range(8):
                note([*indices, self.w.op(f"or i64 {start}, {number}")])
            self.w.place(none)
            finish()
            k, finish = self._over_elements(self.w.op(f"shl i64 {eights}, 3"), mask.dims[-1])
            note([*indices, k])
            finish()

        if mask.strides[-1] != "1" or mask.dims[-1] == "1":
            self.nest(mask.dims, note)
        elif len(mask.dims) == 1:
            row([])
        else:
            self.nest(mask.dims[:-1], row)
        number = self.w.op(f"load i64, ptr {count}")
        return replace(offsets, dims=(number,)), number

    def _room_for(self, mask: Ref) -> str:
        """How many elements of a large mask are true, and the eight that `_note_bits` may write too many."""
        number = self.w.alloca("i64", "number")
        self.w.put(f"store i64 8, ptr {number}")

        def add(indices: list[str]) -> None:
            one = self.w.op(f"zext i1 {self.truth(self.at(mask, indices))} to i64")
            total = self.w.op(f"load i64, ptr {number}")
            self.w.put(f"store i64 {self.w.op(f'add i64 {total}, {one}')}, ptr {number}")

        self.nest(self._unfolded(mask.dims, [mask]), add)
        return self.w.op(f"load i64, ptr {number}")

    def _note_bits(
        self, bits: str, start: str, offsets: Ref, count: str, reach: Callable[[str], str]
    ) -> None:
        """Note where the ones among 64 bits are, eight at a time: which there are, no branch has to foresee.

        There is room for the eight, as each of the 64 elements has its own in `offsets`; those too many are written
        over, or are none of the `count`.
        """
        left, at = self.w.alloca("i64", "left"), self.w.alloca("i64", "at")
        n = self.w.op(f"load i64, ptr {count}")
        self.w.put(f"store i64 {bits}, ptr {left}")
        self.w.put(f"store i64 {n}, ptr {at}")
        again, done = self.w.fresh("again"), self.w.fresh("noted")
        self.w.place(again)
        rest, place = self.w.op(f"load i64, ptr {left}"), self.w.op(f"load i64, ptr {at}")
        self.w.declarations |= {"declare i64 @llvm.cttz.i64(i64, i1)", "declare i64 @llvm.ctpop.i64(i64)"}
        for number in range(8):
            zeros = self.w.op(f"call i64 @llvm.cttz.i64(i64 {rest}, i1 false)")
            total = reach(self.w.op(f"add i64 {start}, {zeros}"))
            next_ = self.w.op(f"add i64 {place}, {number}")
            self.w.put(f"store i64 {total}, ptr {self.item(offsets, [next_], checked=False).pointer}")
            rest = self.w.op(f"and i64 {rest}, {self.w.op(f'add i64 {rest}, -1')}")
        self.w.put(f"store i64 {rest}, ptr {left}")
        self.w.put(f"store i64 {self.w.op(f'add i64 {place}, 8')}, ptr {at}")
        self.w.branch(self.w.op(f"icmp ne i64 {rest}, 0"), again, done)
        self.w.place(done)
        ones = self.w.op(f"call i64 @llvm.ctpop.i64(i64 {bits})")
        self.w.put(f"store i64 {self.w.op(f'add i64 {n}, {ones}')}, ptr {count}")

    def _reach(self, indices: list[str], strides: tuple[str, ...]) -> str:
        """How far an element lies from the first one."""
        total = ""
        for k, stride in zip(indices, strides, strict=True):
            if stride == "0":
                continue
            moved = k if stride == "1" else self.w.op(f"mul i64 {k}, {stride}")
            total = self.w.op(f"add i64 {total}, {moved}") if total else moved
        return total or "0"

    def nonzero(self, mask: Any, dim: str | None = None) -> Ref:
        """The numbers of the true elements of a vector."""
        (found,) = self.all_nonzero(mask, dim)
        return found

    def all_nonzero(self, mask: Any, dim: str | None = None) -> list[Ref]:
        """The numbers, along each axis, of the true elements of an array."""
        if kind_of(mask) != "bool_" or (dim is not None and len(mask.dims) != 1):
            raise Unsupported("the true elements of this array")
        held = self.held(mask)
        if dim is not None and held.dims[0] != dim:
            self.guard(self.w.op(f"icmp eq i64 {held.dims[0]}, {dim}"), "a mask of another shape")
        rank = len(held.dims)
        return [self._trues(held, tuple("1" if i == k else "0" for i in range(rank)))[0] for k in range(rank)]

    def spot(self, spots: Spots, indices: list[str]) -> Ref:
        """One of the selected elements."""
        count = len(spots.dims)
        before, own, after = (
            indices[: spots.axis],
            indices[spots.axis : spots.axis + count],
            indices[spots.axis + count :],
        )
        rest = list(zip(spots.view.dims, spots.view.strides, strict=True))
        rest = [*rest[: spots.axis], *rest[spots.axis + spots.taken :]]
        offset = spots.offset(["0" if dim == "1" else k for dim, k in zip(spots.dims, own, strict=True)])
        for k, (_, stride) in zip([*before, *after], rest, strict=True):
            offset = self.w.op(f"add i64 {offset}, {self.w.op(f'mul i64 {k}, {stride}')}")
        pointer = self.w.op(f"getelementptr i8, ptr {spots.view.pointer}, i64 {offset}")
        return replace(
            spots.view, type=spots.view.type._replace(ndim=0), pointer=pointer, dims=(), strides=(), ident=""
        )

    def gathered(self, spots: Spots) -> Lazy:
        """The selected elements, as a value."""

        name = self._variable_at.get(spots.view.pointer)
        if self.listed is not None and name is not None:
            self._taken[spots.view.pointer] = (name, *_places_of(spots))

        def element(indices: list[str]) -> Val:
            return self.read(self.spot(spots, indices))

        refs, kind = (spots.view, *spots.refs), spots.view.type.kind
        return Lazy(kind, spots.shape, element, refs, True, spots.breaks, one_by_one=spots.one_by_one)

    def scatter(self, spots: Spots, value: Any) -> None:
        """Store into the selected elements, the last one in the order of the index where one is selected twice."""
        self.note_written(spots.view)
        shape = spots.shape
        self.size_of(shape)
        if isinstance(value, Val):
            self.nest(shape, lambda indices: self.write(self.spot(spots, indices), value), True, spots.breaks)
            return
        value = self.whole(value)
        if not isinstance(value, Lazy) or self.listed is None or len(value.dims) != len(shape):
            self._scatter(spots, self.held(value))
            return
        others = [ref for ref in value.refs if not self._is_taken_alike(ref, spots)]
        apart, done = self.w.fresh("apart"), self.w.fresh("stored")
        near = "false"
        for ref in others:
            if self.may_meet(spots.view, ref):
                near = self.w.op(
                    f"or i1 {near}, {self.w.op(f'xor i1 {self._lie_apart(spots.view, ref)}, true')}"
                )
        if near != "false":
            direct = self.w.fresh("direct")
            self.w.branch(near, apart, direct)
            self.w.place(apart)
            self._scatter(spots, self.held(value))
            self.w.jump(done)
            self.w.place(direct)
        self._store_at(spots, value)
        if near != "false":
            self.w.place(done)

    def _is_taken_alike(self, ref: Ref, spots: Spots) -> bool:
        """Whether an array is read at the very elements only that are stored into, each before it is."""
        found = self._taken.get(ref.pointer)
        mine = self._variable_at.get(spots.view.pointer)
        return found is not None and mine is not None and found == (mine, *_places_of(spots))

    def _scatter(self, spots: Spots, value: Ref) -> None:
        self.disjoint(spots.view, value)
        self._store_at(spots, value)

    def _store_at(self, spots: Spots, value: Any) -> None:
        shape = spots.shape
        if len(value.dims) > len(shape):
            raise Unsupported("a store of an array with more axes")
        for dim, other in zip(reversed(shape), reversed(value.dims), strict=False):
            if other not in ("1", dim):
                self.guard(self.w.op(f"icmp eq i64 {dim}, {other}"), "a store of an array of another shape")
        self.nest(
            shape,
            lambda indices: self.write(self.spot(spots, indices), self.at(value, indices)),
            True,
            spots.breaks,
        )

    def disjoint(self, target: Ref, other: Ref) -> None:
        """Leave the loop where an array that is read may have elements in common with one that is stored into."""
        if self.may_meet(target, other):
            self.guard(self._lie_apart(target, other), "a store into elements that are read")

    def may_meet(self, one: Ref, other: Ref) -> bool:
        """Whether two arrays may share memory: both came in, or both are buffers, as far as is known."""
        if not (one.roots or one.fresh) or not (other.roots or other.fresh):
            return True
        if one.roots and other.roots:
            return True
        if one.owner != other.owner and not self.unnamed.isdisjoint((one.owner, other.owner)):
            return False
        return one.fresh and other.fresh

    def _lie_apart(self, target: Ref, other: Ref) -> str:
        (low, high), (begin, end) = self.span(target), self.span(other)
        before = self.w.op(f"icmp ule i64 {high}, {begin}")
        after = self.w.op(f"icmp ule i64 {end}, {low}")
        return self.w.op(f"or i1 {before}, {after}")

    def changed_spots(self, base: Ref, parts: list[Any]) -> Spots:
        """Elements that will be stored into: the arrays that select them are not."""
        own = []
        for part in parts:
            part = self._indexing(part)
            if is_whole(part) and kind_of(part) != "bool_" and refs_of(part):
                part = self.held(part)
                self.disjoint(base, part)
            own.append(part)
        return self.advanced(base, own)


def _places_of(spots: Spots) -> tuple[str, ...]:
    """What tells the elements: the list, and where in the array's axes it belongs."""
    return (*(ref.pointer for ref in spots.refs), str(spots.axis), str(spots.taken))
