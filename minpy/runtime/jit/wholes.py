"""LLVM code for small arrays in a loop: views of them, arithmetic on them, stores into them, and new ones.

An expression over arrays is not computed operator by operator: `Lazy` values pass from one to the next the code for
a single element, and what finally stores or holds the result makes one loop of it. What an element needs is the
scalar code of `operators`, whose guards are looked at once, after the loop.
"""

from __future__ import annotations

import ast
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from minpy.runtime.jit import kinds as kinds_
from minpy.runtime.jit.bounds import Bounds
from minpy.runtime.jit.ir import double
from minpy.runtime.jit.kinds import BOOLS, Unsupported
from minpy.runtime.jit.leaving import constant_of
from minpy.runtime.jit.numpy_loops import complex_product
from minpy.runtime.jit.operators import COMPARISONS, Operators
from minpy.runtime.jit.values import Lazy, Ref, Val, scalar

# Operators of arrays of integers that never warn: what does not fit is cut off.
WRAPPING = {"+": "add", "-": "sub", "*": "mul"}
_LONG = 10  # a division or a root, in other operations
_WORK = 3
SMALL_ENOUGH = frozenset(kinds_.NUMPY_INTS) - {"uint64"}


def is_whole(value: Any) -> bool:
    """Whether a value is an array with axes."""
    return isinstance(value, Lazy) or (isinstance(value, Ref) and bool(value.dims))


def kind_of(value: Any) -> str:
    """The kind of an array's elements."""
    return value.kind if isinstance(value, Lazy) else value.type.kind


def refs_of(value: Any) -> tuple[Ref, ...]:
    return value.refs if isinstance(value, Lazy) else (value,) if isinstance(value, Ref) else ()


def is_plain(value: Any, dims: tuple[str, ...]) -> bool:
    """Whether the elements of an array are those of arrays in memory with the same indices (see `Lazy`)."""
    if isinstance(value, Lazy) and not (value.plain and not value.mixed and not value.breaks):
        return False
    if len(value.dims) != len(dims):
        return False
    return all((one == "1") == (other == "1") for one, other in zip(value.dims, dims, strict=True))


def _number(x: str) -> float | None:
    """The value of an operand of type double that is a constant."""
    if not x.startswith("0x"):
        return None
    return struct.unpack("<d", struct.pack("<Q", int(x, 16)))[0]


def breaks_of(value: Any) -> tuple[tuple[int, str], ...]:
    """Where loops over the elements of an array are cut (see `Lazy`)."""
    if not isinstance(value, Lazy):
        return ()
    return tuple((axis, x) for axis, x in value.breaks if value.dims[axis] != "1")


class Wholes(Bounds):
    """Arrays as values."""

    def __init__(self) -> None:
        super().__init__()
        self.opaques: dict[
            str, str
        ] = {}  # what numbers are called in the loop over elements that is being written
        self.whole_arrays = False  # whether the code runs over elements
        self.made = False  # whether the code makes arrays
        self.places_made = 0  # at how many places
        self.instead: dict[
            Ref, Ref
        ] = {}  # what stands for arrays in the loop over elements that is being written
        self.unnamed: set[str] = set()  # the owners of new arrays that no variable holds
        self.head = "%head"
        self.idents = ""  # where the next identity of an array is
        # Of an index in a loop that is cut: where its present piece begins, and at which positions pieces do.
        self.pieces: dict[str, tuple[str, frozenset[str]]] = {}
        # Elements of expressions for which there is code in the loop that is being written, and the block that it ends.
        self.computed_elements: dict[tuple[Any, ...], tuple[Lazy, Val, int]] = {}
        self.written: frozenset[str] = frozenset()  # the arrays that came in and may be stored into

    # Shapes, and the code for one element.

    def whole(self, value: Any) -> Any:
        """A value that is to be an array."""
        if not is_whole(value):
            raise Unsupported("a value that is no array")
        if isinstance(value, Ref) and value.type.sequence:
            raise Unsupported("a list, a string or a tuple as an array")
        return value

    def common(self, *values: Any) -> tuple[str, ...]:
        """The shape that arrays are stretched to; leaves the loop where they do not fit at once."""
        shapes = [value.dims for value in values]
        rank = max(map(len, shapes))
        dims = []
        for axis in range(rank):
            sizes = [shape[axis - rank] for shape in shapes if len(shape) >= rank - axis]
            sizes = list(dict.fromkeys(size for size in sizes if size != "1"))
            for other in sizes[1:]:
                self.guard(self.w.op(f"icmp eq i64 {sizes[0]}, {other}"), "arrays whose shapes do not fit")
            known = [size for size in sizes if constant_of(size) is not None]
            dims.append((known or sizes or ["1"])[0])
        for value in values:
            self._computed(value, tuple(dims))
        return tuple(dims)

    def _computed(self, value: Any, dims: tuple[str, ...]) -> None:
        """Leave the loop where an expression is stretched to no elements: NumPy computes it nevertheless."""
        if isinstance(value, Lazy):
            for axis, dim in enumerate(reversed(dims), 1):
                if dim != "1" and (axis > len(value.dims) or value.dims[-axis] == "1"):
                    self.guard(
                        self.w.op(f"icmp sgt i64 {dim}, 0"), "an expression that is stretched to nothing"
                    )

    def at(self, value: Any, indices: list[str]) -> Val:
        """Code for one element of an array, or the scalar that a value is."""
        if isinstance(value, Val):
            return value
        own = indices[len(indices) - len(value.dims) :]
        own = ["0" if dim == "1" else index for dim, index in zip(value.dims, own, strict=True)]
        if isinstance(value, Lazy):
            key = id(value), *own
            known = self.computed_elements.get(key)
            if known is None or known[2] != self.w.blocks:
                known = self.computed_elements[key] = value, value.element(own), self.w.blocks
            return known[1]
        return self.read(self.item(self.instead.get(value, value), own, checked=False))

    def mapped(self, kind: str, function: Callable[..., Val], *operands: Any, cost: int = 1) -> Lazy:
        """What a function of scalars makes of arrays and scalars, element by element; `cost` as in `Lazy`."""
        wholes = [self.whole(each) for each in operands if not isinstance(each, Val)]
        dims = self.common(*wholes)
        operands = tuple(each if isinstance(each, Val) else self.stretched(each, dims) for each in operands)
        wholes = [each for each in operands if not isinstance(each, Val)]

        def element(indices: list[str]) -> Val:
            value = function(
                *(
                    self.opaque(each) if not refs and isinstance(each, Val) else self.at(each, indices)
                    for each in operands
                )
            )
            if value.kind != kind:
                raise Unsupported(
                    f"elements that are {'/'.join(sorted(value.kinds))} here and {kind} in NumPy"
                )
            return value

        refs = tuple(ref for each in wholes for ref in refs_of(each))
        mixed = any(isinstance(each, Lazy) and each.mixed for each in wholes)
        breaks = tuple(dict.fromkeys(place for each in wholes for place in breaks_of(each)))
        plain = all(is_plain(each, dims) for each in wholes)
        cost += sum(each.cost for each in wholes if isinstance(each, Lazy))
        return Lazy(kind, dims, element, refs, mixed, breaks, plain, cost)

    def stretched(self, value: Any, dims: tuple[str, ...]) -> Any:
        """An operand of a loop over elements with these extents.

        What is used again in each row is computed once before, if that is work, or if its elements do not lie side by
        side.
        """
        row = value.dims[-1] if value.dims else "1"
        outer = (*["1"] * (len(dims) - len(value.dims)), *value.dims)[:-1]
        if row == "1" or not any(one == "1" != other for one, other in zip(outer, dims, strict=False)):
            return value
        if isinstance(value, Lazy):
            return self.held(value) if value.cost >= _WORK else value
        if value.type.unit or value.type.sequence:
            return value
        copy = Lazy(value.type.kind, value.dims, lambda indices: self.at(value, indices), (value,))
        return self.held(copy)

    def held(self, value: Any) -> Ref:
        """An array expression, computed into a new array; a `Ref` as it is."""
        raise NotImplementedError

    def opaque(self, value: Val) -> Val:
        """A number of which the compiler knows nothing before the loop over elements that is being written.

        What is made of numbers and indices alone it might else compute earlier, or itself, and nobody would see what
        it warns of.
        """
        if self.floats is None or value.rep != "d":
            return value
        if value.x not in self.opaques:
            self.opaques[value.x] = "%" + self.w.fresh("opaque")
        return replace(value, x=self.opaques[value.x])

    def converted(self, value: Val, kind: str) -> Val:
        """A scalar as one of a kind that NumPy would cast it to."""
        if value.kind == kind:
            return value
        if "str" in value.kinds:
            raise Unsupported("a string among arrays")
        if kind == "complex128":
            return scalar(kind, "c", self.as_complex(value).x)
        if kind == "float64":
            return scalar(kind, "d", self.as_double(value).x)
        if kind == "float32":
            x = self.narrowed(self.as_double(value, exact=True).x)
            return scalar(kind, "d", self.w.op(f"fpext float {x} to double"))
        if kind in BOOLS or value.rep == "d":
            raise Unsupported(f"{'/'.join(sorted(value.kinds))} as {kind}")
        x = self.as_i64(value).x
        self.guard_range(x, *kinds_.RANGES[kind], f"an integer does not fit {kind}")
        return scalar(kind, "i", x)

    def _kinds(self, symbol: str, left: Any, right: Any) -> tuple[str, str]:
        found = set()
        sides = [
            [(kind_of(each), True)] if is_whole(each) else [(kind, False) for kind in sorted(each.kinds)]
            for each in (left, right)
        ]
        for one, one_whole in sides[0]:
            for other, other_whole in sides[1]:
                found.add(kinds_.array_kinds(symbol, one, one_whole, other, other_whole))
        if len(found) != 1:
            raise Unsupported("arithmetic of an array and a number whose type changes")
        return found.pop()

    def _sides(self, left: Any, right: Any) -> tuple[Any, Any]:
        left, right = (self.whole(each) if is_whole(each) else self._operand(each) for each in (left, right))
        return left, right

    def _cast(self, value: Any, kind: str) -> Any:
        """An operand of a loop for elements of `kind`: scalars are converted here, before it."""
        if isinstance(value, Val):
            return self.converted(value, kind)
        if kind_of(value) == kind:
            return value
        return self.mapped(kind, lambda each: self.converted(each, kind), value)

    # Operators.

    def binary(self, symbol: str, left: Any, right: Any) -> Any:
        if not (is_whole(left) or is_whole(right)):
            return super().binary(symbol, left, right)
        left, right = self._sides(left, right)
        if symbol == "@":
            return self.product(left, right)
        if symbol == "**":
            return self._whole_power(left, right)
        operand, result = self._kinds(symbol, left, right)
        if operand == "complex128" and symbol == "*" and complex_product():
            sides = self._cast(left, operand), self._cast(right, operand)
            return self.mapped(operand, self.array_product, *sides)
        if operand == "complex128" and symbol not in ("+", "-"):
            function = {"*": np.multiply, "/": np.divide}.get(symbol)
            if function is None:
                raise Unsupported(f"{symbol} of complex arrays")
            return self.by_numpy(function, left, right)

        def element(one: Val, other: Val) -> Val:
            if symbol in WRAPPING and operand in SMALL_ENOUGH:
                return scalar(
                    operand, "i", self.folded(operand, f"{WRAPPING[symbol]} i64 {one.x}, {other.x}")
                )
            return Operators.binary(self, symbol, one, other)

        cost = _LONG if symbol in ("/", "//", "%") else 1
        return self.mapped(result, element, self._cast(left, operand), self._cast(right, operand), cost=cost)

    def folded(self, kind: str, text: str) -> str:
        """An integer of 64 bits cut to those of `kind`, as NumPy's arrays do it."""
        x = self.w.op(text)
        bits, unsigned = int(kind.removeprefix("u")[3:]), kind.startswith("u")
        if bits < 64:
            x = self.w.op(f"trunc i64 {x} to i{bits}")
            x = self.w.op(f"{'z' if unsigned else 's'}ext i{bits} {x} to i64")
        return x

    def product(self, left: Any, right: Any) -> Any:
        raise NotImplementedError

    def _whole_power(self, left: Any, right: Any) -> Lazy:
        # NumPy has short ways for these exponents; all else is its own `pow`.
        if not isinstance(right, Val) or not right.kinds <= {"int", "float"}:
            raise Unsupported("a power with an array as exponent")
        kind = kind_of(left)
        if kind == "complex128":
            if right.x not in ("2", double(2.0)):
                raise Unsupported("a power of a complex array with this exponent")
            if complex_product():
                return self.mapped(kind, lambda each: self.array_product(each, each), left)
            return self.by_numpy(np.square, left)
        if (right.x == "2" and kind in ("float64", "int64")) or (
            right.x == double(2.0) and kind == "float64"
        ):
            return self.mapped(kind, lambda each: Operators.binary(self, "*", each, each), left)
        if right.x == double(0.5) and kind == "float64":
            return self.mapped("float64", self.root, left, cost=_LONG)
        exponent = constant_of(right.x) if right.rep == "i" else _number(right.x)
        if kind == "float64" and exponent is not None and exponent not in (-1, 0, 1, 2, 0.5):
            return self.by_numpy(np.power, left, scalar("float64", "d", double(float(exponent))))
        raise Unsupported("a power of an array with this exponent")

    def by_numpy(self, function: np.ufunc, *operands: Any) -> Ref:
        """An element-wise function computed by NumPy's loop."""
        raise NotImplementedError

    def root(self, value: Val) -> Val:
        """NumPy's square root of a float64."""
        if self.floats is not None:
            return scalar("float64", "d", self.checked(self.intrinsic("sqrt", value.x), value.x))
        self.guard(
            self.w.op(f"fcmp oge double {value.x}, {double(0.0)}"),
            "a square root of a negative number or NaN",
        )
        return scalar("float64", "d", self.intrinsic("sqrt", value.x))

    def compare(self, op: ast.cmpop, left: Any, right: Any) -> Any:
        if not (is_whole(left) or is_whole(right)):
            return super().compare(op, left, right)
        if type(op) not in COMPARISONS:
            raise Unsupported(f"the comparison {type(op).__name__} of arrays")
        left, right = self._sides(left, right)
        operand, _ = self._kinds("+", left, right)

        def function(one: Val, other: Val) -> Val:
            return scalar("bool_", "b", Operators.compare(self, op, one, other).x)

        return self.mapped("bool_", function, self._cast(left, operand), self._cast(right, operand))

    def unary(self, node: ast.UnaryOp, value: Any) -> Any:
        if not is_whole(value):
            return super().unary(node, value)
        kind = kind_of(self.whole(value))
        if isinstance(node.op, ast.Invert) and kind == "bool_":
            return self.mapped(
                kind, lambda each: scalar(kind, "b", self.w.op(f"xor i1 {each.x}, true")), value
            )
        if isinstance(node.op, ast.Not) or kind in BOOLS:
            raise Unsupported("this operator of an array")
        if isinstance(node.op, ast.UAdd):
            return self.mapped(kind, lambda each: each, value)
        return self.mapped(kind, lambda each: Operators.unary(self, node, each), value)
