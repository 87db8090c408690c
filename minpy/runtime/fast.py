"""Short cuts of dispatch for the common case: nothing but tapes is active, and every operand is on the host.

They do what `dispatch.call` does, for element-wise primitives of one or two operands, without asking what
cannot be the case. A short cut that meets anything else hands over to the long way, so nothing here is
needed for correctness. `pull` has those of the sweep.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from minpy.runtime import entry, record
from minpy.runtime.primitives.table import Primitive
from minpy.runtime.record import Record, current_tape
from minpy.runtime.storage import WEAK, Storage

_DIFFERENTIABLE = frozenset("efdgFDG")
# Operands that NumPy takes as they are, and that hold no Array.
PLAIN = frozenset((np.ndarray, float, int, np.float64, np.float32, complex))


def binary(primitive: Primitive, slow: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The operator of a two-operand primitive, and its reflection, for `Array`; `slow` is the long way."""
    function = primitive.function
    flat = primitive.flat

    def forward(self: Any, other: Any) -> Any:
        if entry.others or self.scalar is WEAK:
            return slow(self, other)
        storage = self.storage
        tape = storage.tape
        while tape is not None and not tape.open:
            tape = tape.outer
        if type(other) is Array:
            second = other.storage
            if storage.device is not None or second.device is not None or other.scalar is WEAK:
                return slow(self, other)
            tape2 = second.tape
            if tape2 is not tape:
                while tape2 is not None and not tape2.open:
                    tape2 = tape2.outer
                if tape is None or (tape2 is not None and tape2.depth > tape.depth):
                    tape = tape2
            value = function(self.window, other.window)
        elif type(other) in PLAIN and storage.device is None:
            value = function(self.window, other)
        else:
            return slow(self, other)
        if tape is None or flat:
            return _untraced(value)
        return _traced(tape, primitive, (self, other), value)

    def reflected(self: Any, other: Any) -> Any:
        storage = self.storage
        if entry.others or type(other) not in PLAIN or storage.device is not None or self.scalar is WEAK:
            return slow(other, self)
        tape = storage.tape
        while tape is not None and not tape.open:
            tape = tape.outer
        value = function(other, self.window)
        if tape is None or flat:
            return _untraced(value)
        return _traced(tape, primitive, (other, self), value)

    return forward, reflected


def unary(primitive: Primitive, operand: Any) -> Any:
    """An element-wise primitive of one `Array` on the host."""
    tape = operand.storage.tape
    while tape is not None and not tape.open:
        tape = tape.outer
    value = primitive.function(operand.window)
    if tape is None or primitive.flat:
        return _untraced(value)
    return _traced(tape, primitive, (operand,), value)


def _untraced(value: Any) -> Any:
    if type(value) is np.ndarray and current_tape() is not None:
        return Array(value, Storage(value))
    return value


def _traced(tape: Any, primitive: Primitive, args: tuple, value: Any) -> Any:
    if type(value) is np.ndarray:
        storage = Storage(value)
        result = Array(value, storage)
    else:
        value = np.asarray(value)
        storage = Storage(value)
        result = Array(value, storage, True)
    if value.dtype.char in _DIFFERENTIABLE:
        storage.tape = tape
        frame = sys._getframe(2)
        if frame.f_globals is not record.program:
            frame = record.user_frame(frame)
        short = tape.short
        if short is not None:
            short((primitive, args, result, frame.f_code, frame.f_lasti))
        else:
            tape.append(Record(primitive, args, {}, result, frame.f_code, frame.f_lasti))
    return result


# At the end: array.py uses this module.
from minpy.runtime.array import Array  # noqa: E402
