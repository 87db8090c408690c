"""LLVM code for powers, as Python and the C library compute them."""

from __future__ import annotations

from functools import cache

from minpy.runtime.jit import remembered
from minpy.runtime.jit.complexes import Complexes
from minpy.runtime.jit.engine import c_library
from minpy.runtime.jit.ir import double
from minpy.runtime.jit.kinds import INTS, MIXABLE, RANGES, Unsupported
from minpy.runtime.jit.leaving import constant_of
from minpy.runtime.jit.values import Val

# How far the C library's `pow` is from the exact power, in last places: by its own account less than 0.511 and
# 1.5 * 2**-15 for each unit of the power's natural logarithm, which stays below 84 here.
_SURE = 0.48
_LEAST, _GREATEST = 2.0**-120, 2.0**120


class Powers(Complexes):
    """Powers of scalars."""

    def exact(self, name: str, a: str, b: str) -> str:
        """A sum, difference or product of integers that fits 64 bits."""
        raise NotImplementedError

    def power_of(self, kinds: frozenset[str], tag: str, one: Val, other: Val) -> Val:
        """Code for ``**`` of scalars."""
        if kinds <= INTS and one.rep == other.rep == "i":
            exponent = constant_of(other.x)
            if exponent is None or not 0 <= exponent <= 16:
                raise Unsupported("a power of integers whose exponent is not a small constant")
            x = "1"
            for _ in range(exponent):
                x = self.exact("smul", x, one.x) if x != "1" else one.x
            for kind in kinds - {"int", "int64"}:
                self.guard_range(x, *RANGES[kind], f"an overflow of {kind}")
            return Val(kinds, "i", x, tag)
        if not kinds <= {"float", "float64"} or not (one.kinds | other.kinds) <= MIXABLE:
            raise Unsupported("a power of a value that may be an integer or a float")
        a, b = self.as_double(one, exact=True).x, self.as_double(other, exact=True).x
        if other.rep == "i" and constant_of(other.x) is None:
            return Val(kinds, "d", self._remembered(a, other.x, b), tag)
        return Val(kinds, "d", self.power(a, b), tag)

    def power(self, a: str, b: str) -> str:
        """The C library's ``pow``, away from all special cases."""
        return self._looked_at(a, b)[0]

    def _looked_at(self, a: str, b: str) -> tuple[str, str]:
        """A power, and whether nothing was to be said against it."""
        zero, fine = double(0.0), "true"

        def guard(condition: str, reason: str) -> None:
            nonlocal fine
            self.guard(condition, reason)
            fine = self.w.op(f"and i1 {fine}, {condition}")

        for operand in (a, b):
            guard(self.are_finite(operand), "a power of infinity or NaN")
        whole = self.w.op(f"fcmp oeq double {b}, {self.intrinsic('floor', b)}")
        positive = self.w.op(f"fcmp oge double {a}, {zero}")
        guard(self.w.op(f"or i1 {positive}, {whole}"), "a power of a negative number")
        rising = self.w.op(f"fcmp oge double {b}, {zero}")
        nonzero = self.w.op(f"fcmp une double {a}, {zero}")
        guard(self.w.op(f"or i1 {nonzero}, {rising}"), "a negative power of zero")
        x = self._rounded_power(a, b) if b in (double(0.5), double(2.0)) and pow_is_close() else ""
        x = x or self.outside("pow", a, b)
        guard(self.are_finite(x), "a power that overflows")
        return x, fine

    def _remembered(self, a: str, n: str, b: str) -> str:
        """The power `n`, which is `b` as a float, from the table of those that were computed before if it is there."""
        w = self.w
        self.externals[remembered.NAME] = 0
        w.declarations.add(f"@{remembered.SYMBOL} = external global i64")
        place = w.op(
            f"getelementptr {remembered.ENTRY}, ptr @{remembered.SYMBOL}, "
            f"i64 {w.op(f'and i64 {n}, {remembered.ENTRIES - 1}')}"
        )
        places = [place, *(w.op(f"getelementptr i64, ptr {place}, i64 {i}") for i in (1, 2))]
        base = w.op(f"bitcast double {a} to i64")
        known = "true"
        for where, x in zip(places[:2], (base, n), strict=True):
            same = w.op(f"icmp eq i64 {w.op(f'load i64, ptr {where}')}, {x}")
            known = w.op(f"and i1 {known}, {same}")
        result = w.alloca("double", "power")
        new, old, done = w.fresh("new"), w.fresh("old"), w.fresh("done")
        w.branch(known, old, new)
        w.place(old)
        w.put(f"store double {w.op(f'load double, ptr {places[2]}')}, ptr {result}")
        w.jump(done)
        w.place(new)
        x, fine = self._looked_at(a, b)
        w.put(f"store double {x}, ptr {result}")
        # Of one that is left to Python nothing is remembered: no exponent with these last bits is another number.
        key = w.op(f"select i1 {fine}, i64 {n}, i64 {w.op(f'add i64 {n}, 1')}")
        for where, value in zip(places, (base, key), strict=False):
            w.put(f"store i64 {value}, ptr {where}")
        w.put(f"store double {x}, ptr {places[2]}")
        w.place(done)
        return w.op(f"load double, ptr {result}")

    def _rounded_power(self, a: str, b: str) -> str:
        """A square root or a square as the C library's ``pow`` gives it.

        What `pow` gives is less than 0.52 of a last place away from the exact power. If the number next to that is less
        than 0.48 of one away, `pow` gives this number: all others are farther than 0.52 away. How far it is away a
        multiplication that rounds once tells exactly. One power in twenty-five is left to `pow`.
        """
        w, root = self.w, b == double(0.5)
        near = self.intrinsic("sqrt", a) if root else w.op(f"fmul double {a}, {a}")
        if root:
            near = w.op(f"fadd double {near}, {double(0.0)}")  # the root of a negative zero is none
        one, other = (near, a) if root else (a, near)
        off = self.intrinsic("fma", one, one, w.op(f"fneg double {other}"))
        bits = w.op(f"and i64 {w.op(f'bitcast double {near} to i64')}, {0x7FF << 52}")
        place = w.op(f"fmul double {w.op(f'bitcast i64 {bits} to double')}, {double(_SURE * 2.0**-52)}")
        if root:
            # The root of a number that is `off` away is farther away by that over twice the root.
            place = w.op(f"fmul double {place}, {w.op(f'fmul double {near}, {double(2.0)}')}")
        size = self.intrinsic("fabs", other)
        sure = w.op(f"fcmp olt double {self.intrinsic('fabs', off)}, {place}")
        for least, comparison in ((_LEAST, "oge"), (_GREATEST, "ole")):
            sure = w.op(f"and i1 {sure}, {w.op(f'fcmp {comparison} double {size}, {double(least)}')}")
        result = w.alloca("double", "power")
        w.put(f"store double {near}, ptr {result}")
        call, done = w.fresh("call"), w.fresh("done")
        w.branch(sure, done, call)
        w.place(call)
        w.put(f"store double {self.outside('pow', a, b)}, ptr {result}")
        w.place(done)
        return w.op(f"load double, ptr {result}")


@cache
def pow_is_close() -> bool:
    """Whether the C library's ``pow`` is glibc's of 2018, which says by how much it errs."""
    name, _, version = c_library().partition(" ")
    numbers = version.split(".")[:2]
    return name == "glibc" and all(map(str.isdigit, numbers)) and tuple(map(int, numbers)) >= (2, 28)
