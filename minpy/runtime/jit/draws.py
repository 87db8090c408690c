"""Random numbers in a compiled loop: ``random.random()``, ``rng.random()``, ``np.random.rand()`` and the like.

The compiled code draws from the very state that Python's object has, by NumPy's own function or as CPython's generator
does it. So the state is always what it would be; before each run it is copied, for iterations that must be taken back.
"""

from __future__ import annotations

import ast
import ctypes
import random
import sys
from typing import Any

from minpy.runtime.jit.ir import double
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.stacks import Stacks
from minpy.runtime.jit.values import Val, scalar

WORDS = 2  # of a source: where its state is, and NumPy's function that draws from it
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

    def _call(self, node: ast.Call) -> Any:
        name = self._source_name(node.func)
        if name is None:
            return super()._call(node)
        if node.args or node.keywords:
            raise Unsupported("random numbers other than one between 0 and 1")
        self.at_once()
        self.drawn.add(name)
        # What was drawn in an iteration that is left must be taken back.
        self.clean = False
        state, function = (
            self.w.op(
                f"load ptr, ptr {self.w.op(f'getelementptr i64, ptr %words, i64 {self.sources[name] + i}')}"
            )
            for i in range(WORDS)
        )
        if isinstance(source_of(self.known[name]), random.Random):
            self.draws = True
            return scalar("float", "d", self.w.op(f"call double @draw(ptr {state})"))
        return self._number(self.w.op(f"call double {function}(ptr {state})"))

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
            self.words = id(self._source) + _HEAD, 0
            self._before: Any = ctypes.string_at(self.words[0], _STATE)
            return
        if not self._source.lock.acquire(False):
            raise Unsupported("another thread draws from the same source")
        self._source.lock.release()
        interface = self._source.ctypes
        function = ctypes.cast(interface.next_double, ctypes.c_void_p).value or 0
        self.words = interface.state_address, function
        self._before = self._source.state

    def take_back(self) -> None:
        """Undo what was drawn."""
        if isinstance(self._source, random.Random):
            ctypes.memmove(self.words[0], self._before, _STATE)
        else:
            self._source.state = self._before
