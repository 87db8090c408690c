"""Slices that move: where ``a[:, k]`` and ``x[i : i + n]`` lie, as a sum of multiples of ``k`` and ``i``.

A compiled block's geometry holds for all values of such numbers that leave extents and strides as they are: what is
added to the array's address is `Form`, and the values for which that is so are `Limit`.
"""

from __future__ import annotations

import ast
from dataclasses import field
from typing import Any

import numpy as np

from minpy.records import dataclass
from minpy.runtime.fuse.ir import Irregular, Program

_MOST_TERMS = 2  # numbers in one form
_LARGEST = 1 << 20  # factors of numbers in an index


@dataclass(frozen=True)
class Form:
    """A whole number: a constant, and multiples of names by their numbers."""

    constant: int = 0
    terms: tuple[tuple[int, int], ...] = ()  # (name, factor), by name

    def __add__(self, other: Form) -> Form:
        factors = dict(self.terms)
        for name, factor in other.terms:
            factors[name] = factors.get(name, 0) + factor
        terms = tuple(sorted((name, factor) for name, factor in factors.items() if factor))
        return Form(self.constant + other.constant, terms)

    def __mul__(self, factor: int) -> Form:
        terms = tuple((name, each * factor) for name, each in self.terms if factor)
        return Form(self.constant * factor, terms)

    def at(self, values: tuple[Any, ...]) -> int:
        """Its value."""
        return self.constant + sum(values[name] * factor for name, factor in self.terms)

    def moves(self) -> Form:
        """Without the constant."""
        return Form(0, self.terms)


@dataclass(frozen=True)
class Limit:
    """A form must be at least `low` and at most `high`."""

    form: Form
    low: int
    high: int


@dataclass(frozen=True)
class Cut:
    """A slice of an index."""

    lower: Form | None
    upper: Form | None
    step: int | None


@dataclass
class Place:
    """Where a leaf begins in its array, in bytes, and for what numbers the rest of its geometry is as it is."""

    offset: Form = field(default_factory=Form)
    limits: set[Limit] = field(default_factory=set)
    # The index, if it is to be made anew: a `Form`, a `Cut` or a constant, or a tuple of them.
    index: Any = None


class Moving:
    """Which whole numbers of a block's names move its slices, and where these are.

    Parameters
    ----------
    values : tuple
        Of the names, and of what chains lead to.

    Attributes
    ----------
    names : set of int
        The numbers that may vary.
    """

    def __init__(self, program: Program, values: tuple[Any, ...]) -> None:
        self.program, self.values = program, values
        fixed = set(program.whole.values()) | program.pinned
        self.names = {
            k for k in range(program.names) if type(values[k]) is int and k not in fixed and program.uses[k]
        }
        while True:
            try:
                self._places = {leaf: self._place(leaf) for leaf in program.bases}
            except _Pinned as pinned:
                self.names -= pinned.names
                continue
            return

    def place(self, leaf: int) -> Place:
        """Where a leaf is."""
        return self._places[leaf]

    def limits(self) -> list[Limit]:
        """All that must hold for what moves."""
        found: set[Limit] = set()
        for each in self._places.values():
            found |= each.limits
        return sorted(found, key=repr)

    def _place(self, leaf: int) -> Place:
        place = Place()
        brackets = []
        node: ast.expr = self.program.node(leaf)
        while isinstance(node, ast.Subscript):
            brackets.append(node.slice)
            node = node.value
        array = self.values[self.program.bases[leaf]]
        mine = {
            self.program.place(each.id)
            for index in brackets
            for each in ast.walk(index)
            if isinstance(each, ast.Name)
        } & self.names
        if not mine or type(array) is not np.ndarray:
            return place
        try:
            self._follow(brackets, array, place)
        except Irregular:
            raise _Pinned(mine) from None
        return place

    def _follow(self, brackets: list[ast.expr], array: np.ndarray, place: Place) -> None:
        """Go through pairs of brackets, the last one first."""
        axes = list(zip(array.shape, array.strides, strict=True))
        for each in reversed(brackets):
            items = each.elts if isinstance(each, ast.Tuple) else [each]
            axes = self._indexed(items, axes, place)
        if place.offset.terms and len(brackets) == 1:
            parts = [self._part(each) for each in items]
            place.index = tuple(parts) if isinstance(brackets[0], ast.Tuple) else parts[0]
        if len(place.offset.terms) > _MOST_TERMS:
            raise _Pinned({name for name, _ in place.offset.terms})

    def _part(self, node: ast.expr) -> Any:
        """One part of an index, as `Place` has it."""
        match node:
            case ast.Slice(lower=lower, upper=upper, step=step):
                ends = [
                    None if each is None or self._is_none(each) else self._form(each)
                    for each in (lower, upper)
                ]
                return Cut(*ends, None if step is None else self._fixed(step))
            case ast.Constant(value=None):
                return None
            case ast.Constant(value=value) if value is Ellipsis:
                return Ellipsis
            case ast.Name() if self._is_none(node):
                return None
        return self._form(node)

    def _indexed(
        self, items: list[ast.expr], axes: list[tuple[int, int]], place: Place
    ) -> list[tuple[int, int]]:
        """The axes after one pair of brackets; what that adds goes to `place`."""

        def takes(each: ast.expr) -> bool:
            return not (
                isinstance(each, ast.Constant) and each.value in (None, Ellipsis)
            ) and not self._is_none(each)

        left = len(axes) - sum(map(takes, items))
        if not any(isinstance(each, ast.Constant) and each.value is Ellipsis for each in items):
            items = [*items, ast.Constant(Ellipsis)]
        found: list[tuple[int, int]] = []
        rest = iter(axes)
        for each in items:
            if isinstance(each, ast.Constant) and each.value is Ellipsis:
                found += [next(rest) for _ in range(left)]
            elif not takes(each):
                found.append((1, 0))
            elif isinstance(each, ast.Slice):
                found.append(self._sliced(each, *next(rest), place))
            else:
                self._numbered(self._form(each), *next(rest), place)
        return found

    def _numbered(self, form: Form, extent: int, stride: int, place: Place) -> None:
        if form.at(self.values) < 0:
            self._limit(form, -extent, -1, place)
            form = form + Form(extent)
        else:
            self._limit(form, 0, extent - 1, place)
        place.offset = place.offset + form * stride

    def _sliced(self, node: ast.Slice, extent: int, stride: int, place: Place) -> tuple[int, int]:
        step = 1 if node.step is None else self._fixed(node.step)
        if step < 1:
            raise Irregular
        lower = self._bound(node.lower, 0, extent, place)
        upper = self._bound(node.upper, extent, extent, place)
        length = upper + lower * -1
        now = length.at(self.values)
        self._limit(length, now, now, place)
        place.offset = place.offset + lower * stride
        return max(0, -(-now // step)), stride * step

    def _bound(self, node: ast.expr | None, default: int, extent: int, place: Place) -> Form:
        """One end of a slice, counted from the beginning of its axis."""
        if node is None or self._is_none(node):
            return Form(default)
        form = self._form(node)
        now = form.at(self.values)
        if 0 <= now <= extent:
            self._limit(form, 0, extent, place)
            return form
        if -extent <= now < 0:
            self._limit(form, -extent, -1, place)
            return form + Form(extent)
        if form.terms:
            raise _Pinned({name for name, _ in form.terms})  # beyond the ends: cut off
        return Form(0 if now < 0 else extent)

    @staticmethod
    def _limit(form: Form, low: int, high: int, place: Place) -> None:
        if len(form.terms) > _MOST_TERMS or any(abs(factor) > _LARGEST for _, factor in form.terms):
            raise _Pinned({name for name, _ in form.terms})
        if form.terms:
            place.limits.add(Limit(form, low, high))

    def _is_none(self, node: ast.expr) -> bool:
        match node:
            case ast.Name(id=name):
                return self.values[self.program.place(name)] is None
            case ast.Constant(value=None):
                return True
        return False

    def _fixed(self, node: ast.expr) -> int:
        form = self._form(node)
        if form.terms:
            raise _Pinned({name for name, _ in form.terms})
        return form.constant

    def _form(self, node: ast.expr) -> Form:
        match node:
            case ast.Constant(value=value):
                return Form(value)
            case ast.Name(id=name):
                number = self.program.place(name)
                if number in self.names:
                    return Form(0, ((number, 1),))
                return Form(int(self.values[number]))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._form(operand) * -1
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self._form(left) + self._form(right)
            case ast.BinOp(left=left, op=ast.Sub(), right=right):
                return self._form(left) + self._form(right) * -1
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                a, b = self._form(left), self._form(right)
                if not a.terms or not b.terms:
                    return a * b.constant if not b.terms else b * a.constant
                raise _Pinned({name for name, _ in (*a.terms, *b.terms)})
            case ast.BinOp(left=left, op=ast.FloorDiv(), right=right):
                return Form(self._fixed(left) // self._fixed(right))
        raise Irregular


class _Pinned(Exception):
    """Some numbers must stay what they are."""

    def __init__(self, names: set[int]) -> None:
        super().__init__(names)
        self.names = names
