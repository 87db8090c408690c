"""LLVM code for loops along an axis that lies innermost in memory, some columns after the other.

    for k in range(1, levels):
        pivot = 1.0 / (diagonal[:, :, k] - lower[:, :, k] * c[:, :, k - 1])
        c[:, :, k] = upper[:, :, k] * pivot

Each round works on elements that lie far from each other, and comes by all the memory. Where no column looks at
another one, all rounds can be made for some columns, whose elements then stay in the processor's cache, before those
for the next; and the statements of a round are one loop over elements. That is done where it can be told before the
first round that what is stored into shares no memory with other arrays; else the loop runs as it is written.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from minpy.records import dataclass
from minpy.runtime.jit.arraystores import is_turned, is_turned_all
from minpy.runtime.jit.deferred import Deferred, Later
from minpy.runtime.jit.expressions import BITS
from minpy.runtime.jit.iterations import Range
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.leaving import constant_of
from minpy.runtime.jit.liveness import Use
from minpy.runtime.jit.operators import SYMBOLS
from minpy.runtime.jit.values import ArrayType, Lazy, Ref, Val
from minpy.runtime.jit.wholes import is_whole, kind_of

# Elements of a round that are worked on before the next round is: with a line of the cache for each of some arrays they
# fill half of the nearest cache.
_AT_ONCE = 64
WORTH = 2 * _AT_ONCE
_MOST_ARRAYS = 12
# What the code inside a loop over elements goes by.
_DEPTH = ("floats", "computed", "stored", "clean", "unchecked", "opaques", "computed_elements", "instead")
_PARTS = (
    *(ast.BinOp, ast.UnaryOp, ast.Name, ast.Constant, ast.Subscript, ast.Slice, ast.Tuple),
    *(ast.operator, ast.unaryop, ast.cmpop, ast.expr_context),
)


@dataclass(frozen=True)
class Columns:
    """What a loop's text says: the arrays that are stored into, all that is read, and what functions are called by."""

    stored: tuple[str, ...]
    read: tuple[str, ...]
    functions: tuple[ast.expr, ...]


@dataclass(frozen=True)
class Made:
    """An array that a name stands for after the loop: the elements' kind, and where its address is."""

    kind: str
    cell: str


class ByColumns(Deferred):
    """Loops in which some columns are worked on at a time."""

    outermost_in_columns = False  # whether the outermost loop is one of them

    def by_columns(self, node: ast.For, step: Range, as_written: Callable[[], None]) -> bool:
        """Write a loop column by column and, by `as_written`, as it is; False if nothing has been written."""
        end = self.w.fresh("end")

        def rounds(inside: Callable[[], None]) -> None:
            self.rounds(node, step, lambda: None, inside)

        if not self.perhaps_by_columns(node, step.count, rounds, end):
            return False
        as_written()
        self.w.place(end)
        return True

    def perhaps_by_columns(
        self, node: ast.AST, count: str, rounds: Callable[[Callable[[], None]], None], end: str
    ) -> bool:
        """Write code that runs a loop column by column and goes on at `end`, or behind the code where it cannot.

        `rounds` writes all rounds, with what it is given for a body. False if nothing has been written.
        """
        columns = columns_of(node) if isinstance(node, ast.For) else None
        if columns is None or not self._are_known(columns, lambda function: False):
            return False
        return self.written_for_some(lambda: self._write_columns(node, columns, count, rounds), end)

    def written_for_some(self, write: Callable[[], str], end: str) -> bool:
        """Whether `write` could write all rounds for some elements after the other; the code goes on at `end`.

        It gives the label that is jumped to where that cannot be.
        """

        def written() -> bool:
            plain = write()
            self.w.jump(end)
            self.w.place(plain)
            return True

        if not self._written_apart(written):
            return False
        self.clean = self.loggable = False  # the first columns are stored when the later ones are looked at
        return True

    def _written_apart(self, write: Callable[[], bool]) -> bool:
        """Whether `write` could write a loop in another way; if not, nothing has happened."""
        if self.flag or self.retry:
            return False
        depth = {name: getattr(self, name) for name in _DEPTH}
        access, pending, lasts = self.w.access, dict(self.pending), list(self.lasts)
        written = self._tried(write)
        self.in_columns = False
        if not written:
            vars(self).update(depth)
            self.w.access, self.pending, self.lasts = access, pending, lasts
        return bool(written)

    def _are_known(self, columns: Columns, also: Callable[[Any], bool]) -> bool:
        """Whether the functions that are called are NumPy's, for elements, or others that go along."""
        for each in columns.functions:
            name = self.dotted(each)
            function = self.known.get(name) if name is not None else None
            if not (
                isinstance(function, np.ufunc) or function is np.where or function is abs or also(function)
            ):
                return False
        return True

    def _write_columns(
        self, node: ast.For, columns: Columns, count: str, rounds: Callable[[Callable[[], None]], None]
    ) -> str:
        """Write the loop column by column; the label that is jumped to where that is not possible."""
        arrays = self._arrays_of(node, columns)
        dims = self._space(arrays, _stores(node)[0])
        if prod(self.extents.get(dim, constant_of(dim) or WORTH) for dim in dims) < WORTH:
            raise Unsupported("few columns")
        self.size_of(dims)
        plain, columnwise = self.w.fresh("plain"), self.w.fresh("columnwise")
        fine = self._are_apart(columns, arrays)
        for number in (count, *dims):
            fine = self.w.op(f"and i1 {fine}, {self.w.op(f'icmp sgt i64 {number}, 0')}")
        self.w.branch(fine, columnwise, plain, expected=True)
        self.w.place(columnwise)
        made: dict[str, Made] = {}

        def write() -> None:
            start, stop, finish = self._over_columns(dims, self._lie_side_by_side(arrays, _stores(node)[0]))
            rounds(lambda: self._round_of_columns(node, dims, (start, stop), made))
            finish()

        self.with_made(dims, made, write)
        return plain

    def with_made(self, dims: tuple[str, ...], made: dict[str, Made], write: Callable[[], None]) -> None:
        """Write a loop; what names stand for after it, which is in `made` then, has its memory before it."""
        opening = len(self.w.lines)
        write()
        code, self.w.lines = self.w.lines, []
        found = {name: self.fresh(dtype_of(each.kind), dims) for name, each in made.items()}
        for name, each in made.items():
            self.w.put(f"store ptr {found[name].pointer}, ptr {each.cell}")
        self.w.lines = [*code[:opening], *self.w.lines, *code[opening:]]
        for name, ref in found.items():
            self.pending.pop(self.key_of(name), None)
            self.binder(name)(ref)

    def _arrays_of(self, node: ast.For, columns: Columns) -> dict[str, Ref]:
        """The arrays that a loop reads or stores into."""
        arrays: dict[str, Ref] = {}
        for name in columns.read:
            value = self.expression(ast.copy_location(ast.Name(name, ast.Load()), node))
            if isinstance(value, Ref) and value.dims and not value.type.sequence:
                arrays[name] = value
            elif isinstance(value, Lazy):
                raise Unsupported("an array that is not made yet")
        if len(arrays) > _MOST_ARRAYS or not arrays.keys() >= set(columns.stored):
            raise Unsupported("other arrays")
        return arrays

    def _are_apart(self, columns: Columns, arrays: dict[str, Ref]) -> str:
        """Whether what is stored into shares no memory with other arrays."""
        apart = "true"
        pairs = {tuple(sorted((one, other))) for one in columns.stored for other in arrays if one != other}
        for one, other in sorted(pairs):
            apart = self.w.op(f"and i1 {apart}, {self._lie_apart(arrays[one], arrays[other])}")
        return apart

    def _lie_side_by_side(self, arrays: dict[str, Ref], target: ast.Subscript) -> str:
        """Whether the elements that a round stores do, as they may where nothing was known of it."""
        base = arrays[target.value.id]  # type: ignore[attr-defined]
        parts = [*parts_of(target), *[ast.Slice()] * (base.type.ndim - len(parts_of(target)))]
        strides = [
            each for part, each in zip(parts, base.strides, strict=True) if isinstance(part, ast.Slice)
        ]
        return self.w.op(f"icmp eq i64 {strides[-1]}, {BITS[base.type.dtype][1]}")

    def _over_columns(
        self, dims: tuple[str, ...], at_once: str, few: int = _AT_ONCE
    ) -> tuple[str, str, Callable[[], None]]:
        """Begin a loop over some columns at a time: the first one, that of the next ones, and what ends the loop.

        Over all of them where `at_once` is true, and else `few` elements or a little more.
        """
        inner = "1"
        for dim in dims[1:]:
            inner = dim if inner == "1" else self.w.op(f"mul i64 {inner}, {dim}")
        several = self.w.op(f"udiv i64 {self.w.op(f'add i64 {inner}, {few - 1}')}, {inner}")
        several = self.w.op(f"select i1 {at_once}, i64 {dims[0]}, i64 {several}")
        cell = self.w.alloca("i64", "column")
        self.w.put(f"store i64 0, ptr {cell}")
        head, inside, end = (self.w.fresh(hint) for hint in ("columns", "some", "past"))
        self.w.place(head)
        start = self.w.op(f"load i64, ptr {cell}")
        self.w.branch(self.w.op(f"icmp slt i64 {start}, {dims[0]}"), inside, end)
        self.w.place(inside)
        stop = self.w.op(f"add i64 {start}, {several}")
        more = self.w.op(f"icmp slt i64 {stop}, {dims[0]}")
        stop = self.w.op(f"select i1 {more}, i64 {stop}, i64 {dims[0]}")

        def finish() -> None:
            self.w.put(f"store i64 {stop}, ptr {cell}")
            self.w.jump(head)
            self.w.place(end)

        return start, stop, finish

    def _space(self, arrays: dict[str, Ref], target: ast.Subscript) -> tuple[str, ...]:
        """The shape of what is stored in a round."""
        base = arrays[target.value.id]  # type: ignore[attr-defined]
        parts = parts_of(target)
        if len(parts) > base.type.ndim:
            raise Unsupported("more indices than axes")
        found = [
            self._part_taken(part, dim)[1]
            for part, dim in zip(parts, base.dims, strict=False)
            if isinstance(part, ast.Slice)
        ]
        dims = (*found, *base.dims[len(parts) :])
        if not dims:
            raise Unsupported("single elements")
        return dims

    def _round_of_columns(
        self, node: ast.For, dims: tuple[str, ...], piece: tuple[str, str], made: dict[str, Made]
    ) -> None:
        """A round for some columns: one loop over their elements for all statements."""
        around, self.in_columns = self.in_columns, True
        steps: list[tuple[Any, Any]] = []
        written: list[Ref] = []
        now: dict[int, Val] = {}
        apart = False
        for number, statement in enumerate(node.body):
            self.line = statement.lineno
            target = statement.target if isinstance(statement, ast.AugAssign) else statement.targets[0]
            value = self.expression(statement.value)
            if isinstance(target, ast.Name):
                kind = self._made_in_columns(value, dims)
                if made.setdefault(target.id, Made(kind, "")).kind != kind:
                    raise Unsupported("a name that stands for arrays of several kinds")
                if not made[target.id].cell:
                    made[target.id] = Made(kind, self.w.alloca("ptr", "made"))
                steps.append(((target.id, number), value))
                instead = Lazy(kind, dims, lambda _, number=number: now[number], value.refs, plain=True)
                key = self.key_of(target.id)
                self.pending[key] = Later(instead, Use(statement, 1, False), self.binder(target.id), False)
                continue
            ref = self._place_in_columns(target, dims)
            apart = apart or not (ref.type.unit or is_turned(ref))
            if isinstance(statement, ast.AugAssign):
                value = self.binary(SYMBOLS.get(type(statement.op), "@"), ref, value)
                if kind_of(value) != ref.type.kind:
                    raise Unsupported("an array is changed in place to another type")
            elif not is_whole(value):
                value = self._operand(value)
            if is_whole(value):
                self._fits_columns(value, dims)
            written.append(ref)
            steps.append((ref, value))
        if not apart:
            raise Unsupported("elements that lie side by side")
        for name in made:
            self.pending.pop(self.key_of(name), None)
        for ref in written:
            self.note_written(ref)

        def element(indices: list[str]) -> None:
            for place, value in steps:
                item = self.at(value, indices)
                if isinstance(place, Ref):
                    self.write(self._spot(place, indices), item)
                else:
                    name, number = place
                    now[number] = item
                    self.write(self._spot(self._made_at(made[name], dims), indices), item)

        self.nest(dims, element, True, independent=True, piece=piece)
        self.in_columns = around

    def _made_at(self, made: Made, dims: tuple[str, ...]) -> Ref:
        """The array that a name will stand for."""
        dtype = dtype_of(made.kind)
        strides = [str(BITS[dtype][1])]
        for dim in reversed(dims[1:]):
            strides.insert(0, strides[0] if dim == "1" else self.w.op(f"mul i64 {strides[0]}, {dim}"))
        pointer = self.w.op(f"load ptr, ptr {made.cell}")
        return Ref(ArrayType(dtype, len(dims), True, made.kind), pointer, dims, tuple(strides))

    def _made_in_columns(self, value: Any, dims: tuple[str, ...]) -> str:
        """The kind of the elements of an array that is made in each round."""
        if not isinstance(value, Lazy) or len(value.dims) != len(dims) or is_turned_all(value):
            raise Unsupported("a value of another shape")
        self._fits_columns(value, dims)
        if any(one == "1" != other for one, other in zip(value.dims, dims, strict=True)):
            raise Unsupported("a value of another shape")
        self.ordered_alike(value, False)
        return value.kind

    def _fits_columns(self, value: Any, dims: tuple[str, ...]) -> None:
        """Leave the loop where a value is not stretched to the columns."""
        if isinstance(value, Lazy) and (value.mixed or value.breaks or value.one_by_one or value.items):
            raise Unsupported("elements of other columns")
        if len(value.dims) > len(dims):
            raise Unsupported("a store of an array with more axes")
        for dim, other in zip(reversed(dims), reversed(value.dims), strict=False):
            if other not in ("1", dim):
                self.guard(self.w.op(f"icmp eq i64 {dim}, {other}"), "a store of an array of another shape")

    def _place_in_columns(self, target: ast.Subscript, dims: tuple[str, ...]) -> Ref:
        base = self.expression(target.value)
        parts = [self._part(each) for each in parts_of(target)]
        if not isinstance(base, Ref) or not all(isinstance(part, (str, ast.Slice)) for part in parts):
            raise Unsupported("a store into something else")
        ref = self.parted(base, parts)
        if len(ref.dims) != len(dims):
            raise Unsupported("stores of several shapes")
        for one, other in zip(ref.dims, dims, strict=True):
            if one != other:
                if "1" in (one, other):
                    raise Unsupported("stores of several shapes")
                self.guard(self.w.op(f"icmp eq i64 {one}, {other}"), "stores of several shapes")
        return replace(ref, dims=dims)


def dtype_of(kind: str) -> str:
    return "bool" if kind == "bool_" else kind


def parts_of(node: ast.Subscript) -> list[ast.expr]:
    return list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]


def _stores(node: ast.For) -> list[ast.Subscript]:
    return [each for each in map(_target, node.body) if isinstance(each, ast.Subscript)]


def _target(statement: ast.stmt) -> ast.expr | None:
    """What a statement sets, if it is one thing."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        return statement.targets[0]
    return statement.target if isinstance(statement, ast.AugAssign) else None


def _loads(node: ast.AST) -> Iterator[str]:
    return (
        each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)
    )


@lru_cache(maxsize=256)
def columns_of(node: ast.For) -> Columns | None:
    """What the text of a loop says, if each round works on elements of arrays and none looks at another column."""
    targets = [_target(statement) for statement in node.body]
    stores = [each for each in targets if isinstance(each, ast.Subscript)]
    if node.orelse or not isinstance(node.target, ast.Name) or None in targets:
        return None
    if not any(node.target.id in _loads(each.slice) for each in stores):
        return None
    if not all(isinstance(each.value, ast.Name) for each in stores):
        return None
    names = {each.id for each in targets if isinstance(each, ast.Name)}
    stored = {each.value.id for each in stores}  # type: ignore[attr-defined]
    if len(targets) > len(stores) + len([each for each in targets if isinstance(each, ast.Name)]):
        return None
    if names & stored or node.target.id in names | stored:
        return None
    callees = [each.func for each in inside_of(node) if isinstance(each, ast.Call)]
    called = {id(part) for each in callees for part in ast.walk(each)}
    if not all(is_elementwise(each, called) for each in inside_of(node)):
        return None
    if _reads_round_before(node, names) or not _keeps_to_columns(node, stored, names | {node.target.id}):
        return None
    read = made_of(inside_of(node), called) - {*names, node.target.id}
    return Columns(tuple(sorted(stored)), tuple(sorted(read)), tuple(callees))


def inside_of(node: ast.For) -> Iterator[ast.AST]:
    """What the statements of a loop are made of."""
    return (
        each for statement in node.body for part in ast.iter_child_nodes(statement) for each in ast.walk(part)
    )


def made_of(nodes: Iterable[ast.AST], called: set[int]) -> set[str]:
    """The names among nodes, without those by which functions are called."""
    return {each.id for each in nodes if isinstance(each, ast.Name) and id(each) not in called}


def is_elementwise(node: ast.AST, called: set[int], keywords: bool = False) -> bool:
    """Whether a part of a statement makes elements of elements; `called` is what functions are called by.

    `keywords` says that these may have some.
    """
    if isinstance(node, ast.Attribute):
        return id(node) in called
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.MatMult, ast.Pow)):
        return isinstance(node.op, ast.Pow) and isinstance(node.right, ast.Constant) and node.right.value == 2
    if isinstance(node, ast.Compare):
        return len(node.ops) == 1
    if isinstance(node, ast.Call):
        return keywords or not node.keywords
    return isinstance(node, _PARTS)


def _reads_round_before(node: ast.For, names: set[str]) -> bool:
    """Whether a name is read before the round sets it."""
    unset = set(names)
    for statement in node.body:
        target = _target(statement)
        changed = isinstance(statement, ast.AugAssign) and isinstance(target, ast.Name)
        if changed or not unset.isdisjoint(_loads(statement)):
            return True
        if isinstance(target, ast.Name):
            unset.discard(target.id)
    return False


def _keeps_to_columns(node: ast.For, stored: set[str], changing: set[str]) -> bool:
    """Whether arrays that are stored into are always met with the same slices of the same axes."""
    shapes: dict[str, tuple[str, ...]] = {}
    met = set()
    for each in inside_of(node):
        if isinstance(each, ast.Subscript) and isinstance(each.value, ast.Name) and each.value.id in stored:
            met.add(id(each.value))
            shape = _shape(each, changing)
            if shape is None or shapes.setdefault(each.value.id, shape) != shape:
                return False
    return all(
        id(each) in met for each in inside_of(node) if isinstance(each, ast.Name) and each.id in stored
    )


def _shape(node: ast.Subscript, changing: set[str]) -> tuple[str, ...] | None:
    """What tells the columns of an array: its axes that are sliced, and how. None if that changes."""
    found = []
    for part in parts_of(node):
        if isinstance(part, ast.Slice):
            if not changing.isdisjoint(_loads(part)):
                return None
            found.append(ast.dump(part))
        elif isinstance(part, ast.Constant) and type(part.value) is not int:
            return None
        else:
            found.append("")
    return tuple(found)


__all__ = ["ByColumns", "columns_of"]
