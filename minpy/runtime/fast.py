"""Short cuts of dispatch and of the sweep, for the common case: nothing but tapes is active, and every operand is on the host.

They do what `dispatch.call` and `Tape._pull` do, for element-wise primitives of one or two operands, without asking what cannot be the case.
A short cut that meets anything else hands over to the long way, so nothing here is needed for correctness.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from minpy.runtime import entry
from minpy.runtime.primitives.table import Primitive
from minpy.runtime.record import Record, current_tape
from minpy.runtime.storage import Storage

_NOTHING: dict[str, Any] = {}
# Operands that NumPy takes as they are, and that hold no Array.
_PLAIN = frozenset((np.ndarray, float, int, np.float64, np.float32, complex))


def binary(primitive: Primitive, slow: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The operator of a two-operand primitive, and its reflection, for `Array`; `slow` is the long way."""
    function = primitive.function
    flat = primitive.flat

    def forward(self: Any, other: Any) -> Any:
        if entry.others:
            return slow(self, other)
        storage = self.storage
        if type(other) is Array:
            second = other.storage
            if storage.device is not None or second.device is not None:
                return slow(self, other)
            tape, tape2 = storage.tape, second.tape
            while tape is not None and not tape.open:
                tape = tape.outer
            while tape2 is not None and not tape2.open:
                tape2 = tape2.outer
            if tape is None or (tape2 is not None and tape2.depth > tape.depth):
                tape = tape2
            value = function(self.window, other.window)
        elif type(other) in _PLAIN and storage.device is None:
            tape = storage.tape
            while tape is not None and not tape.open:
                tape = tape.outer
            value = function(self.window, other)
        else:
            return slow(self, other)
        return _result(primitive, flat, tape, (self, other), value)

    def reflected(self: Any, other: Any) -> Any:
        if entry.others or type(other) not in _PLAIN or self.storage.device is not None:
            return slow(other, self)
        tape = self.storage.tape
        while tape is not None and not tape.open:
            tape = tape.outer
        return _result(primitive, flat, tape, (other, self), function(other, self.window))

    return forward, reflected


def unary(primitive: Primitive, operand: Any) -> Any:
    """An element-wise primitive of one `Array` on the host."""
    tape = operand.storage.tape
    while tape is not None and not tape.open:
        tape = tape.outer
    return _result(primitive, primitive.flat, tape, (operand,), primitive.function(operand.window))


def _result(primitive: Primitive, flat: bool, tape: Any, args: tuple, value: Any) -> Any:
    if tape is None or flat:
        if type(value) is np.ndarray and current_tape() is not None:
            return Array(value, Storage(value))
        return value
    scalar = type(value) is not np.ndarray
    if scalar:
        value = np.asarray(value)
    storage = Storage(value)
    result = Array(value, storage, scalar)
    if value.dtype.kind in "fc":
        storage.tape = tape
        tape.append(Record(primitive, args, _NOTHING, result, sys._getframe(2)))
    return result


def pull(tape: Any, record: Record, touched: set[Storage]) -> bool:
    """Propagate the cotangent of an element-wise record, if nothing needs the long way; else return False."""
    primitive = record.primitive
    result = record.result
    if not primitive.elementwise or type(result) is not Array or record.kwargs:
        return False
    out = result.storage
    if result.window is not out.host:
        return False
    g = out.cotangent
    if type(g) is not np.ndarray:
        return g is None
    args = record.args
    values = []
    for operand in args:
        if type(operand) is Array:
            if operand.storage.device is not None:
                return False
            values.append(operand.window)
        elif type(operand) in _PLAIN:
            values.append(operand)
        else:
            return False
    rules = primitive.vjp
    if type(rules) is not tuple or len(rules) < len(args) or out.device is not None:
        return False
    ans = result.window
    steps = []
    for operand, rule in zip(args, rules, strict=False):
        if type(operand) is Array and operand.storage.tape is not None and tape.watches(operand.storage):
            if rule is None:
                return False
            steps.append((operand, rule))
    out.cotangent = None
    for operand, rule in steps:
        try:
            d = rule(g, ans, *values)
        except Exception as error:
            position = next(i for i, a in enumerate(args) if a is operand)
            raise record.failed(position, error) from error
        storage = operand.storage
        window = operand.window
        if (
            type(d) is np.ndarray
            and window is storage.host
            and storage.cotangent is None
            and d.shape == window.shape
            and d.dtype == window.dtype
        ):
            storage.cotangent = d  # borrowed, as in cotangents.accumulate
            storage.owned = False
            touched.add(storage)
        else:
            accumulate(tape, operand, d, touched)
    return True


# At the end: these modules use this one.
from minpy.runtime.array import Array  # noqa: E402
from minpy.runtime.cotangents import accumulate  # noqa: E402
