"""Lists and deques that a compiled loop takes from: ``stack.pop()``, ``queue.popleft()``, with ``append``.

While the loop runs, the items lie in memory of their own: numbers, or tuples of as many numbers each. Five words of the
loop's block say where, which are the first and the one after the last, for how many there is room, and how many of
those that came in have not been taken away from the end. When the loop hands back, the object is made to hold what it
would hold.
"""

from __future__ import annotations

import ast
import ctypes
from collections import deque
from functools import cache
from typing import Any

import numpy as np

from minpy.records import dataclass
from minpy.runtime.jit.appends import Appends
from minpy.runtime.jit.buffers import free
from minpy.runtime.jit.expressions import TYPES
from minpy.runtime.jit.kinds import KIND_OF_TYPE, MIXABLE, NotYet, Unsupported, value_of
from minpy.runtime.jit.leaving import constant_of
from minpy.runtime.jit.values import Several, Val, Variable, scalar

WORDS = 5
DATA, HEAD, TAIL, ROOM, LOW = range(WORDS)
_MORE_ROOM = 64
LONGEST = 1 << 16  # of a list that is copied at each entry
_WIDEST = 8
PLAIN = 0  # the width of an item that is no tuple
_KINDS = MIXABLE | {"bool"}


@dataclass(frozen=True)
class Stack:
    """A list or deque of the loop, as the value of an expression."""

    name: str


@dataclass(frozen=True)
class Layout:
    """Where the words of a stack are, and what an item is: `width` numbers, each in the representation of `reps`."""

    name: str
    slot: int
    width: int
    reps: tuple[str, ...]


Kinds = tuple[int, tuple[tuple[str, ...], ...]]


def kinds_of(value: Any) -> Kinds | None:
    """The width of the items of a list or deque (-1: it is empty), and the kinds of each part; None if it cannot be."""
    if type(value) not in (list, deque) or len(value) > LONGEST or getattr(value, "maxlen", None) is not None:
        return None
    types = set(map(type, value))
    if not types:
        return -1, ()
    if types == {tuple}:
        widths = set(map(len, value))
        width = widths.pop()
        if widths or not 0 < width <= _WIDEST:
            return None
        parts = list(zip(*value, strict=True))
    else:
        width, parts = PLAIN, [tuple(value)]
    found = []
    for part in parts:
        kinds = {KIND_OF_TYPE.get(type(each)) for each in part}
        if not kinds <= _KINDS:
            return None
        if kinds & {"int"} and not all(-(2**63) <= each < 2**63 for each in part if type(each) is int):
            return None
        found.append(tuple(sorted(map(str, kinds))))
    return width, tuple(found)


class Stacks(Appends):
    """Code for lists and deques that are taken from."""

    def __init__(self) -> None:
        super().__init__()
        self.stacks: dict[str, int] = {}  # where the words of one are
        self.widths: dict[str, int] = {}  # of the items of those that are known
        self.pushes = False

    def part(self, name: str, number: int) -> Variable:
        """The variable that a part of an item goes through."""
        raise NotImplementedError

    def stack_of(self, node: ast.expr) -> Stack | None:
        """The list that an expression names, if it is one of these."""
        name = self.dotted(node)
        return Stack(name) if name is not None and name in self.stacks else None

    def _name(self, node: ast.Name) -> Any:
        return self.stack_of(node) or super()._name(node)

    def _attribute(self, node: ast.Attribute) -> Any:
        return self.stack_of(node) or super()._attribute(node)

    def truth(self, value: Any) -> str:
        if isinstance(value, Stack):
            return self.w.op(f"icmp sgt i64 {self._count(value.name)}, 0")
        return super().truth(value)

    def call_known(self, function: Any, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        if function is len and len(arguments) == 1 and isinstance(arguments[0], Stack):
            return scalar("int", "i", self._count(arguments[0].name))
        return super().call_known(function, arguments, keywords)

    def _subscript(self, node: ast.Subscript) -> Any:
        stack = self.stack_of(node.value)
        if stack is None:
            return super()._subscript(node)
        number = self.wrapped(self.integer(node.slice), self._count(stack.name))
        return self._item(stack.name, self.w.op(f"add i64 {self._loaded_word(stack.name, HEAD)}, {number}"))

    def _method_of(self, node: ast.expr) -> tuple[Any, str] | None:
        if isinstance(node, ast.Attribute):
            stack = self.stack_of(node.value)
            if stack is not None:
                return stack, node.attr
        return super()._method_of(node)

    def call_method(self, value: Any, name: str, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        if not isinstance(value, Stack):
            return super().call_method(value, name, arguments, keywords)
        if keywords:
            raise Unsupported(f".{name}() with keywords")
        self.clean = self.loggable = (
            False  # what was taken or added in an iteration that is left is put right by Python
        )
        if name == "append" and len(arguments) == 1:
            return self._push(value.name, arguments[0])
        if name == "pop" and (not arguments or self._is_last(arguments)):
            return self._pop(value.name)
        if name == "popleft" and not arguments:
            return self._pop_left(value.name)
        raise Unsupported(f"the method .{name} of a list")

    def _is_last(self, arguments: list[Any]) -> bool:
        return len(arguments) == 1 and isinstance(arguments[0], Val) and constant_of(arguments[0].x) == -1

    def _word_of(self, name: str, word: int) -> str:
        return self.w.op(f"getelementptr i64, ptr %words, i64 {self.stacks[name] + word}")

    def _loaded_word(self, name: str, word: int) -> str:
        return self.w.op(f"load i64, ptr {self._word_of(name, word)}")

    def _count(self, name: str) -> str:
        return self.w.op(f"sub i64 {self._loaded_word(name, TAIL)}, {self._loaded_word(name, HEAD)}")

    def _push(self, name: str, value: Any) -> Any:
        self.at_once()
        items = value.items if isinstance(value, Several) else (value,)
        width = len(items) if isinstance(value, Several) else PLAIN
        if self.widths.setdefault(name, width) != width or width > _WIDEST:
            raise Unsupported("a list of different things")
        self.pushes = True
        variables = []
        for number, item in enumerate(items):
            operand = self._operand(item)
            if not operand.kinds <= _KINDS:
                raise Unsupported("a list of such numbers")
            variables.append(self.part(name, number))
            self.assign(variables[-1], operand)
        stack = self._word_of(name, DATA)
        entry = self.w.op(f"call ptr @one_more(ptr {stack}, i64 {TAIL}, i64 {ROOM}, i64 {16 * len(items)})")
        self.guard(self.w.op(f"icmp ne ptr {entry}, null"), "there is no memory")
        for number, variable in enumerate(variables):
            if not variable.rep:
                continue  # there will be another pass
            place = self.w.op(f"getelementptr i64, ptr {entry}, i64 {2 * number}")
            x = self.w.op(f"load {TYPES[variable.rep]}, ptr {variable.value}")
            if variable.rep == "b":
                x = self.w.op(f"zext i1 {x} to i64")
            self.w.put(f"store {'double' if variable.rep == 'd' else 'i64'} {x}, ptr {place}")
            tag = self.w.op(f"sext i8 {self.w.op(f'load i8, ptr {variable.tag}')} to i64")
            self.w.put(f"store i64 {tag}, ptr {self.w.op(f'getelementptr i64, ptr {place}, i64 1')}")
        return self._nothing()

    def _nothing(self) -> Any:
        return Several(())

    def _pop(self, name: str) -> Any:
        self.at_once()
        self.guard(self.truth(Stack(name)), "a list that is empty")
        last = self.w.op(f"sub i64 {self._loaded_word(name, TAIL)}, 1")
        self.w.put(f"store i64 {last}, ptr {self._word_of(name, TAIL)}")
        low = self._loaded_word(name, LOW)
        lower = self.w.op(f"icmp slt i64 {last}, {low}")
        low = self.w.op(f"select i1 {lower}, i64 {last}, i64 {low}")
        self.w.put(f"store i64 {low}, ptr {self._word_of(name, LOW)}")
        return self._item(name, last)

    def _pop_left(self, name: str) -> Any:
        self.at_once()
        self.guard(self.truth(Stack(name)), "a list that is empty")
        first = self._loaded_word(name, HEAD)
        self.w.put(f"store i64 {self.w.op(f'add i64 {first}, 1')}, ptr {self._word_of(name, HEAD)}")
        return self._item(name, first)

    def _item(self, name: str, position: str) -> Any:
        """The item at a position."""
        self.at_once()
        if name not in self.widths:
            raise NotYet("a list whose items are not known")
        width = self.widths[name]
        data = self.w.op(f"load ptr, ptr {self._word_of(name, DATA)}")
        offset = self.w.op(f"mul i64 {position}, {16 * max(width, 1)}")
        entry = self.w.op(f"getelementptr i8, ptr {data}, i64 {offset}")
        parts = []
        for number in range(max(width, 1)):
            variable = self.part(name, number)
            if not variable.rep:
                raise NotYet("a list whose items are not known")
            place = self.w.op(f"getelementptr i64, ptr {entry}, i64 {2 * number}")
            x = self.w.op(f"load {'double' if variable.rep == 'd' else 'i64'}, ptr {place}")
            if variable.rep == "b":
                x = self.w.op(f"trunc i64 {x} to i1")
            tagp = self.w.op(f"getelementptr i64, ptr {place}, i64 1")
            tag = self.w.op(f"trunc i64 {self.w.op(f'load i64, ptr {tagp}')} to i8")
            kinds = frozenset(variable.kinds)
            only = scalar(next(iter(kinds)), variable.rep, x) if len(kinds) == 1 else None
            parts.append(only or Val(kinds, variable.rep, x, tag))
        return parts[0] if width == PLAIN else Several(tuple(parts))


@cache
def _malloc() -> Any:
    found = ctypes.CDLL(None).malloc
    found.argtypes, found.restype = [ctypes.c_size_t], ctypes.c_void_p
    return found


def fill(words: np.ndarray, layout: Layout, value: Any, word: Any) -> None:
    """Put the items of a list into memory of the loop's. `word` gives the two words of a number in a representation.

    Raises
    ------
    MemoryError
        There is no memory.
    Unsupported
        A number does not fit.
    """
    parts = max(layout.width, 1)
    room = len(value) + _MORE_ROOM
    address = _malloc()(16 * parts * room)
    if not address:
        raise MemoryError
    words[layout.slot : layout.slot + WORDS] = address, 0, len(value), room, len(value)
    if not value:
        return
    entries = np.ctypeslib.as_array((ctypes.c_int64 * (2 * parts * len(value))).from_address(address))
    floats = entries.view(np.float64)
    at = 0
    for item in value:
        for rep, number in zip(layout.reps, item if layout.width else (item,), strict=True):
            bits, tag = word(rep, number)
            (floats if rep == "d" else entries)[at] = bits
            entries[at + 1] = tag
            at += 2


def finish(words: np.ndarray, layout: Layout, value: Any) -> None:
    """Make the object hold what the loop left."""
    address, head, tail, _, low = map(int, words[layout.slot : layout.slot + WORDS])
    parts = max(layout.width, 1)
    items: list[Any] = []
    if tail > low or head > low:
        first = max(head, low)
        count = 2 * parts * tail
        entries = np.ctypeslib.as_array((ctypes.c_int64 * max(count, 1)).from_address(address))
        floats = entries.view(np.float64)
        for position in range(first, tail):
            numbers = []
            for number in range(parts):
                at = 2 * (parts * position + number)
                rep = layout.reps[number]
                bits = float(floats[at]) if rep == "d" else int(entries[at])
                numbers.append(value_of(int(entries[at + 1]), bits))
            items.append(tuple(numbers) if layout.width else numbers[0])
    # Those that came in and are still there are the objects that they were.
    while len(value) > low:
        value.pop()
    if type(value) is deque:
        for _ in range(min(head, len(value))):
            value.popleft()
    value.extend(items)


def release(words: np.ndarray, slot: int) -> None:
    """Give back the memory of a stack."""
    free()(int(words[slot]))
    words[slot : slot + WORDS] = 0


__all__ = ["Layout", "Stack", "Stacks", "fill", "finish", "kinds_of", "release"]
