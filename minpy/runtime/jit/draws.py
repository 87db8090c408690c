"""Random numbers in a compiled loop: ``random.random()``, ``rng.random()``, ``np.random.rand()`` and the like; integers
of NumPy's new generators, one or a vector.

The compiled code draws from the very state that Python's object has, by NumPy's own function or as CPython's generator
does it. So the state is always what it would be; before each run it is copied, for iterations that must be taken back.
"""

from __future__ import annotations

import ast
import ctypes
import random
import sys
from functools import cache
from typing import Any

import numpy as np

from minpy.runtime.jit.ir import double
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.stacks import Stacks
from minpy.runtime.jit.values import Val, scalar

WORDS = 3  # of a source: where its state is, and NumPy's functions that draw a double, and 32 bits, from it
_METHODS = ("random", "random_sample", "rand")  # the same, without arguments
_STATE = 625 * 4  # bytes: CPython's position, and its Mersenne twister
_HEAD = object.__basicsize__

TEXT = f"""
define internal i32 @twist(ptr %s) {{
  %mt = getelementptr i8, ptr %s, i64 4
  %index = load i32, ptr %s
  %over = icmp sge i32 %index, 624
  br i1 %over, label %again, label %take
again:
  %k = phi i64 [ 0, %0 ], [ %next, %again ]
  %next = add i64 %k, 1
  %last = icmp eq i64 %next, 624
  %one = select i1 %last, i64 0, i64 %next
  %far = add i64 %k, 397
  %wrap = icmp sge i64 %far, 624
  %less = sub i64 %far, 624
  %mid = select i1 %wrap, i64 %less, i64 %far
  %kp = getelementptr i32, ptr %mt, i64 %k
  %onep = getelementptr i32, ptr %mt, i64 %one
  %midp = getelementptr i32, ptr %mt, i64 %mid
  %kv = load i32, ptr %kp
  %onev = load i32, ptr %onep
  %midv = load i32, ptr %midp
  %upper = and i32 %kv, -2147483648
  %lower = and i32 %onev, 2147483647
  %y = or i32 %upper, %lower
  %half = lshr i32 %y, 1
  %odd = and i32 %y, 1
  %isodd = icmp ne i32 %odd, 0
  %mask = select i1 %isodd, i32 -1727483681, i32 0
  %mixed = xor i32 %midv, %half
  %new = xor i32 %mixed, %mask
  store i32 %new, ptr %kp
  br i1 %last, label %take, label %again
take:
  %i = phi i32 [ %index, %0 ], [ 0, %again ]
  %wide = zext i32 %i to i64
  %ip = getelementptr i32, ptr %mt, i64 %wide
  %y0 = load i32, ptr %ip
  %following = add i32 %i, 1
  store i32 %following, ptr %s
  %a1 = lshr i32 %y0, 11
  %y1 = xor i32 %y0, %a1
  %a2 = shl i32 %y1, 7
  %b2 = and i32 %a2, -1658038656
  %y2 = xor i32 %y1, %b2
  %a3 = shl i32 %y2, 15
  %b3 = and i32 %a3, -272236544
  %y3 = xor i32 %y2, %b3
  %a4 = lshr i32 %y3, 18
  %y4 = xor i32 %y3, %a4
  ret i32 %y4
}}

define internal double @draw(ptr %s) {{
  %one = call i32 @twist(ptr %s)
  %other = call i32 @twist(ptr %s)
  %a = lshr i32 %one, 5
  %b = lshr i32 %other, 6
  %x = uitofp i32 %a to double
  %y = uitofp i32 %b to double
  %high = fmul double %x, {double(67108864.0)}
  %sum = fadd double %high, %y
  %unit = fmul double %sum, {double(1.0 / 9007199254740992.0)}
  ret double %unit
}}
"""


# As NumPy does it (Lemire's method): a number from 0 to `range`, which is less than 2**32 - 1.
INTEGERS = """
define internal i64 @draw_below(ptr %state, ptr %draw, i64 %range) {
entry:
  %excluded = add i64 %range, 1
  %bits = call i32 %draw(ptr %state)
  %wide = zext i32 %bits to i64
  %product = mul i64 %wide, %excluded
  %low = and i64 %product, 4294967295
  %odd = icmp ult i64 %low, %excluded
  br i1 %odd, label %look, label %out
look:
  %rest = sub i64 4294967295, %range
  %threshold = urem i64 %rest, %excluded
  br label %head
head:
  %p = phi i64 [ %product, %look ], [ %product2, %again ]
  %l = phi i64 [ %low, %look ], [ %low2, %again ]
  %less = icmp ult i64 %l, %threshold
  br i1 %less, label %again, label %out
again:
  %bits2 = call i32 %draw(ptr %state)
  %wide2 = zext i32 %bits2 to i64
  %product2 = mul i64 %wide2, %excluded
  %low2 = and i64 %product2, 4294967295
  br label %head
out:
  %found = phi i64 [ %product, %entry ], [ %p, %head ]
  %x = lshr i64 %found, 32
  ret i64 %x
}
"""


def kind_of_source(value: Any) -> tuple[str, ...]:
    """What code depends on of a known object that random numbers come from; which one it is the code is told."""
    return type(value).__name__, getattr(value, "__name__", ""), type(source_of(value)).__name__


@cache
def draws_integers() -> bool:
    """Whether NumPy's generators draw integers as the code here does."""
    one, other = (np.random.Generator(np.random.PCG64(20)) for _ in range(2))
    interface = other.bit_generator.ctypes
    for high in (2, 5, 1000, 3 * 2**30, 2**32 - 1):
        for expected in one.integers(0, high, 5):
            product = interface.next_uint32(interface.state) * high
            while product % 2**32 < (2**32 - high) % high:
                product = interface.next_uint32(interface.state) * high
            if product >> 32 != expected:
                return False
    return True


def source_of(value: Any) -> Any:
    """What a known object draws from: a bit generator of NumPy's, a `random.Random`, or None."""
    owner = getattr(value, "__self__", None)
    if type(owner) is random.Random and getattr(value, "__name__", "") == "random":
        value = owner
    if type(value) is random.Random:
        return value if "random" not in vars(value) and _is_understood(value) else None
    module = sys.modules.get("numpy.random")
    if module is None:  # newer NumPy loads it when it is first used
        return None
    if type(owner) is module.RandomState and getattr(value, "__name__", "") in _METHODS:
        value = owner
    if type(value) is module.RandomState:
        return value._bit_generator
    return value.bit_generator if type(value) is module.Generator else None


def _is_understood(source: random.Random) -> bool:
    """Whether the state lies in the object as it did in every CPython so far."""
    words = (ctypes.c_uint32 * 625).from_address(id(source) + _HEAD)
    state = source.getstate()[1]
    return list(words) == [state[-1], *state[:-1]]


class Draws(Stacks):
    """Calls that draw a random number."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: dict[str, int] = {}  # where the words of a source are, by the name that it is known by
        self.drawn: set[str] = set()
        self.draws = False  # whether CPython's generator is part of the code
        self.draws_integers = False  # whether the function for integers is

    def _call(self, node: ast.Call) -> Any:
        name = self._generator_name(node.func)
        if name is not None:
            return self._integers_from(name, node)
        name = self._source_name(node.func)
        if name is None:
            return super()._call(node)
        if node.args or node.keywords:
            raise Unsupported("random numbers other than one between 0 and 1")
        state, function, _ = self._drawing(name)
        if isinstance(source_of(self.known[name]), random.Random):
            self.draws = True
            return scalar("float", "d", self.w.op(f"call double @draw(ptr {state})"))
        return self._number(self.w.op(f"call double {function}(ptr {state})"))

    def _drawing(self, name: str) -> list[str]:
        """The words of a source that is drawn from."""
        self.at_once()
        self.drawn.add(name)
        # What was drawn in an iteration that is left must be taken back.
        self.clean = self.loggable = False
        places = [f"getelementptr i64, ptr %words, i64 {self.sources[name] + i}" for i in range(WORDS)]
        return [self.w.op(f"load ptr, ptr {self.w.op(place)}") for place in places]

    def _integers_from(self, name: str, node: ast.Call) -> Any:
        """``rng.integers(high)``, ``rng.integers(low, high)``, ``rng.integers(low, high, size)`` with numbers."""
        size = next((each.value for each in node.keywords if each.arg == "size"), None)
        ends = node.args[:2]
        if len(node.args) == 3 and size is None:
            size = node.args[2]
        if not ends or len(node.args) > 3 or len(node.keywords) > (size is not None and len(node.args) < 3):
            raise Unsupported("random integers with these arguments")
        if not draws_integers():
            raise Unsupported("random integers of another NumPy")
        numbers = [self.integer(each) for each in ends]
        low, high = numbers if len(ends) == 2 else ("0", numbers[0])
        for x in (low, high):
            self.guard_range(x, -(2**62), 2**62, "random integers of a wide range")
        last = self.w.op(f"sub i64 {self.w.op(f'sub i64 {high}, {low}')}, 1")
        self.guard_range(last, 1, 2**32 - 2, "random integers of no range, or a wide one")
        count = None if size is None else self.integer(size)
        state, _, function = self._drawing(name)
        self.draws_integers = True

        def number() -> Val:
            drawn = self.w.op(f"call i64 @draw_below(ptr {state}, ptr {function}, i64 {last})")
            return scalar("int64", "i", self.w.op(f"add i64 {drawn}, {low}"))

        if count is None:
            return number()
        drawn = self.fresh("int64", (count,))

        def put() -> None:
            k, finish = self._over_elements("0", count)
            self.write(self.item(drawn, [k], checked=False), number())
            finish()

        self.quietly(put)
        return drawn

    def _generator_name(self, node: ast.expr) -> str | None:
        """The name of the generator, if a method that draws integers is called."""
        if not isinstance(node, ast.Attribute) or node.attr != "integers":
            return None
        base = self.dotted(node.value)
        return base if base in self.sources and type(self.known[base]) is np.random.Generator else None

    def _number(self, x: str) -> Val:
        return scalar("float", "d", x)

    def _source_name(self, node: ast.expr) -> str | None:
        name = self.dotted(node)
        if name in self.sources and callable(self.known[name]):
            return name
        base = self.dotted(node.value) if isinstance(node, ast.Attribute) and node.attr in _METHODS else None
        if base not in self.sources or callable(self.known[base]):
            return None
        return base if hasattr(type(self.known[base]), node.attr) else None  # type: ignore[attr-defined]


class Source:
    """A source while a loop runs: its words, and the state that it had."""

    def __init__(self, value: Any) -> None:
        self._source = source_of(value)
        if isinstance(self._source, random.Random):
            self.words = id(self._source) + _HEAD, 0, 0
            self._before: Any = ctypes.string_at(self.words[0], _STATE)
            return
        if not self._source.lock.acquire(False):
            raise Unsupported("another thread draws from the same source")
        self._source.lock.release()
        interface = self._source.ctypes
        functions = (interface.next_double, interface.next_uint32)
        places = [ctypes.cast(each, ctypes.c_void_p).value or 0 for each in functions]
        self.words = interface.state_address, *places
        self._before = self._source.state

    def take_back(self) -> None:
        """Undo what was drawn."""
        if isinstance(self._source, random.Random):
            ctypes.memmove(self.words[0], self._before, _STATE)
        else:
            self._source.state = self._before
