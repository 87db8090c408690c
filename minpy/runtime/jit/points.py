"""LLVM code for loops whose rounds change elements where masks are true, all rounds for some elements after the other.

    for i in range(steps):
        inside = np.less(abs(z), 2.0)
        left[inside] = i
        z[inside] = z[inside] ** 2 + c[inside]

A round comes by all the memory of large arrays. Where no element looks at another one, all rounds can be made for some
of them, which stay in the nearest cache, before those for the next; and once a round stores nothing, no later one of
the same elements does, as long as masks are made of arrays alone. That is done where it can be told before the first
round that the arrays lie without gaps, are of one shape, and that what is stored into shares no memory with others.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import Any

from minpy.records import dataclass
from minpy.runtime.jit.columns import WORTH, Columns, Made, dtype_of, is_elementwise, made_of
from minpy.runtime.jit.deferred import Later
from minpy.runtime.jit.expressions import BITS
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.leaving import constant_of
from minpy.runtime.jit.liveness import Use
from minpy.runtime.jit.masked import Masked, Masking, masking_of
from minpy.runtime.jit.operators import SYMBOLS
from minpy.runtime.jit.values import ArrayType, Lazy, Ref, Val, scalar
from minpy.runtime.jit.wholes import is_whole, kind_of

_LARGEST = 1 << 24  # elements: what is stored into is copied before
_AT_ONCE = 32  # of them most are done after as many rounds


@dataclass(frozen=True)
class Points:
    """What a loop's text says: as `Columns`, and that a round which stores nothing is like all later ones."""

    columns: Columns
    lasting: bool


@dataclass(frozen=True)
class _Store:
    """A statement that stores where a mask is true."""

    masking: Masking
    target: Ref
    value: Any


class ByPoints(Masked):
    """Loops in which all rounds are made for some elements at a time."""

    def perhaps_by_points(
        self,
        node: ast.AST,
        count: str,
        rounds: Callable[[Callable[[], str]], None],
        over: Callable[[], None],
        end: str,
    ) -> bool:
        """Write code that runs a loop point by point and goes on at `end`, or behind the code where it cannot.

        `rounds` writes all rounds, with what it is given for a body: that tells whether later ones need not be made.
        `over` writes what is so after the last round of all. False if nothing has been written.
        """
        points = points_of(node) if isinstance(node, ast.For) else None
        if points is None or not self._are_known(points.columns, lambda function: False):
            return False

        def write() -> str:
            plain = self._write_points(node, points, count, rounds)
            over()
            return plain

        return self.written_for_some(write, end)

    def _write_points(
        self, node: ast.For, points: Points, count: str, rounds: Callable[[Callable[[], str]], None]
    ) -> str:
        """Write the loop point by point; the label that is jumped to where that is not possible."""
        arrays = self._arrays_of(node, points.columns)
        dims = arrays[points.columns.stored[0]].dims
        elements = prod(self.extents.get(dim, constant_of(dim) or WORTH) for dim in dims)
        if elements < WORTH:
            raise Unsupported("few elements")
        size = self.size_of(dims, _LARGEST)
        self.extents[size] = elements
        fine = self._are_apart(points.columns, arrays)
        flat = {}
        for name, ref in arrays.items():
            flat[name], in_line = self._in_line(ref, dims, size)
            fine = self.w.op(f"and i1 {fine}, {in_line}")
        for number in (count, size):
            fine = self.w.op(f"and i1 {fine}, {self.w.op(f'icmp sgt i64 {number}, 0')}")
        plain, pointwise = self.w.fresh("plain"), self.w.fresh("pointwise")
        self.w.branch(fine, pointwise, plain, expected=True)
        self.w.place(pointwise)
        made: dict[str, Made] = {}

        def write() -> None:
            start, stop, finish = self._over_columns((size,), "false", _AT_ONCE)
            rounds(lambda: _Round(self, points, flat, size, (start, stop), made).code(node))
            finish()

        self.with_made(dims, made, write)
        return plain

    def _in_line(self, ref: Ref, dims: tuple[str, ...], size: str) -> tuple[Ref, str]:
        """An array as a vector, and whether it is of a shape and lies without gaps."""
        if len(ref.dims) != len(dims) or "1" in ref.dims:
            raise Unsupported("arrays of several shapes")
        reach, fine = str(BITS[ref.type.dtype][1]), "true"
        step = reach
        for dim, own, stride in zip(reversed(dims), reversed(ref.dims), reversed(ref.strides), strict=True):
            for one, other in ((own, dim), (stride, reach)):
                if one != other:
                    fine = self.w.op(f"and i1 {fine}, {self.w.op(f'icmp eq i64 {one}, {other}')}")
            reach = self.w.op(f"mul i64 {reach}, {dim}")
        type_ = ref.type._replace(ndim=1, unit=True, ones=(), last=0)
        return replace(ref, type=type_, dims=(size,), strides=(step,), ident="", made=None), fine


class _Round:
    """A round for some elements: a loop over them for each name that is set, and for the stores between these."""

    def __init__(
        self,
        code: ByPoints,
        points: Points,
        arrays: dict[str, Ref],
        size: str,
        piece: tuple[str, str],
        made: dict[str, Made],
    ) -> None:
        self.of, self.points, self.piece, self.size = code, points, piece, size
        self.arrays = dict(arrays)  # by their names, those that the round has made as well
        self.made = made
        self.stores: list[_Store] = []
        self.some = code.w.alloca("i1", "some")  # whether the round stores anything
        self.where: Val | None = None  # whether the element that is being written is stored into

    def code(self, node: ast.For) -> str:
        """Write the round; whether it has stored nothing, and no later one will."""
        of, w = self.of, self.of.w
        around, of.in_columns = of.in_columns, True
        w.put(f"store i1 false, ptr {self.some}")
        for statement in node.body:
            of.line = statement.lineno
            target = statement.target if isinstance(statement, ast.AugAssign) else statement.targets[0]
            if isinstance(target, ast.Name):
                self._store()
                self._make(target, statement.value)
            else:
                self.stores.append(self._stored(statement))
        self._store()
        of.in_columns = around
        if not self.points.lasting:
            return "false"
        return w.op(f"xor i1 {w.op(f'load i1, ptr {self.some}')}, true")

    # Values.

    def _with_arrays(self, node: ast.expr, find: Callable[[], Any], only: bool = False) -> Any:
        """What `find` gives while the names of arrays stand for their elements, `only` where a mask is true."""
        of, keys = self.of, []
        for name, ref in self.arrays.items():
            value = Lazy(ref.type.kind, ref.dims, self._reading(ref, only), (ref,), plain=True)
            keys.append(of.key_of(name))
            use = Use(node, 1, False)  # type: ignore[arg-type]
            of.pending[keys[-1]] = Later(value, use, of.binder(name), False)
        try:
            return find()
        finally:
            for key in keys:
                of.pending.pop(key, None)

    def _reading(self, ref: Ref, only: bool) -> Callable[[list[str]], Val]:
        def read(indices: list[str]) -> Val:
            element = self.of.at(ref, indices)
            if not only:
                return element
            # Of what is not stored nothing must be warned of: ones may be divided by.
            return self._one_of(element, None)

        return read

    def _one_of(self, value: Val, other: Val | None) -> Val:
        """A number where the element is stored into, and else another one of its kind, or one."""
        of, w = self.of, self.of.w
        assert self.where is not None
        if value.rep == "c":
            parts = of.parts(value)
            others = of.parts(other) if other is not None else ("1.0", "0.0")
            chosen = [
                w.op(f"select i1 {self.where.x}, double {x}, double {y}")
                for x, y in zip(parts, others, strict=True)
            ]
            return of.paired("complex128", *chosen)
        type_, one = {"d": ("double", "1.0"), "i": ("i64", "1"), "b": ("i1", "true")}[value.rep]
        x = w.op(f"select i1 {self.where.x}, {type_} {value.x}, {type_} {one if other is None else other.x}")
        return replace(value, x=x)

    # Statements.

    def _make(self, target: ast.Name, node: ast.expr) -> None:
        """Set a name: to which numbers lie inside a circle, or to an expression of elements."""
        of = self.of
        test = of.test_of_magnitudes(node)
        if test is not None:
            op, inner, radius = test
            base = self._with_arrays(node, lambda: of.expression(inner))
            ref = next((each for each in self.arrays.values() if base.refs == (each,)), None)
            number = self._with_arrays(node, lambda: of.radius_of(radius))
            if ref is None or number is None or ref.type.kind != "complex128" or not base.plain:
                raise Unsupported("magnitudes of something else")
            new = self._new(target, "bool_")
            self._circle(op, ref, number, new)
        else:
            value = self._with_arrays(node, lambda: of.expression(node))
            if not is_whole(value) or not self._fits(value):
                raise Unsupported("a value of another shape")
            new = self._new(target, kind_of(value))
            self._nest(lambda indices: of.write(of._spot(new, indices), of.at(value, indices)))
        self.arrays[target.id] = new

    def _fits(self, value: Any) -> bool:
        return isinstance(value, Lazy) and value.dims == (self.size,) and value.plain and not value.mixed

    def _nest(self, body: Callable[[list[str]], None]) -> None:
        self.of.nest((self.size,), body, True, independent=True, piece=self.piece)

    def _new(self, target: ast.Name, kind: str) -> Ref:
        """The array that a name stands for, as a vector."""
        of, name = self.of, target.id
        if self.made.setdefault(name, Made(kind, "")).kind != kind:
            raise Unsupported("a name that stands for arrays of several kinds")
        if not self.made[name].cell:
            self.made[name] = Made(kind, of.w.alloca("ptr", "made"))
        dtype = dtype_of(kind)
        pointer = of.w.op(f"load ptr, ptr {self.made[name].cell}")
        return Ref(ArrayType(dtype, 1, True, kind), pointer, (self.size,), (str(BITS[dtype][1]),))

    def _circle(self, op: ast.cmpop, ref: Ref, radius: Val, new: Ref) -> None:
        of, w = self.of, self.of.w
        circle = of.circle(op, radius)

        def look(indices: list[str]) -> None:
            found = of.lies_there(circle, of._spot(ref, indices))
            of.write(of._spot(new, indices), scalar("bool_", "b", found))

        self._nest(look)
        near, on = w.fresh("near"), w.fresh("on")
        w.branch(w.op(f"load i1, ptr {circle.sure}"), on, near, expected=True)
        w.place(near)
        sizes = w.alloca(f"[{_AT_ONCE} x double]", "sizes")
        start, stop = self.piece
        loop = of.loop("map absolute Dd")
        of.run_loop(
            loop,
            [of._spot(ref, [start]).pointer, sizes],
            [w.op(f"sub i64 {stop}, {start}")],
            ["16", "8"],
        )

        def compare(indices: list[str]) -> None:
            place = w.op(f"sub i64 {indices[0]}, {start}")
            size = w.op(f"load double, ptr {w.op(f'getelementptr double, ptr {sizes}, i64 {place}')}")
            of._is_finite(size)
            found = of.compare(op, scalar("float64", "d", size), radius)
            of.write(of._spot(new, indices), found)

        self._nest(compare)
        w.place(on)

    def _stored(self, statement: ast.Assign | ast.AugAssign) -> _Store:
        """What a statement stores, where its mask is true."""
        of = self.of
        masking = masking_of(statement)
        assert masking is not None
        mask, target = self.arrays[masking.mask.id], self.arrays[masking.target.id]
        if mask.type.kind != "bool_":
            raise Unsupported("another mask")
        for name in masking.numbers:
            if name in self.arrays:
                raise Unsupported("an array of what a mask selects")

        def find() -> Any:
            value = of.expression(masking.value)
            if isinstance(statement, ast.AugAssign):
                symbol = SYMBOLS.get(type(statement.op), "@")
                if symbol == "*" and target.type.kind == "complex128":
                    raise Unsupported("perhaps one complex number, in place")
                value = of.binary(symbol, of.expression(masking.target), value)
                if kind_of(value) != target.type.kind:
                    raise Unsupported("an array is changed in place to another type")
            return value

        value = self._with_arrays(statement.value, find, only=True)
        if is_whole(value) and not self._fits(value):
            raise Unsupported("a value of another shape")
        return _Store(masking, target, value if is_whole(value) else of._operand(value))

    def _store(self) -> None:
        """Write the stores since the last name was set, if some of their masks are true."""
        stores, self.stores = self.stores, []
        if not stores:
            return
        of, w = self.of, self.of.w
        masks = {each.masking.mask.id: self.arrays[each.masking.mask.id] for each in stores}
        any_ = w.alloca("i1", "any")
        w.put(f"store i1 false, ptr {any_}")

        def look(indices: list[str]) -> None:
            found = w.op(f"load i1, ptr {any_}")
            for mask in masks.values():
                byte = w.op(f"load i8, ptr {of._spot(mask, indices).pointer}")
                found = w.op(f"or i1 {found}, {w.op(f'icmp ne i8 {byte}, 0')}")
            w.put(f"store i1 {found}, ptr {any_}")

        of.nest((self.size,), look, piece=self.piece)
        some, none = w.fresh("some"), w.fresh("none")
        w.branch(w.op(f"load i1, ptr {any_}"), some, none)
        w.place(some)
        w.put(f"store i1 true, ptr {self.some}")
        for each in stores:
            of.note_written(each.target)

        def element(indices: list[str]) -> None:
            for each in stores:
                self.where = of.read(of._spot(masks[each.masking.mask.id], indices))
                place = of._spot(each.target, indices)
                value = of.converted(of.at(each.value, indices), each.target.type.kind)
                of.write(place, self._one_of(value, of.read(place)))
            self.where = None

        self._nest(element)
        w.place(none)


@lru_cache(maxsize=256)
def points_of(node: ast.For) -> Points | None:
    """What the text of a loop says, if each round changes elements of arrays where masks that it makes are true."""
    if node.orelse or not isinstance(node.target, ast.Name):
        return None
    counter = node.target.id
    names: list[str] = []
    stored, read, callees, counted = set(), set(), [], set()
    for statement in node.body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
        elif isinstance(statement, ast.AugAssign):
            target = statement.target
        else:
            return None
        inside = list(ast.walk(statement.value))
        calls = [each.func for each in inside if isinstance(each, ast.Call)]
        called = {id(part) for each in calls for part in ast.walk(each)}
        used = made_of(inside, called)
        if isinstance(target, ast.Name):
            if isinstance(statement, ast.AugAssign) or target.id in names:
                return None
            other = (ast.Subscript, ast.Slice, ast.Tuple)
            if not all(is_elementwise(each, called) and not isinstance(each, other) for each in inside):
                return None
            names.append(target.id)
            counted |= {target.id} if used & {counter, *counted} else set()
            callees += calls
        else:
            masking = masking_of(statement)
            if masking is None or masking.mask.id not in names or masking.target.id in names:
                return None
            if any(map(_may_divide_by_zero, ast.walk(statement))):
                return None
            stored.add(masking.target.id)
            used = {*masking.arrays, *masking.numbers}
        read |= used
    # (A name that is read before it is set is what the round before made.)
    if not stored or not names or _read_too_early(node, names) or {counter, *names} & stored:
        return None
    columns = Columns(
        tuple(sorted(stored)), tuple(sorted((read | stored) - {*names, counter})), tuple(callees)
    )
    return Points(columns, not counted)


def _may_divide_by_zero(node: ast.AST) -> bool:
    """Whether elements that are not stored, which are ones, may be divided by nothing."""
    if not isinstance(node, (ast.BinOp, ast.AugAssign)):
        return False
    divisor = node.right if isinstance(node, ast.BinOp) else node.value
    if not isinstance(node.op, (ast.Div, ast.FloorDiv, ast.Mod)):
        return False
    return not isinstance(divisor, (ast.Subscript, ast.Name, ast.Constant))


def _sets_name(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)


def _read_too_early(node: ast.For, names: list[str]) -> bool:
    """Whether a name is read before the round sets it."""
    unset = set(names)
    for statement in node.body:
        if {each.id for each in ast.walk(statement) if _is_read(each)} & unset:
            return True
        if _sets_name(statement):
            unset.discard(statement.targets[0].id)  # type: ignore[attr-defined]
    return False


def _is_read(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)


__all__ = ["ByPoints", "points_of"]
