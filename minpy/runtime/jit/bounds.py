"""How large integers can be: where they cannot need more than 64 bits nobody asks whether they do.

    for j in range(n):
        total += x[j] / ((i + j) * (i + j + 1) // 2 + i + 1)

Before the fast version of a loop it is told whether `i` and all of `j` are small. Then sums and products of them are
as well, which is reckoned while the code is made: each number has the bits that it takes at most.
"""

from __future__ import annotations

import ast

from minpy.runtime.jit.leaving import constant_of
from minpy.runtime.jit.settling import Settling
from minpy.runtime.jit.values import Ref, Val, Variable

_SMALL = 29  # bits of what is told before a loop
_BITS = {"bool": 1, "int8": 7, "uint8": 8, "int16": 15, "uint16": 16, "int32": 31, "uint32": 32}


class Bounds(Settling):
    """Integers that are known to be small."""

    def __init__(self) -> None:
        super().__init__()
        self.small: frozenset[str] = (
            frozenset()
        )  # the places of variables that are, in the loop that is being written
        self.counters: list[str] = []  # the variables of the loops over ranges around the code
        self._bits: dict[str, int] = {}

    def small_before(self, node: ast.For, ends: tuple[str, ...]) -> frozenset[str]:
        """Code that lowers the flag where variables of a loop's arithmetic are not small; gives their places.

        `ends` are what the loop's own variable is in the first and in the last round.
        """
        used = _operands(node)
        target = node.target.id if isinstance(node.target, ast.Name) else ""
        stored = {
            each.id
            for each in ast.walk(node)
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
        }
        numbers = {}
        for name in {target, *self.counters} & used:
            variable = self.variable(name)
            if variable is None or variable.rep != "i" or (name in stored and name != target):
                continue
            numbers[variable.value] = ends if name == target else (self.load(variable).x,)
        for x in sorted({x for each in numbers.values() for x in each}):
            moved = self.w.op(f"add i64 {x}, {1 << _SMALL}")
            self.guard(self.w.op(f"icmp ult i64 {moved}, {2 << _SMALL}"), "a number that is not small")
        return frozenset(numbers)

    def variable(self, name: str) -> Variable | None:
        """The variable of that name, if it holds a number."""
        raise NotImplementedError

    def load(self, variable: Variable) -> Val:
        value = super().load(variable)
        if variable.value in self.small:
            self._bits[value.x] = _SMALL
        return value

    def read(self, ref: Ref) -> Val:
        value = super().read(ref)
        if value.rep == "i" and ref.type.dtype in _BITS:
            self._bits[value.x] = _BITS[ref.type.dtype]
        return value

    def _bits_of(self, x: str) -> int | None:
        constant = constant_of(x)
        return self._bits.get(self.origin(x)) if constant is None else constant.bit_length()

    def exact(self, name: str, a: str, b: str) -> str:
        one, other = self._bits_of(a), self._bits_of(b)
        if one is None or other is None:
            return super().exact(name, a, b)
        bits = one + other if name == "smul" else max(one, other) + 1
        if bits > 63:
            return super().exact(name, a, b)
        x = self.w.op(f"{name[1:]} nsw i64 {a}, {b}")
        self._bits[x] = bits
        return x

    def floor_division(self, symbol: str, a: str, b: str) -> str:
        x = super().floor_division(symbol, a, b)
        constant, bits = constant_of(b), self._bits_of(a)
        if constant is not None and constant > 0:
            if symbol == "%":
                self._bits[x] = constant.bit_length()
            elif bits is not None:
                self._bits[x] = bits
        return x

    def guard_range(self, x: str, least: int, greatest: int, reason: str) -> None:
        bits = None if constant_of(x) is not None else self._bits_of(x)
        if bits is None or least > -(1 << bits) or greatest < 1 << bits:
            super().guard_range(x, least, greatest, reason)


def _operands(node: ast.For) -> set[str]:
    """The names that a loop's body reckons with, or calls functions with, not only for indices."""
    found: set[str] = set()

    def visit(part: ast.AST, counts: bool) -> None:
        if isinstance(part, ast.Subscript):
            visit(part.value, False)
            return
        if isinstance(part, ast.Name) and counts:
            found.add(part.id)
        counts = isinstance(part, (ast.BinOp, ast.Call, ast.AugAssign)) or (
            counts and isinstance(part, ast.UnaryOp)
        )
        for each in ast.iter_child_nodes(part):
            visit(each, counts)

    for statement in node.body:
        visit(statement, False)
    return found
