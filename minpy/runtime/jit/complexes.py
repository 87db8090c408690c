"""LLVM code for complex numbers: pairs of doubles, with the formulas of CPython and of NumPy's scalars."""

from __future__ import annotations

import sys
from typing import Any

from minpy.runtime.jit.expressions import PAIR, Expressions
from minpy.runtime.jit.ir import double
from minpy.runtime.jit.kinds import COMPLEX, Unsupported
from minpy.runtime.jit.leaving import INFINITY
from minpy.runtime.jit.numpy_loops import complex_product
from minpy.runtime.jit.values import Val, scalar

# Later versions of Python do not make a complex number of the other operand first.
_MIXES = sys.version_info < (3, 14)


class Complexes(Expressions):
    """Arithmetic of complex scalars."""

    def parts(self, value: Val) -> tuple[str, str]:
        """The real and the imaginary part of a number."""
        if value.rep == "c":
            real, imag = (self.w.op(f"extractelement {PAIR} {value.x}, i32 {i}") for i in (0, 1))
            return real, imag
        return self.as_double(value, exact=True).x, double(0.0)

    def paired(self, kind: str, real: str, imag: str) -> Val:
        """The complex number with these parts."""
        half = self.w.op(f"insertelement {PAIR} undef, double {real}, i32 0")
        return scalar(kind, "c", self.w.op(f"insertelement {PAIR} {half}, double {imag}, i32 1"))

    def complex_binary(self, symbol: str, kind: str, one: Val, other: Val) -> Val:
        """Code for an operator between scalars, one of them complex."""
        if not _MIXES and one.rep != other.rep:
            raise Unsupported("arithmetic of a complex number and another one")
        if "str" in one.kinds | other.kinds or {one.rep, other.rep} & {"b"}:
            raise Unsupported("arithmetic of a complex number with this")
        a, b = self.parts(one), self.parts(other)
        if symbol in ("+", "-"):
            name = {"+": "fadd", "-": "fsub"}[symbol]
            found = tuple(self.w.op(f"{name} double {x}, {y}") for x, y in zip(a, b, strict=True))
        elif symbol == "*":
            found = self._product_of(a, b)
        elif symbol == "/" and kind == "complex":
            found = self._quotient_of(a, b)
        else:
            raise Unsupported(f"{symbol} of complex numbers")
        operands = (*a, *b)
        for x in found:
            if self.floats is not None:
                self.checked(x, *(each for each in operands if each in self.floats))
            else:
                self.finite(x)
        return self.paired(kind, *found)

    def finite(self, x: str) -> None:
        """Leave the loop for infinity and NaN."""
        self.guard(self.are_finite(x), "a complex number that is infinite or NaN")

    def _product_of(self, a: tuple[str, str], b: tuple[str, str]) -> tuple[str, str]:
        w = self.w
        real = w.op(
            f"fsub double {w.op(f'fmul double {a[0]}, {b[0]}')}, {w.op(f'fmul double {a[1]}, {b[1]}')}"
        )
        imag = w.op(
            f"fadd double {w.op(f'fmul double {a[0]}, {b[1]}')}, {w.op(f'fmul double {a[1]}, {b[0]}')}"
        )
        return real, imag

    def array_product(self, one: Val, other: Val) -> Val:
        """A product as NumPy's loops compute it, where `numpy_loops.complex_product` knows how."""
        a, b = self.parts(one), self.parts(other)
        w = self.w
        if complex_product() == "fused":
            minus = w.op(f"fneg double {w.op(f'fmul double {a[1]}, {b[1]}')}")
            second = w.op(f"fmul double {a[1]}, {b[0]}")
            found = self.intrinsic("fma", a[0], b[0], minus), self.intrinsic("fma", a[0], b[1], second)
        else:
            found = self._product_of(a, b)
        operands = (*a, *b)
        for x in found:
            if self.floats is not None:
                self.checked(x, *(each for each in operands if each in self.floats))
            else:
                self.finite(x)
        return self.paired("complex128", *found)

    def _quotient_of(self, a: tuple[str, str], b: tuple[str, str]) -> tuple[str, str]:
        # As CPython's: by the larger part of the divisor.
        w = self.w
        sizes = [self.intrinsic("fabs", x) for x in b]
        for size in sizes:
            self.guard(w.op(f"fcmp olt double {size}, {INFINITY}"), "a division by infinity or NaN")
        swapped = w.op(f"fcmp olt double {sizes[0]}, {sizes[1]}")
        large, small = (w.op(f"select i1 {swapped}, double {b[1 - i]}, double {b[i]}") for i in (0, 1))
        self.guard(w.op(f"fcmp une double {large}, {double(0.0)}"), "a division by zero")
        ratio = w.op(f"fdiv double {small}, {large}")
        denominator = w.op(f"fadd double {large}, {w.op(f'fmul double {small}, {ratio}')}")
        scaled = [w.op(f"fmul double {x}, {ratio}") for x in a]
        real = w.op(
            f"fadd double {w.op(f'select i1 {swapped}, double {scaled[0]}, double {a[0]}')}, "
            f"{w.op(f'select i1 {swapped}, double {a[1]}, double {scaled[1]}')}"
        )
        first = w.op(f"select i1 {swapped}, double {scaled[1]}, double {a[1]}")
        second = w.op(f"select i1 {swapped}, double {a[0]}, double {scaled[0]}")
        imag = w.op(f"fsub double {first}, {second}")
        return w.op(f"fdiv double {real}, {denominator}"), w.op(f"fdiv double {imag}, {denominator}")

    def complex_negative(self, value: Val) -> Val:
        """Code for ``-z``."""
        return Val(value.kinds, "c", self.w.op(f"fneg {PAIR} {value.x}"), value.tag)

    def complex_equal(self, one: Val, other: Val) -> str:
        """Whether two numbers are equal, one of them complex."""
        pairs = zip(self.parts(one), self.parts(other), strict=True)
        same = [self.w.op(f"fcmp oeq double {x}, {y}") for x, y in pairs]
        return self.w.op(f"and i1 {same[0]}, {same[1]}")

    def complex_attribute(self, value: Val, name: str) -> Any:
        """``z.real`` and ``z.imag``."""
        kind = {"complex": "float", "complex128": "float64"}[value.kind or ""]
        return scalar(kind, "d", self.parts(value)[name == "imag"])

    def complex_size(self, value: Val) -> Val:
        """``abs(z)`` of Python's complex numbers."""
        if value.kind != "complex":
            raise Unsupported("abs() of NumPy's complex numbers")
        parts = self.parts(value)
        for x in parts:
            self.finite(x)
        size = self.outside("hypot", *parts)
        self.finite(size)
        return scalar("float", "d", size)

    def complex_of(self, arguments: list[Any]) -> Val:
        """``complex(x)`` and ``complex(x, y)``."""
        values = [self.real_operand(each) for each in arguments]
        if not 1 <= len(values) <= 2:
            raise Unsupported("complex() with these arguments")
        if len(values) == 1 and values[0].rep == "c":
            return Val(frozenset(("complex",)), "c", values[0].x, scalar("complex", "c", "").tag)
        if any(
            each.kinds & COMPLEX or not each.kinds <= {"int", "float", "float64", "int64"} for each in values
        ):
            raise Unsupported("complex() of these types")
        real = self.as_double(values[0], exact=True).x
        imag = self.as_double(values[1], exact=True).x if len(values) == 2 else double(0.0)
        return self.paired("complex", real, imag)

    def real_operand(self, value: Any) -> Val:
        """A number as an operand."""
        raise NotImplementedError
