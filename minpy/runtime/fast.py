"""Short cuts of dispatch for the common case: nothing but tapes is active, and every operand is on the host.

They do what `dispatch.call` does, for element-wise primitives of one or two operands, without asking what
cannot be the case. A short cut that meets anything else hands over to the long way, so nothing here is
needed for correctness. `pull` has those of the sweep.

On a tape that is swept at once and that no other tape is around (`Tape.put` is not None) a record holds only what the
derivative rules ask for: of an operand that is the whole of its storage, the cell, and its contents only if a rule
reads them. So the intermediates of a sum of slices are freed as soon as the program drops them, as without a tape.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from minpy.runtime import entry, pull, record
from minpy.runtime.looks import passes, reads
from minpy.runtime.primitives.table import Primitive
from minpy.runtime.record import Record, current_tape
from minpy.runtime.storage import BORROWED, DIFFERENTIABLE, NEEDED, PYTHON_SCALAR, SHARED, WEAK, Storage

# Operands that NumPy takes as they are, and that hold no Array.
PLAIN = frozenset((np.ndarray, float, int, np.float64, np.float32, complex))
_DOUBLE = np.dtype(float)
_new = object.__new__
_frame = sys._getframe
_asarray = np.asarray


def _number(array: Any) -> Any:
    """The number that an `Array` stands for which is on the host."""
    return array.window.item() if type(array.scalar) is int else array.window[()]


# What the result of an operator between two numbers is (see `Array.scalar`); what else there is takes the long way.
_KINDS = {float: PYTHON_SCALAR, complex: PYTHON_SCALAR, **{np.dtype(c).type: True for c in DIFFERENTIABLE}}


def _turned_complex(value: Any, x: Any, y: Any) -> bool:
    """Whether Python made a complex number of two that are not: a power."""
    return type(value) is complex and type(x) is not complex and type(y) is not complex


def _square(g: Any, ans: Any, x: Any) -> Any:
    d = g * x
    return d + d


def binary(
    primitive: Primitive, slow: Callable[..., Any], operate: Callable[..., Any] | None = None
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A two-operand primitive, and its reflection, for `Array`; `slow` is the long way.

    With `operate` they are the operator, which is what computes it where both operands are numbers.
    """
    forward = _any_tape(primitive, slow, operate, False)
    reflected = _any_tape(primitive, slow, operate, True)
    rules = primitive.bare
    if rules is None or primitive.flat or rules[0] is None or rules[1] is None:
        return forward, reflected
    return _forward(primitive, slow, operate, forward), _reflected(primitive, slow, operate, reflected)


def _other_than(primitive: Primitive) -> tuple:
    """What a scalar must not be to be taken as an array without axes (NumPy rounds powers of the two differently)."""
    return (WEAK, True) if primitive.name == "power" else (WEAK,)


def _any_tape(
    primitive: Primitive, slow: Callable[..., Any], operate: Callable[..., Any] | None, reflect: bool
) -> Callable[..., Any]:
    """`self` and `other` (with `reflect`: `other` and `self`), with every kind of tape, and with none."""
    function = primitive.function
    flat = primitive.flat
    other_than = _other_than(primitive)

    def general(self: Any, other: Any) -> Any:
        if entry.others:
            return slow(other, self) if reflect else slow(self, other)
        if self.scalar:
            if operate is not None and numbers.is_number(other) and numbers.is_number(self):
                if not flat:
                    return slow(other, self) if reflect else slow(self, other)
                left, right = _number(self), _number(other) if type(other) is Array else other
                return operate(right, left) if reflect else operate(left, right)
            if self.scalar in other_than:
                return slow(other, self) if reflect else slow(self, other)
        storage = self.storage
        if storage.remote is not None:
            return slow(other, self) if reflect else slow(self, other)
        tape = storage.tape
        while tape is not None and not tape.open:
            tape = tape.outer
        if type(other) is Array:
            second = other.storage
            if second.remote is not None or other.scalar in other_than:
                return slow(self, other)
            tape2 = second.tape
            if tape2 is not tape:
                while tape2 is not None and not tape2.open:
                    tape2 = tape2.outer
                if tape is None or (tape2 is not None and tape2.depth > tape.depth):
                    tape = tape2
            value = function(self.window, other.window)
        elif type(other) in PLAIN:
            value = function(other, self.window) if reflect else function(self.window, other)
        else:
            return slow(other, self) if reflect else slow(self, other)
        if tape is None or flat:
            return _untraced(value)
        return _traced(tape, primitive, (other, self) if reflect else (self, other), value)

    return general


class _Derivative:
    """What records of a primitive with a rule for either operand hold.

    Attributes
    ----------
    left, right, both
        If only the left, only the right operand is active, or both: what the record does in the sweep, and whether that
        reads the result, the left, the right operand.
    passes_left, passes_right
        Whether the operand's cotangent is the result's, so that there need be no record.
    """

    def __init__(self, primitive: Primitive) -> None:
        rules = primitive.bare
        assert rules is not None
        pull_left, pull_right = pull.one(rules[0], 0, 2), pull.one(rules[1], 1, 2)
        pull_both = pull.both(rules[0], rules[1])
        if primitive.name == "multiply":
            pull_left = pull_right = pull.product
            pull_both = pull.products
        elif primitive.name == "divide":
            pull_both = pull.quotient
        left, right = reads(rules[0], 2), reads(rules[1], 2)
        self.left, self.right = (pull_left, *left), (pull_right, *right)
        self.both = (pull_both, *(one or two for one, two in zip(left, right, strict=True)))
        self.passes_left, self.passes_right = passes(rules[0], 2), passes(rules[1], 2)


def _forward(
    primitive: Primitive,
    slow: Callable[..., Any],
    operate: Callable[..., Any] | None,
    general: Callable[[Any, Any], Any],
) -> Callable[..., Any]:
    """`self` and `other` on a tape that is swept at once, for rows with a rule for either operand; else `general`."""
    function = primitive.function
    other_than = _other_than(primitive)
    boxes = isinstance(function, np.ufunc)
    derivative = _Derivative(primitive)
    left, right, both_active = derivative.left, derivative.right, derivative.both
    passes_left, passes_right = derivative.passes_left, derivative.passes_right
    square = primitive.name == "multiply"
    pull_square = pull.one(_square, 0, 1)

    def forward(self: Any, other: Any, modulus: Any = None) -> Any:
        if modulus is not None:  # pow(array, exponent, modulus)
            return NotImplemented
        storage = self._storage
        a = self.window
        if storage is None:
            tape, cell, whole = self.tape, self.cell, True
        elif storage.remote is None:
            tape, cell, whole = storage.tape, storage.cell, a is storage.host
        else:
            return general(self, other)
        kind = type(other)
        mine = self.scalar
        tape2 = cell2 = None
        if kind is Array:
            b = other.window
            storage = other._storage
            if storage is None:
                tape2, cell2, whole2 = other.tape, other.cell, True
            elif storage.remote is None:
                tape2, cell2, whole2 = storage.tape, storage.cell, b is storage.host
            else:
                return general(self, other)
            scalar = mine and other.scalar and operate
            if not scalar and other.scalar and other.scalar in other_than:
                return general(self, other)
        elif kind is float or kind in PLAIN:
            b = other
            scalar = mine and kind is not ndarray and operate
        else:
            return general(self, other)
        both = tape is tape2
        if not both:
            if tape is None:
                tape = tape2
            elif tape2 is not None:
                return general(self, other)
        if tape is None or not tape.open or entry.others or (mine and not scalar and mine in other_than):
            return general(self, other)
        put = tape.put
        if put is None:
            return general(self, other)
        number = kind is float and boxes and a.dtype is _DOUBLE
        if number:
            b = _asarray(other)  # once, and not in the sweep again
        if scalar:
            x, y = _number(self), _number(other) if kind is Array else other
            value = operate(x, y)
            made = _KINDS.get(type(value))
            if made is None or (made is not True and _turned_complex(value, x, y)):
                return slow(self, other)
            value = _asarray(value)
            if kind is int:
                b = float(other)
        else:
            value = function(a, b)
            if type(value) is ndarray:
                made = False
            else:
                value, made = _asarray(value), True
        result = _new(Array)
        result.window = value
        result.scalar = made
        result._storage = None
        result.tape = tape
        if tape2 is None:  # only the left operand is active
            if number:
                fits = whole
            else:
                same = value.dtype is a.dtype
                if not same and value.dtype.char not in DIFFERENTIABLE:  # with an array of objects
                    return _untraced(value)
                fits = whole and same and (kind is float or kind is int or value.shape == a.shape)
            if passes_left and fits:
                # Its cotangent is the operand's: no record.
                result.cell = cell
                cell[SHARED] = True
                return result
            place = cell if fits else self
            part, keeps, reads_a, reads_b = left
        elif not both:  # only the right one
            fits = whole2 and value.dtype is b.dtype and value.shape == b.shape
            if passes_right and fits:
                result.cell = cell2
                cell2[SHARED] = True
                return result
            place = cell2 if fits else other
            part, keeps, reads_a, reads_b = right
        else:
            part, keeps, reads_a, reads_b = both_active
        result.cell = out = [None, BORROWED, keeps, False]
        if reads_a:
            cell[NEEDED] = True
        if reads_b and cell2 is not None:
            cell2[NEEDED] = True
        at = _frame(1)
        code = at.f_code
        if code is not record.seen:
            at, code = record.program_frame(at)
        if not both:
            put.append(
                (
                    part, out, place, value if keeps else None, a if reads_a else None, b if reads_b else None,
                    primitive, code, at.f_lasti,
                )
            )  # fmt: skip
        elif other is self and square:
            put.append((pull_square, out, cell if whole else self, None, a, primitive, code, at.f_lasti))
        else:
            shape, dtype = value.shape, value.dtype
            put.append(
                (
                    part, out,
                    cell if whole and dtype is a.dtype and shape == a.shape else self,
                    cell2 if whole2 and dtype is b.dtype and shape == b.shape else other,
                    value if keeps else None, a if reads_a else None, b if reads_b else None,
                    primitive, code, at.f_lasti,
                )
            )  # fmt: skip
        return result

    return forward


def _reflected(
    primitive: Primitive,
    slow: Callable[..., Any],
    operate: Callable[..., Any] | None,
    general: Callable[[Any, Any], Any],
) -> Callable[..., Any]:
    """As `_forward`, with a plain operand on the left."""
    function = primitive.function
    other_than = _other_than(primitive)
    boxes = isinstance(function, np.ufunc)
    derivative = _Derivative(primitive)
    pull_right, keeps, reads_a, reads_b = derivative.right
    passes_right = derivative.passes_right
    inverts = primitive.name == "divide"

    def reflected(self: Any, other: Any, modulus: Any = None) -> Any:
        if modulus is not None:
            return NotImplemented
        storage = self._storage
        b = self.window
        if storage is None:
            tape, cell, whole = self.tape, self.cell, True
        elif storage.remote is None:
            tape, cell, whole = storage.tape, storage.cell, b is storage.host
        else:
            return general(self, other)
        kind = type(other)
        scalar = self.scalar and kind is not ndarray and operate
        if (
            kind not in PLAIN
            or tape is None
            or not tape.open
            or tape.put is None
            or entry.others
            or (self.scalar and not scalar and self.scalar in other_than)
        ):
            return general(self, other)
        a = _asarray(other) if kind is float and boxes and b.dtype is _DOUBLE else other
        result = _new(Array)
        if scalar:
            y = _number(self)
            value = operate(other, y)
            result.scalar = made = _KINDS.get(type(value))
            if made is None or (made is not True and _turned_complex(value, other, y)):
                return slow(other, self)
            value = _asarray(value)
            if kind is int:
                a = float(other)
        else:
            value = function(a, b)
            if type(value) is ndarray:
                result.scalar = False
            else:
                value, result.scalar = _asarray(value), True
        result.window = value
        result._storage = None
        result.tape = tape
        same = value.dtype is b.dtype
        if not same and value.dtype.char not in DIFFERENTIABLE:  # with an array of objects
            return _untraced(value)
        fits = whole and same and (kind is float or kind is int or value.shape == b.shape)
        if passes_right and fits:
            result.cell = cell
            cell[SHARED] = True
            return result
        result.cell = out = [None, BORROWED, keeps, False]
        at = _frame(1)
        code = at.f_code
        if code is not record.seen:
            at, code = record.program_frame(at)
        if inverts and fits and (kind is int or kind is float) and other == 1:
            tape.put.append((pull.reciprocal, out, cell, value, None, None, primitive, code, at.f_lasti))
            return result
        if reads_b:
            cell[NEEDED] = True
        tape.put.append(
            (
                pull_right, out, cell if fits else self,
                value if keeps else None, a if reads_a else None, b if reads_b else None,
                primitive, code, at.f_lasti,
            )
        )  # fmt: skip
        return result

    return reflected


def unary(primitive: Primitive) -> Callable[[Any], Any]:
    """An element-wise primitive of one `Array`, which must not be on a device."""
    function = primitive.function
    rules = primitive.bare
    lean = rules is not None and not primitive.flat and rules[0] is not None
    ans, x = reads(rules[0], 1) if lean else (True, True)
    pull_one = pull.unary(primitive.name, rules[0]) if lean else None

    def call(self: Any, depth: int = 1) -> Any:
        storage = self._storage
        a = self.window
        if storage is None:
            tape, cell, whole = self.tape, self.cell, True
        else:
            tape, cell, whole = storage.tape, storage.cell, a is storage.host
        if not lean or tape is None or not tape.open or tape.put is None or entry.others:
            while tape is not None and not tape.open:
                tape = tape.outer
            value = function(a)
            if tape is None or primitive.flat:
                return _untraced(value)
            return _traced(tape, primitive, (self,), value)
        value = function(a)
        if type(value) is ndarray:
            scalar = False
        else:
            value, scalar = _asarray(value), True
        if value.dtype is not a.dtype:  # the absolute value of a complex number
            return _traced(tape, primitive, (self,), value if not scalar else value[()])
        result = _new(Array)
        result.window, result.scalar, result._storage = value, scalar, None
        result.tape, result.cell = tape, [None, BORROWED, ans, False]
        if x:
            cell[NEEDED] = True
        at = _frame(depth)
        code = at.f_code
        if code is not record.seen:
            at, code = record.program_frame(at)
        tape.put.append(
            (
                pull_one, result.cell, cell if whole else self, value if ans else None, a if x else None,
                primitive, code, at.f_lasti,
            )
        )  # fmt: skip
        return result

    return call


def _untraced(value: Any) -> Any:
    if type(value) is ndarray and current_tape() is not None:
        storage = Storage(value)
        storage.cell[NEEDED] = False
        return Array(value, storage)
    return value


def _traced(tape: Any, primitive: Primitive, args: tuple, value: Any) -> Any:
    if type(value) is ndarray:
        storage = Storage(value)
        result = Array(value, storage)
    else:
        value = np.asarray(value)
        storage = Storage(value)
        result = Array(value, storage, True)
    storage.cell[NEEDED] = False
    if value.dtype.char in DIFFERENTIABLE:
        storage.tape = tape
        frame = record.user_frame(_frame(2))
        short = tape.short
        if short is not None:
            short((primitive, args, result, frame.f_code, frame.f_lasti))
        else:
            tape.append(Record(primitive, args, {}, result, frame.f_code, frame.f_lasti))
    return result


# At the end: array.py uses this module.
from minpy.runtime import numbers  # noqa: E402
from minpy.runtime.array import Array  # noqa: E402
