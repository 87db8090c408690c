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


@dataclass(frozen=True)
class Circle:
    """The squares below which, and above which, a magnitude's is surely inside or outside, and which is looked for.

    `sure` is where it is noted whether that was told of all numbers.
    """

    low: str
    high: str
    inside: bool
    sure: str


class Magnitudes(WholeCalls):
    """Comparisons of magnitudes."""

    def _compare(self, node: ast.Compare) -> Any:
        sides = self._sides_of(node)
        return super()._compare(node) if sides is None else self._compared(*sides)

    def _call(self, node: ast.Call) -> Any:
        sides = self._sides_of(node)
        return super()._call(node) if sides is None else self._compared(*sides)

    def _sides_of(self, node: ast.expr) -> tuple[ast.cmpop, ast.expr, ast.expr] | None:
        """How something is compared, and its two sides, of which one may be magnitudes; None if it is not that."""
        op: Any = None
        sides: list[ast.expr] = []
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _TURNED:
            op, sides = node.ops[0], [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and len(node.args) == 2 and not node.keywords:
            op, sides = _FUNCTIONS.get(self._known_function(node.func)), node.args
            op = op and op()
        if op is None or not any(map(self._may_be_magnitude, sides)):
            return None
        return op, sides[0], sides[1]

    def test_of_magnitudes(self, node: ast.expr) -> tuple[ast.cmpop, ast.expr, ast.expr] | None:
        """How magnitudes are compared, what they are of, and the other side; None if it is not that."""
        sides = self._sides_of(node)
        if sides is None:
            return None
        op, left, right = sides
        if self._may_be_magnitude(left) == self._may_be_magnitude(right):
            return None
        if self._may_be_magnitude(right):
            op, left, right = _TURNED[type(op)](), right, left
        return op, left.args[0], right  # type: ignore[attr-defined]

    def radius_of(self, node: ast.expr) -> Val | None:
        """The radius of a circle; None if it is none."""
        found = self.expression(node)
        number = self.constant(found.value) if isinstance(found, Known) else found
        if isinstance(number, Val) and number.kinds <= _NUMBERS and len(number.kinds) == 1:
            return number
        return None

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

    def circle(self, op: ast.cmpop, radius: Val) -> Circle:
        """What is reckoned of a circle before its elements are looked for."""
        r = self.as_double(radius, exact=True).x
        square = self.w.op(f"fmul double {r}, {r}")
        low, high = (self.w.op(f"fmul double {square}, {double(each)}") for each in (1 - _NEAR, 1 + _NEAR))
        small = self.w.op(f"fcmp ogt double {r}, {double(_LEAST)}")
        large = self.w.op(f"fcmp olt double {r}, {double(_GREATEST)}")
        sure = self.w.alloca("i1", "sure")
        self.w.put(f"store i1 {self.w.op(f'and i1 {small}, {large}')}, ptr {sure}")
        return Circle(low, high, isinstance(op, (ast.Lt, ast.LtE)), sure)

    def lies_there(self, circle: Circle, element: Ref) -> str:
        """Whether a complex number lies inside, or outside; its circle is not `sure` any more where that is not."""
        # (Part by part: of pairs the compiler takes one at a time.)
        parts = (self.w.op(f"getelementptr i8, ptr {element.pointer}, i64 {offset}") for offset in (0, 8))
        numbers = [self.w.op(f"load double, ptr {each}, align 8") for each in parts]
        squares = [self.w.op(f"fmul double {x}, {x}") for x in numbers]
        size = self.w.op("fadd double {}, {}".format(*squares))
        inside = self.w.op(f"fcmp olt double {size}, {circle.low}")
        outside = self.w.op(f"fcmp ogt double {size}, {circle.high}")
        either = self.w.op(f"or i1 {inside}, {outside}")
        before = self.w.op(f"load i1, ptr {circle.sure}")
        self.w.put(f"store i1 {self.w.op(f'and i1 {before}, {either}')}, ptr {circle.sure}")
        return inside if circle.inside else outside

    def _inside(self, op: ast.cmpop, value: Any, radius: Val) -> Ref:
        """Which elements of a complex array lie inside a circle, or outside."""
        held = self.held(value)
        if len(held.dims) > 1:
            self._descending(held)
        new = self.fresh("bool", held.dims)
        circle = self.circle(op, radius)

        def look(indices: list[str]) -> None:
            found = self.lies_there(circle, self.item(held, indices, checked=False))
            self.write(self.item(new, indices, checked=False), scalar("bool_", "b", found))

        dims = self._unfolded(held.dims, [held, new])
        self.quietly(lambda: self.nest(dims, look))
        near, on = self.w.fresh("near"), self.w.fresh("on")
        self.w.branch(self.w.op(f"load i1, ptr {circle.sure}"), on, near)
        self.w.place(near)
        exact = self.compare(op, self.by_numpy(np.absolute, held), radius)
        self.quietly(lambda: self.fill(new, exact, apart=True))
        self.w.place(on)
        return new
