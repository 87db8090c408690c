"""Writes LLVM's assembly language: instructions, blocks, constants."""

from __future__ import annotations

import platform
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Whether code can ask the processor for what NumPy warns of: an invalid operation, a division by zero, an overflow.
HAS_FLAGS = platform.machine() in ("x86_64", "AMD64")
_OFTEN = 1 << 20  # times for one that a condition that is expected to hold does not


def double(value: float) -> str:
    """A constant of type double, exactly."""
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


class Writer:
    """The body of a function under construction."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.allocas: list[str] = []
        self.cells: list[str] = []  # what makes some of them zero at the start
        self.declarations: set[str] = set()
        self.metadata: list[str] = []  # at the end of the module
        self.access = ""  # what is said of each access to an array's elements
        self.names = 0
        self._weights = ""  # the note on a branch that goes one way as a rule
        self.blocks = 0
        self.ended = False  # whether the current block has its terminator

    def fresh(self, hint: str = "t") -> str:
        """A name that is not taken."""
        self.names += 1
        return f"{hint}{self.names}"

    def put(self, text: str) -> None:
        """An instruction without a result."""
        if self.ended:
            self.place(self.fresh("dead"))
        self.lines.append(f"  {text}")

    def op(self, text: str) -> str:
        """An instruction with a result; returns its name."""
        name = "%" + self.fresh()
        self.put(f"{name} = {text}")
        return name

    def call(self, result: str, name: str, *arguments: str) -> str:
        """Call a function outside; each argument is ``"type value"``."""
        types = ", ".join(argument.rsplit(" ", 1)[0] for argument in arguments)
        self.declarations.add(f"declare {result} @{name}({types})")
        return self.op(f"call {result} @{name}({', '.join(arguments)})")

    def place(self, label: str) -> None:
        """Begin the block `label`; the one before it falls through if it has not ended."""
        if not self.ended:
            self.lines.append(f"  br label %{label}")
        self.lines.append(f"{label}:")
        self.blocks += 1
        self.ended = False

    def jump(self, label: str, loop: str = "") -> None:
        """End the block; `loop` names what is said of the loop that goes round here."""
        self.put(f"br label %{label}" + (f", !llvm.loop {loop}" if loop else ""))
        self.ended = True

    def branch(self, condition: str, yes: str, no: str, expected: bool = False) -> None:
        """End the block with a condition.

        If it is `expected` to hold, LLVM keeps the registers, and the straight way, for what follows then.
        """
        if expected and not self._weights:
            weights = self.note(f'!"branch_weights", i32 {_OFTEN}, i32 1', distinct=False)
            self._weights = f", !prof {weights}"
        self.put(f"br i1 {condition}, label %{yes}, label %{no}{self._weights if expected else ''}")
        self.ended = True

    def leave(self, code: int | str) -> None:
        """End the function."""
        self.put(f"ret i64 {code}")
        self.ended = True

    @contextmanager
    def rounds(self, start: str, stop: str, step: int, loop: str = "") -> Iterator[str]:
        """A loop around what is written inside, which is given the index; `loop` as for `jump`."""
        k, finish = self.begin_rounds(start, stop, step, loop)
        yield k
        finish()

    def begin_rounds(
        self,
        start: str,
        stop: str,
        step: int,
        loop: str = "",
        labels: tuple[str, str, str] = ("rounds", "round", "past"),
    ) -> tuple[str, Callable[[], None]]:
        """Begin a loop: its index, and what ends it; `loop` as for `jump`."""
        counter = self.alloca("i64", "k")
        self.put(f"store i64 {start}, ptr {counter}")
        head, inside, past = map(self.fresh, labels)
        self.place(head)
        k = self.op(f"load i64, ptr {counter}")
        self.branch(self.op(f"icmp slt i64 {k}, {stop}"), inside, past)
        self.place(inside)

        def finish() -> None:
            self.put(f"store i64 {self.op(f'add nuw nsw i64 {k}, {step}')}, ptr {counter}")
            self.jump(head, loop)
            self.place(past)

        return k, finish

    def note(self, content: str, distinct: bool = True) -> str:
        """A node of metadata, of which ``{}`` in the content is the name; returns its name."""
        name = f"!{len(self.metadata)}"
        self.metadata.append(f"{name} = {'distinct ' if distinct else ''}!{{{content.format(name)}}}")
        return name

    def cell(self, hint: str, type_: str = "i64") -> str:
        """A variable of the function that is zero at the start."""
        name = self.alloca(type_, hint)
        self.cells.append(f"  store {type_} zeroinitializer, ptr {name}")
        return name

    def alloca(self, type_: str, hint: str) -> str:
        """A variable of the function; LLVM turns it into registers."""
        name = f"%{self.fresh(hint)}"
        self.allocas.append(f"  {name} = alloca {type_}")
        return name
