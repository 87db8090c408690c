"""How the variables of a loop get to its compiled code, and back.

The code is called with the address of a block of 64-bit words: the positions between which it is to run the outermost
loop, the first of the buffers that it made, the identity of the next new array, then the words of each scalar (value,
tag, and what else there is of a complex number), and for each array its identity, address, owner, shape and strides
(see `minpy.runtime.jit.buffers`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minpy.runtime.jit import draws, stacks
from minpy.runtime.jit.appends import WORDS
from minpy.runtime.jit.comprehensions import Comprehensions
from minpy.runtime.jit.draws import source_of
from minpy.runtime.jit.expressions import PAIR, TYPES
from minpy.runtime.jit.kinds import CODES, INTS, KIND_OF_TYPE, UNBOUND, Unsupported
from minpy.runtime.jit.values import ArrayVariable, Variable

FIRST, LAST, STOPPED, START, STEP, BUFFERS, IDENTS = range(7)
_HEADER = 7


class Exchange(Comprehensions):
    """The block of words: where each variable is in it, and code that reads and writes it."""

    def _lay_out(self, lists: Iterable[str], taken: Iterable[str]) -> int:
        """Give each variable its words, and the lists that are appended to or taken from; how many there are in all."""
        words = _HEADER
        for variable in self.scalars.values():
            variable.slot = words
            words += 3  # the value, its tag, and what else there is of a complex number
        for array in self.arrays.values():
            array.slot = words
            self.allocate_array(array)
            words += 3 + 2 * array.type.ndim
        for name in sorted(lists):
            self.lists[name] = words
            words += WORDS
        for name in sorted(taken):
            self.stacks[name] = words
            words += stacks.WORDS
        for name, value in sorted(self.known.items()):
            if source_of(value) is not None:
                self.sources[name] = words
                words += draws.WORDS
        return words

    def part(self, name: str, number: int) -> Variable:
        return self._variable(part_of(name, number), "an item")

    def _layouts(self) -> tuple[tuple[Any, ...], ...]:
        return tuple(
            (
                name,
                slot,
                self.widths.get(name, stacks.PLAIN),
                tuple(self.part(name, i).rep for i in range(max(self.widths.get(name, 1), 1))),
            )
            for name, slot in self.stacks.items()
        )

    def _word(self, slot: int) -> str:
        return self.w.op(f"getelementptr i64, ptr %words, i64 {slot}")

    def _keep_start(self) -> dict[str, tuple[str, str]]:
        """Copies of the variables at the start of an iteration; LLVM drops those that nothing needs."""
        starts = {}
        for variable in self.scalars.values():
            if variable.rep:
                starts[variable.name] = (
                    self.w.alloca(TYPES[variable.rep], "start"),
                    self.w.alloca("i8", "tag"),
                )
                pairs = ((variable.value, TYPES[variable.rep]), (variable.tag, "i8"))
                for (place, type_), copy in zip(pairs, starts[variable.name], strict=True):
                    self.w.put(f"store {type_} {self.w.op(f'load {type_}, ptr {place}')}, ptr {copy}")
        for array in self.arrays.values():
            for i, place in enumerate(self._places(array)):
                copy = self.w.alloca("i64", "start")
                starts[f"[{i} {array.name}"] = copy, ""
                self.w.put(f"store i64 {self._loaded(place, array)}, ptr {copy}")
        for name, slot in self.lists.items():
            copy = self.w.alloca("i64", "start")
            starts[f"[{name}"] = copy, ""
            self.w.put(f"store i64 {self.w.op(f'load i64, ptr {self._word(slot + 1)}')}, ptr {copy}")
        return starts

    def _hold_until_next(self, starts: dict[str, tuple[str, str]], what: str) -> None:
        """Let the arrays that variables hold at a round's start live until it is over."""
        for name in sorted(self.held_in_rounds):
            owner = self.w.op(f"load i64, ptr {starts[f'[2 {name}'][0]}")
            head = f", ptr {self.head}" if what == "drop" else ""
            self.w.put(f"call void @{what}(i64 {owner}{head})")

    @staticmethod
    def _places(array: ArrayVariable) -> tuple[str, ...]:
        return (array.ident, array.pointer, array.owner, *array.dims, *array.strides)

    def _loaded(self, place: str, array: ArrayVariable) -> str:
        if place != array.pointer:
            return self.w.op(f"load i64, ptr {place}")
        return self.w.op(f"ptrtoint ptr {self.w.op(f'load ptr, ptr {place}')} to i64")

    def _write_back(self, position: str, starts: dict[str, tuple[str, str]] | None = None) -> None:
        """Put position and variables into the words: as they are, or as they were at the iteration's start."""
        self.w.put(f"store i64 {self.w.op(f'load i64, ptr {position}')}, ptr {self._word(STOPPED)}")
        self.w.put(f"store i64 {self.w.op(f'load i64, ptr {self.idents}')}, ptr {self._word(IDENTS)}")
        for variable in self.scalars.values():
            if not variable.assigned or not variable.rep:
                continue
            value, tag = variable.value, variable.tag
            if starts is not None:
                if variable.name not in starts:
                    continue  # it got its place in this pass, and there will be another one
                value, tag = starts[variable.name]
            x = self.w.op(f"load {TYPES[variable.rep]}, ptr {value}")
            type_ = "double" if variable.rep in "dc" else "i64"
            if variable.rep == "b":
                x = self.w.op(f"zext i1 {x} to i64")
            if variable.rep == "c":
                x, imag = (self.w.op(f"extractelement {PAIR} {x}, i32 {i}") for i in (0, 1))
                self.w.put(f"store double {imag}, ptr {self._word(variable.slot + 2)}")
            self.w.put(f"store {type_} {x}, ptr {self._word(variable.slot)}")
            tag = self.w.op(f"sext i8 {self.w.op(f'load i8, ptr {tag}')} to i64")
            self.w.put(f"store i64 {tag}, ptr {self._word(variable.slot + 1)}")
        for array in self.arrays.values():
            if not array.assigned or (starts is not None and f"[0 {array.name}" not in starts):
                continue
            for i, place in enumerate(self._places(array)):
                if starts is None:
                    x = self._loaded(place, array)
                else:
                    x = self.w.op(f"load i64, ptr {starts[f'[{i} {array.name}'][0]}")
                self.w.put(f"store i64 {x}, ptr {self._word(array.slot + i)}")

    def _shorten(self, starts: dict[str, tuple[str, str]]) -> None:
        """What the iteration that is left has appended goes."""
        for name, slot in self.lists.items():
            x = self.w.op(f"load i64, ptr {starts[f'[{name}'][0]}")
            self.w.put(f"store i64 {x}, ptr {self._word(slot + 1)}")

    def _opening(self) -> list[str]:
        """The code before all other: every variable takes its value from the block of words."""
        body, self.w.lines, self.w.ended = self.w.lines, [], False
        for variable in self.scalars.values():
            if not variable.rep:
                continue
            type_ = "double" if variable.rep in "dc" else "i64"
            x = self.w.op(f"load {type_}, ptr {self._word(variable.slot)}")
            if variable.rep == "b":
                x = self.w.op(f"trunc i64 {x} to i1")
            if variable.rep == "c":
                imag = self.w.op(f"load double, ptr {self._word(variable.slot + 2)}")
                x = self.w.op(f"insertelement {PAIR} undef, double {x}, i32 0")
                x = self.w.op(f"insertelement {PAIR} {x}, double {imag}, i32 1")
            self.w.put(f"store {TYPES[variable.rep]} {x}, ptr {variable.value}")
            tag = self.w.op(f"trunc i64 {self.w.op(f'load i64, ptr {self._word(variable.slot + 1)}')} to i8")
            self.w.put(f"store i8 {tag}, ptr {variable.tag}")
        for array in self.arrays.values():
            for number, place in enumerate(self._places(array), array.slot):
                type_ = "ptr" if place == array.pointer else "i64"
                x = self.w.op(f"load {type_}, ptr {self._word(number)}")
                self.w.put(f"store {type_} {x}, ptr {place}")
        opening, self.w.lines = self.w.lines, body
        return opening


def part_of(name: str, number: int) -> tuple[Any, ...]:
    return "an item of", name, number


def comes_in(variable: Variable, kind: str | None) -> bool:
    """Whether a variable takes over the value, of this kind, that it has at the loop's entry."""
    return kind is not None and kind in variable.kinds


def word_in(rep: str, value: Any) -> tuple[Any, int]:
    """The two words of a number in a representation."""
    kind = KIND_OF_TYPE[type(value)]
    if rep == "d" and kind in INTS and abs(int(value)) > 2**53:
        raise Unsupported("an integer beyond 2**53 where floats are met")
    return (float if rep == "d" else int)(value), CODES[kind]


def word_of(variable: Variable, kind: str | None, value: Any) -> tuple[Any, int]:
    """What the words of a variable are at the entry: its value and its tag."""
    if not variable.rep or not comes_in(variable, kind):
        return 0, UNBOUND
    if kind == "str":
        value = ord(value)
    tag = CODES[kind or ""]
    if variable.rep == "c":
        return complex(value), tag
    if variable.rep == "d":
        if kind in INTS and abs(int(value)) > 2**53:
            raise Unsupported(f"{variable.name!r} is an integer beyond 2**53 where floats are met")
        return float(value), tag
    return int(value), tag
