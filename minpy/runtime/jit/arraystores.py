"""LLVM code that computes array expressions: into other arrays, and into new ones that variables may hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import Any

from minpy.runtime.jit.buffers import HEADER
from minpy.runtime.jit.expressions import BITS
from minpy.runtime.jit.kinds import TooLarge, Unsupported
from minpy.runtime.jit.leaving import constant_of
from minpy.runtime.jit.nests import Nests
from minpy.runtime.jit.undo import BEFORE
from minpy.runtime.jit.values import ArrayType, ArrayVariable, Lazy, Ref, Several, Val
from minpy.runtime.jit.wholes import breaks_of, is_plain, refs_of

# Elements of what is made or stored into: larger arrays are left to NumPy and to the blocks, which have threads, and
# keep no memory. What is only read, or computed and added up, may be larger.
LARGEST, LARGEST_READ = 1 << 20, 1 << 28
_MUCH = 6  # operations on an element


def is_turned(ref: Ref) -> bool:
    """Whether the elements of each column of a matrix lie side by side, whatever happens."""
    if len(ref.dims) != 2 or "1" in ref.dims:
        return False
    size = str(BITS[ref.type.dtype][1])
    return ref.strides[0] == size != ref.strides[1]


def tables_of(value: Any) -> list[Ref]:
    """The operands of an array expression that have several axes."""
    return [ref for ref in refs_of(value) if len(ref.dims) - ref.dims.count("1") > 1]


def is_turned_all(value: Any) -> bool:
    """Whether NumPy lays the result of an expression out as a transposed matrix."""
    tables = tables_of(value)
    return len(value.dims) == 2 and bool(tables) and all(map(is_turned, tables))


class Stores(Nests):
    """Stores into elements, new arrays, variables that hold arrays."""

    held_in_rounds: frozenset[str] = (
        frozenset()
    )  # variables whose arrays are not let go before a round is over

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

    def stored_size(self, dtype: str, dims: tuple[str, ...]) -> str:
        """The number of elements of an array that is made or stored into; of single bytes there may be more."""
        return self.size_of(dims, LARGEST * 8 if BITS[dtype][1] == 1 else LARGEST)

    def fill(self, target: Ref, value: Any, apart: bool = False) -> None:
        """Store an array or a scalar into all elements of another; `apart` if they share no memory."""
        self.stored_size(target.type.dtype, target.dims)
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
        self.elements[last] = prod(self.extents.get(dim, constant_of(dim) or 1) for dim in dims)
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
        count = self.stored_size(dtype, dims)
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
