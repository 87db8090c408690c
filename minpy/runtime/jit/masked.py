"""LLVM code for what is computed where a mask is true: ``z[m] = z[m] ** 2 + c[m]``.

NumPy takes the elements out of each array, computes with them, and puts them back. As each element is made of those at
the same place, it can be computed there: the mask is read eight elements at a time, and where all of them are true the
processor works on all of them at once. Which are true need not be noted.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from minpy.records import dataclass
from minpy.runtime.jit.columns import is_elementwise, made_of
from minpy.runtime.jit.ir import double
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.operators import SYMBOLS
from minpy.runtime.jit.slices import BySlices
from minpy.runtime.jit.values import Lazy, Ref
from minpy.runtime.jit.wholes import is_whole, kind_of

_EIGHT = "72340172838076673"  # eight bytes that are true


@dataclass(frozen=True)
class Masking:
    """What a statement's text says: the array that is stored into, the mask, the value of an element, and other names.

    In the value the arrays' names stand for what the mask selects of them.
    """

    target: ast.Name
    mask: ast.Name
    value: ast.expr
    arrays: tuple[str, ...]
    numbers: tuple[str, ...]


class Masked(BySlices):
    """Statements that work where a mask is true."""

    def by_mask(self, node: ast.Assign | ast.AugAssign, as_written: Callable[[], None]) -> bool:
        """Write a statement element by element and, by `as_written`, as it is; False if nothing has been written."""
        masking = masking_of(node)
        if masking is None:
            return False
        symbol = SYMBOLS.get(type(node.op), "@") if isinstance(node, ast.AugAssign) else ""
        return self._written_apart(lambda: self._write_masked(masking, symbol, as_written))

    def _write_masked(self, masking: Masking, symbol: str, as_written: Callable[[], None]) -> bool:
        mask, target = self.expression(masking.mask), self.expression(masking.target)
        arrays = {
            name: self.expression(ast.copy_location(ast.Name(name, ast.Load()), masking.mask))
            for name in masking.arrays
        }
        every = [mask, target, *arrays.values()]
        if not all(isinstance(each, Ref) and each.dims and not each.type.sequence for each in every):
            raise Unsupported("other arrays")
        if symbol == "*" and target.type.kind == "complex128":
            raise Unsupported("perhaps one complex number, in place")
        if mask.type.kind != "bool_" or mask.strides[-1] != "1" or "1" in mask.dims or len(mask.dims) > 2:
            raise Unsupported("another mask")
        if any(len(each.dims) != len(mask.dims) or "1" in each.dims for each in every):
            raise Unsupported("a mask of another shape")
        for each in every:
            for dim, other in zip(mask.dims, each.dims, strict=True):
                if dim != other:
                    self.guard(self.w.op(f"icmp eq i64 {dim}, {other}"), "a mask of another shape")
        self.size_of(mask.dims)
        value = self._masked_value(masking, symbol, target)
        others = {masking.mask.id: mask, **arrays}
        others.pop(masking.target.id, None)
        apart = "true"
        for each in others.values():
            if self.may_meet(target, each):
                apart = self.w.op(f"and i1 {apart}, {self._lie_apart(target, each)}")
        end = self.w.fresh("end")
        if apart != "true":
            direct, near = self.w.fresh("direct"), self.w.fresh("near")
            self.w.branch(apart, direct, near, expected=True)
            self.w.place(near)
            as_written()
            self.w.jump(end)
            self.w.place(direct)
        self.note_written(target)

        def store(indices: list[str]) -> None:
            self.write(self._spot(target, indices), self.at(value, indices))

        *rows, row = self._unfolded(mask.dims, every)
        self.nest(tuple(rows), lambda indices: self._where_true(mask, indices, row, store), True)
        self.w.place(end)
        return True

    def _masked_value(self, masking: Masking, symbol: str, target: Ref) -> Any:
        """The elements of the value, at the places of those of the arrays."""
        for name in masking.numbers:
            if is_whole(self.expression(ast.copy_location(ast.Name(name, ast.Load()), masking.mask))):
                raise Unsupported("an array of what a mask selects")
        value = self.expression(masking.value)
        if symbol:
            value = self.binary(symbol, target, value)
            if kind_of(value) != target.type.kind:
                raise Unsupported("an array is changed in place to another type")
        if not is_whole(value):
            return self._operand(value)
        if isinstance(value, Lazy) and (value.mixed or value.breaks or value.one_by_one or value.items):
            raise Unsupported("elements from other places")
        if len(value.dims) != len(target.dims) or "1" in value.dims:
            raise Unsupported("a value of another shape")
        return value

    def _where_true(
        self, mask: Ref, indices: list[str], count: str, store: Callable[[list[str]], None]
    ) -> None:
        """Code for the elements of a row, of so many, for which a mask is true."""
        row, last = self._row_of_words(mask, indices, count)
        eights = self.w.op(f"lshr i64 {self.w.op(f'add i64 {count}, 7')}, 3")
        number, finish = self._over_elements("0", eights)
        start = self.w.op(f"shl i64 {number}, 3")
        some, all_, few, next_ = (self.w.fresh(hint) for hint in ("some", "all", "few", "next"))
        # The last word is read from where there are eight elements, and those before it are shifted out.
        fits = self.w.op(f"icmp sle i64 {start}, {last}")
        begin = self.w.op(f"select i1 {fits}, i64 {start}, i64 {last}")
        read = self.w.op(f"load i64, ptr {self.w.op(f'getelementptr i8, ptr {row}, i64 {begin}')}, align 1")
        beyond = self.w.op(f"shl i64 {self.w.op(f'sub i64 {start}, {begin}')}, 3")
        word = self.w.op(f"lshr i64 {read}, {beyond}")
        self.w.branch(self.w.op(f"icmp ne i64 {word}, 0"), some, next_)
        self.w.place(some)
        self.w.branch(self.w.op(f"icmp eq i64 {word}, {_EIGHT}"), all_, few)
        self.w.place(all_)
        self._all_true(indices, start, store)
        self.w.jump(next_)
        self.w.place(few)
        self._few_true(indices, start, word, store)
        self.w.place(next_)
        finish()

    def _row_of_words(self, mask: Ref, indices: list[str], count: str) -> tuple[str, str]:
        """Where a row of a mask is read, and its last place from which eight elements can be.

        A row of fewer elements is copied to where there are as many that are not true behind it.
        """
        row = self.item(mask, indices, checked=False).pointer if indices else mask.pointer
        short, copy_, on = self.w.op(f"icmp slt i64 {count}, 8"), self.w.fresh("copy"), self.w.fresh("on")
        few, place = self.w.alloca("i64", "few"), self.w.alloca("ptr", "row")
        self.w.put(f"store ptr {row}, ptr {place}")
        self.w.branch(short, copy_, on)
        self.w.place(copy_)
        self.w.put(f"store i64 0, ptr {few}")
        self.w.put(f"store ptr {few}, ptr {place}")
        k, finish = self._over_elements("0", count)
        byte = self.w.op(f"load i8, ptr {self.w.op(f'getelementptr i8, ptr {row}, i64 {k}')}")
        self.w.put(f"store i8 {byte}, ptr {self.w.op(f'getelementptr i8, ptr {few}, i64 {k}')}")
        finish()
        self.w.place(on)
        last = self.w.op(f"select i1 {short}, i64 0, i64 {self.w.op(f'sub i64 {count}, 8')}")
        return self.w.op(f"load ptr, ptr {place}"), last

    def _all_true(self, indices: list[str], start: str, store: Callable[[list[str]], None]) -> None:
        """Eight elements, of which none reads what another one stores."""
        group, access = self.w.note(""), self.w.access
        self.w.access = f", !llvm.access.group {group}"
        parallel = self.w.note(f'!"llvm.loop.parallel_accesses", {group}', distinct=False)
        # (Else they were eight copies before the compiler looks for what can be done at once.)
        rolled = self.w.note('!"llvm.loop.unroll.disable"', distinct=False)
        k, finish = self._over_elements("0", "8", self.w.note(f"{{}}, {parallel}, {rolled}"))
        self._stored([*indices, self.w.op(f"add nuw nsw i64 {start}, {k}")], store)
        self.w.access = access
        finish()

    def _few_true(
        self, indices: list[str], start: str, word: str, store: Callable[[list[str]], None]
    ) -> None:
        """Some of eight elements, one after the other."""
        cell = self.w.alloca("i64", "word")
        self.w.put(f"store i64 {word}, ptr {cell}")
        again, done = self.w.fresh("again"), self.w.fresh("done")
        self.w.place(again)
        left = self.w.op(f"load i64, ptr {cell}")
        self.w.declarations.add("declare i64 @llvm.cttz.i64(i64, i1)")
        place = self.w.op(f"lshr i64 {self.w.op(f'call i64 @llvm.cttz.i64(i64 {left}, i1 true)')}, 3")
        self._stored([*indices, self.w.op(f"add i64 {start}, {place}")], store)
        # (A byte may have several ones where a mask was made of other bytes.)
        byte = self.w.op(f"shl i64 255, {self.w.op(f'shl i64 {place}, 3')}")
        rest = self.w.op(f"and i64 {left}, {self.w.op(f'xor i64 {byte}, -1')}")
        self.w.put(f"store i64 {rest}, ptr {cell}")
        self.w.branch(self.w.op(f"icmp ne i64 {rest}, 0"), again, done)
        self.w.place(done)

    def _stored(self, indices: list[str], store: Callable[[list[str]], None]) -> None:
        """An element, and a look at what it was made of, here where it was."""
        store(indices)
        for x in self.floats or ():
            self.guard(self.w.op(f"fcmp ord double {x}, {double(0.0)}"), "a result that is NaN")
        if self.floats is not None:
            self.floats.clear()


class _Taken(ast.NodeTransformer):
    """Puts arrays in the place of what a mask selects of them."""

    def __init__(self, mask: str) -> None:
        self._mask = mask
        self.arrays: set[str] = set()

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        array, index = node.value, node.slice
        if isinstance(array, ast.Name) and isinstance(index, ast.Name) and index.id == self._mask:
            self.arrays.add(array.id)
            return array
        self.generic_visit(node)
        return node


@lru_cache(maxsize=256)
def masking_of(node: ast.Assign | ast.AugAssign) -> Masking | None:
    """What the text of a statement says, if it may store where a mask is true what is made of elements there."""
    target = node.target if isinstance(node, ast.AugAssign) else node.targets[0]
    if isinstance(node, ast.Assign) and len(node.targets) > 1:
        return None
    if not isinstance(target, ast.Subscript) or not isinstance(target.value, ast.Name):
        return None
    mask = target.slice
    if not isinstance(mask, ast.Name) or (
        isinstance(node, ast.AugAssign) and isinstance(node.op, ast.MatMult)
    ):
        return None
    taken = _Taken(mask.id)
    value = taken.visit(copy.deepcopy(node.value))
    other = (ast.Call, ast.Subscript, ast.Tuple)  # elements from other places, or in another order
    if not all(is_elementwise(each, set()) and not isinstance(each, other) for each in ast.walk(value)):
        return None
    numbers = made_of(ast.walk(value), set()) - taken.arrays
    if mask.id in numbers or _read_bare(node.value, mask.id, taken.arrays):
        return None
    return Masking(target.value, mask, value, tuple(sorted(taken.arrays)), tuple(sorted(numbers)))


def _read_bare(node: ast.expr, mask: str, arrays: set[str]) -> bool:
    """Whether arrays are met otherwise than by what a mask selects of them."""
    taken = {
        id(each.value)
        for each in ast.walk(node)
        if isinstance(each, ast.Subscript) and isinstance(each.slice, ast.Name) and each.slice.id == mask
    }
    return any(
        isinstance(each, ast.Name) and each.id in arrays and id(each) not in taken for each in ast.walk(node)
    )


__all__ = ["Masked", "masking_of"]
