"""Short cuts of the operators that write, ``a += b``; as of those of `fast`, none is needed for correctness."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from minpy.runtime import entry, fast, pull, record, writes
from minpy.runtime.array import Array
from minpy.runtime.looks import reads
from minpy.runtime.primitives.table import Primitive
from minpy.runtime.record import open_tape
from minpy.runtime.storage import DIFFERENTIABLE, NEEDED, WEAK

_frame = sys._getframe


def in_place(primitive: Primitive, slow: Callable[..., Any]) -> Callable[..., Any]:
    """``target op= value`` for an `Array`; `slow` is the long way.

    On the host, under one tape, NumPy works in place, and what was overwritten is kept only if a record needs it. For
    an operation whose derivative is the cotangent itself (``+=``, ``-=``), or needs no more than an inactive operand
    (``*= 2``), nothing else is kept.
    """
    function, plain = primitive.function, fast.PLAIN
    rules = primitive.bare
    if rules is None or rules[0] is None or rules[1] is None or primitive.flat:
        return slow
    forward = primitive.short[0]

    def in_two_steps(self: Any, other: Any) -> Any:
        # The old or the new contents, or those of an active operand, are needed after the write.
        if type(other) is Array or type(other) in plain:
            result = forward(self, other)
            if type(result) is Array:
                old, new = self.window, result.window
                if new.dtype is old.dtype and new.shape == old.shape:
                    writes.write(self, None, result)
                    return self
        return slow(self, other)

    ans1, x1, _ = reads(rules[0], 2)
    negative = primitive.name == "subtract"
    linear = negative or primitive.name == "add"

    def operate(self: Any, other: Any) -> Any:
        if self.scalar:
            return NotImplemented
        tape = open_tape.get()
        if (
            tape is None
            or not tape.open
            or tape.put is None
            or entry.others
            or self.window.dtype.char not in DIFFERENTIABLE
        ):
            return slow(self, other)
        storage = self.storage
        if storage.remote is not None or (storage.tape is not None and storage.tape is not tape):
            return slow(self, other)
        if ans1 or x1:
            return in_two_steps(self, other)
        window, value, source = self.window, other, None
        if type(other) is Array:
            held = other._storage
            if other.scalar is WEAK or (held is not None and held.remote is not None):
                return slow(self, other)
            value = other.window
            source = other.tape if held is None else held.tape
            if source is not None and not linear:
                return in_two_steps(self, other)
            if source is not None and source is not tape:
                return slow(self, other)
        elif type(other) not in plain:
            return slow(self, other)
        cell = storage.cell
        old = window.copy() if cell[NEEDED] or tape.replays else None
        try:
            function(window, value, window)
        except FloatingPointError:  # raised after the work was done
            if source is None and storage.tape is None:
                raise
            _note(tape, self, other, source, old, value)
            raise
        if source is not None or old is not None or storage.tape is not None:
            _note(tape, self, other, source, old, value)
        return self

    def _note(tape: Any, self: Any, other: Any, source: Any, old: Any, value: Any) -> None:
        storage = self.storage
        handle = None
        if source is not None:
            held = other._storage
            target = self.window
            if (
                (held is None or value is held.host)
                and value.shape == target.shape
                and value.dtype is target.dtype
            ):
                handle = other.cell if held is None else held.cell
            else:
                handle = other
        tape.note_write(storage)
        if source is not None:
            storage.tape = tape
        at = record.user_frame(_frame(2))
        if linear:
            put: tuple = (pull.pull_added, storage.cell, self, handle, old, negative)
        else:
            if type(other) is Array:
                other.storage.cell[NEEDED] = True
            put = (pull.pull_scaled, storage.cell, self, rules[0], old, value)
        tape.put.append((*put, primitive, at.f_code, at.f_lasti))

    return operate
