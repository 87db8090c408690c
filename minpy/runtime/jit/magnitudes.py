"""LLVM code for which complex numbers lie inside a circle: ``abs(z) < 2``, ``np.greater(np.abs(z), radius)``.

The magnitudes themselves take NumPy ten times as long as to compare their squares. These are enough unless one lies so
near the circle that rounding decides, or is out of the floats' range; then NumPy's loop computes the magnitudes.
"""

from __future__ import annotations

import ast
from typing import Any

import numpy as np

from minpy.records import dataclass
from minpy.runtime.jit.ir import double
from minpy.runtime.jit.values import Known, Ref, Val, scalar
from minpy.runtime.jit.wholecalls import WholeCalls
from minpy.runtime.jit.wholes import is_whole, kind_of

_FUNCTIONS = {np.less: ast.Lt, np.less_equal: ast.LtE, np.greater: ast.Gt, np.greater_equal: ast.GtE}
_TURNED = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE}
_NUMBERS = frozenset({"int", "float", "float64", "int64"})
_NEAR = 1e-12  # of the square: far more than what NumPy's magnitudes and our squares are rounded by
_LEAST, _GREATEST = 1e-100, 1e100  # radii whose squares are floats with all their places


@dataclass(frozen=True)
class _Magnitude:
    """The magnitudes of a complex array, which are not computed yet."""

    of: Any


class Magnitudes(WholeCalls):
    """Comparisons of magnitudes."""

    def _compare(self, node: ast.Compare) -> Any:
        if len(node.ops) == 1 and type(node.ops[0]) in _TURNED:
            sides = node.left, node.comparators[0]
            if any(self._may_be_magnitude(each) for each in sides):
                return self._compared(node.ops[0], *sides)
        return super()._compare(node)

    def _call(self, node: ast.Call) -> Any:
        if len(node.args) == 2 and not node.keywords and any(map(self._may_be_magnitude, node.args)):
            op = _FUNCTIONS.get(self._known_function(node.func))
            if op is not None:
                return self._compared(op(), *node.args)
        return super()._call(node)

    def _known_function(self, node: ast.expr) -> Any:
        """The function that a name stands for, if that is known; None else."""
        dotted = self.dotted(node)
        if dotted is None or dotted not in self.known:
            return None
        found = self.known[dotted]
        return found if callable(found) and getattr(found, "__hash__", None) else None

    def _may_be_magnitude(self, node: ast.expr) -> bool:
        if not isinstance(node, ast.Call) or len(node.args) != 1 or node.keywords:
            return False
        if isinstance(node.args[0], ast.Starred):
            return False
        function = self._known_function(node.func)
        return function is abs or function is np.absolute

    def _side(self, node: ast.expr) -> Any:
        if not isinstance(node, ast.Call) or not self._may_be_magnitude(node):
            return self.expression(node)
        value = self.expression(node.args[0])
        if is_whole(value) and kind_of(value) == "complex128":
            return _Magnitude(value)
        return self.call_known(self._known_function(node.func), [value], {})

    def _compared(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> Any:
        one = self._side(left)
        if not isinstance(one, _Magnitude):
            one = self.computed_before(one, right)
        elif any(isinstance(each, ast.Call) for each in ast.walk(right)):
            one = self._plainly_sized(one)
        other = self._side(right)
        for magnitude, radius, how in ((one, other, op), (other, one, _TURNED[type(op)]())):
            if isinstance(magnitude, _Magnitude) and not isinstance(radius, _Magnitude):
                number = self.constant(radius.value) if isinstance(radius, Known) else radius
                if isinstance(number, Val) and number.kinds <= _NUMBERS and len(number.kinds) == 1:
                    return self._inside(how, magnitude.of, number)
        return self.compare(op, self._plainly_sized(one), self._plainly_sized(other))

    def _plainly_sized(self, value: Any) -> Any:
        return self.by_numpy(np.absolute, value.of) if isinstance(value, _Magnitude) else value

    def _inside(self, op: ast.cmpop, value: Any, radius: Val) -> Ref:
        """Which elements of a complex array lie inside a circle, or outside."""
        held = self.held(value)
        if len(held.dims) > 1:
            self._descending(held)
        new = self.fresh("bool", held.dims)
        r = self.as_double(radius, exact=True).x
        square = self.w.op(f"fmul double {r}, {r}")
        low, high = (self.w.op(f"fmul double {square}, {double(each)}") for each in (1 - _NEAR, 1 + _NEAR))
        small = self.w.op(f"fcmp ogt double {r}, {double(_LEAST)}")
        large = self.w.op(f"fcmp olt double {r}, {double(_GREATEST)}")
        sure = self.w.alloca("i1", "sure")
        self.w.put(f"store i1 {self.w.op(f'and i1 {small}, {large}')}, ptr {sure}")
        wants_inside = isinstance(op, (ast.Lt, ast.LtE))

        def look(indices: list[str]) -> None:
            # (Part by part: of pairs the compiler takes one at a time.)
            place = self.item(held, indices, checked=False).pointer
            parts = (self.w.op(f"getelementptr i8, ptr {place}, i64 {offset}") for offset in (0, 8))
            numbers = [self.w.op(f"load double, ptr {each}, align 8") for each in parts]
            squares = [self.w.op(f"fmul double {x}, {x}") for x in numbers]
            size = self.w.op("fadd double {}, {}".format(*squares))
            inside = self.w.op(f"fcmp olt double {size}, {low}")
            outside = self.w.op(f"fcmp ogt double {size}, {high}")
            found = scalar("bool_", "b", inside if wants_inside else outside)
            self.write(self.item(new, indices, checked=False), found)
            either = self.w.op(f"or i1 {inside}, {outside}")
            before = self.w.op(f"load i1, ptr {sure}")
            self.w.put(f"store i1 {self.w.op(f'and i1 {before}, {either}')}, ptr {sure}")

        dims = self._unfolded(held.dims, [held, new])
        self.quietly(lambda: self.nest(dims, look))
        near, on = self.w.fresh("near"), self.w.fresh("on")
        self.w.branch(self.w.op(f"load i1, ptr {sure}"), on, near)
        self.w.place(near)
        exact = self.compare(op, self.by_numpy(np.absolute, held), radius)
        self.quietly(lambda: self.fill(new, exact, apart=True))
        self.w.place(on)
        return new
