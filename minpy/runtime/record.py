"""What a tape holds: operations and writes, each with the user's line, and which tape is open."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextvars import ContextVar
from opcode import opmap
from typing import TYPE_CHECKING, Any

from minpy.errors import GradientError, NanError

if TYPE_CHECKING:
    from minpy.runtime.storage import Storage
    from minpy.runtime.tape import Tape

open_tape: ContextVar[Tape | None] = ContextVar("minpy_tape", default=None)


def current_tape() -> Tape | None:
    """The innermost tape that records in this thread or task."""
    tape = open_tape.get()
    while tape is not None and not tape.open:
        tape = tape.outer
    return tape


def tape_of(storage: Storage) -> Tape | None:
    """The innermost open tape on which `storage` is active."""
    tape = storage.tape
    while tape is not None and not tape.open:
        tape = tape.outer
    return tape


def innermost(arrays: list) -> Tape | None:
    """The innermost open tape on which one of `arrays` is active."""
    found = None
    for array in arrays:
        tape = array.storage.tape
        while tape is not None and not tape.open:
            tape = tape.outer
        if tape is not None and (found is None or tape.depth > found.depth):
            found = tape
    return found


# The code, and the globals, of the program's frame that was seen last: one comparison is what a line costs as a rule.
seen: Any = None
program: Any = None


def program_frame(frame: Any) -> tuple[Any, Any]:
    """The nearest frame of the program from `frame` outwards, and its code, when that is not the one seen last."""
    global seen
    if frame.f_globals is not program:
        frame = user_frame(frame)
    code = seen = frame.f_code
    return frame, code


class _Passed(dict):
    """By the name of a module, whether it is MinPy's, NumPy's or SciPy's."""

    def __missing__(self, name: Any) -> bool:
        self[name] = passed = str(name or "").partition(".")[0] in ("minpy", "numpy", "scipy")
        return passed


_passed = _Passed()


def user_frame(frame: Any) -> Any:
    """The nearest frame, from `frame` outwards, that is neither MinPy's nor NumPy's nor SciPy's."""
    global program
    while _passed[frame.f_globals.get("__name__")]:
        if frame.f_back is None:
            return frame
        frame = frame.f_back
    program = frame.f_globals
    return frame


# Instructions of ``%``, with their argument where it says so.
_REMAINDERS = {(opmap["BINARY_OP"], 6), (opmap["BINARY_OP"], 19)} if "BINARY_OP" in opmap else set()
_OLD_REMAINDERS = {opmap.get("BINARY_MODULO"), opmap.get("INPLACE_MODULO")} - {None}  # Python 3.10


def formats_text(frame: Any) -> bool:
    """Whether what `frame` is about is ``%`` of something that asks for a float: ``"%.3f" % x``. Numbers do not."""
    text, at = frame.f_code.co_code, frame.f_lasti
    return at >= 0 and (text[at] in _OLD_REMAINDERS or (text[at], text[at + 1]) in _REMAINDERS)


class Line:
    """A place in the user's program, resolved only when an error is written."""

    __slots__ = ("code", "instruction")

    def __init__(self, frame: Any = None) -> None:
        frame = user_frame(frame or sys._getframe(1))
        self.code, self.instruction = frame.f_code, frame.f_lasti

    @property
    def number(self) -> int:
        """The number of the line."""
        for start, end, number in self.code.co_lines():
            if number is not None and start <= self.instruction < end:
                return number
        return self.code.co_firstlineno

    def __str__(self) -> str:
        return f'File "{self.code.co_filename}", line {self.number}, in {self.code.co_name}'


# Records without keyword arguments in short; making an object of each would cost more than the rest of a small
# operation.
#
# On a tape that is kept (see `Tape`): primitive, args, result, code, instruction.
# On any other, where what the sweep does not ask for must not be kept: the function that does the record's part of the
# sweep, and what it needs (see `minpy.runtime.pull`); code and instruction come last.
Short = tuple


class Record:
    """One operation: primitive, operands, result, and where in the program it ran."""

    __slots__ = ("args", "code", "instruction", "kwargs", "primitive", "result")

    def __init__(
        self, primitive: Any, args: tuple, kwargs: dict, result: Any, code: Any = None, instruction: int = 0
    ) -> None:
        self.primitive, self.args, self.kwargs, self.result = primitive, args, kwargs, result
        if code is None:
            frame = user_frame(sys._getframe(1))
            code, instruction = frame.f_code, frame.f_lasti
        self.code, self.instruction = code, instruction

    @classmethod
    def full(cls, record: Record | Short) -> Record:
        """The record itself, whichever form it has."""
        if type(record) is not tuple:
            return record
        primitive, args, result, code, instruction = record
        return cls(primitive, args, {}, result, code, instruction)

    @property
    def line(self) -> Line:
        """Where it ran."""
        return line_of(self.code, self.instruction)

    def failed(self, i: int, error: Exception) -> GradientError:
        """The error to raise when the derivative rule of argument `i` failed."""
        if isinstance(error, (GradientError, NanError)):
            return error  # type: ignore[return-value]
        operands = ", ".join(
            f"{getattr(a, 'shape', ())} {getattr(a, 'dtype', type(a).__name__)}" for a in self.args
        )
        return GradientError(
            f"the derivative of {self.primitive.name}({operands}) with respect to argument {i} failed: "
            f"{type(error).__name__}: {error}. The operation ran at {self.line}"
        )


class Write:
    """One in-place write: ``target[index] = value``, with the elements that it overwrote.

    `index` is None when `target` (a view) is written as a whole.
    """

    __slots__ = ("code", "index", "instruction", "old", "target", "value")

    def __init__(self, target: Any, index: Any, value: Any, old: Any) -> None:
        self.target, self.index, self.value, self.old = target, index, value, old
        frame = user_frame(sys._getframe(1))
        self.code, self.instruction = frame.f_code, frame.f_lasti

    @property
    def line(self) -> Line:
        """Where it was written."""
        return line_of(self.code, self.instruction)


def line_of(code: Any, instruction: int) -> Line:
    """The place in the program where an instruction is."""
    line = Line.__new__(Line)
    line.code, line.instruction = code, instruction
    return line


def parts_of(record: Any) -> Iterator[Any]:
    """All that a record refers to, also inside lists, tuples and dicts."""
    if type(record) is Record:
        stack = [record.args, record.kwargs, record.result]
    elif type(record) is Write:
        stack = [record.target, record.index, record.value, record.old]
    else:
        stack = [record]
    while stack:
        value = stack.pop()
        if type(value) in (list, tuple):
            stack.extend(value)
        elif type(value) is dict:
            stack.extend(value.values())
        else:
            yield value


def replace_in(tape: Tape | None, old: Any, new: Any) -> None:
    """Make the records of `tape`, and of those around it, refer to `new` where they refer to the array object `old`."""
    while tape is not None:
        records = tape.records
        for i, record in enumerate(records):
            if not any(part is old for part in parts_of(record)):
                continue
            if type(record) is tuple:
                records[i] = _swap(record, old, new)
                continue
            for slot in ("args", "kwargs", "result") if type(record) is Record else ("target", "value"):
                setattr(record, slot, _swap(getattr(record, slot), old, new))
        tape = tape.outer


def _swap(value: Any, old: Any, new: Any) -> Any:
    if value is old:
        return new
    if type(value) is tuple:
        return tuple([_swap(v, old, new) for v in value])
    if type(value) is list and any(part is old for part in parts_of((value,))):
        return [_swap(v, old, new) for v in value]  # (a cell holds no arrays yet, and stays itself)
    if type(value) is dict:
        return {key: _swap(v, old, new) for key, v in value.items()}
    return value


def no_rule(primitive: Any, i: int, line: Line) -> str:
    """What to say where argument `i` of `primitive` is differentiated and has no rule."""
    return (
        f"{primitive.name} has no derivative rule for argument {i}. It ran at {line}. "
        "Use minpy.stop_gradient on the operand if no gradient should flow"
    )


def failure(record: Short, i: int | None, g: Any, error: Exception) -> GradientError:
    """The error to raise when the derivative rule of argument `i` (of both, if None) of a record in short failed."""
    if isinstance(error, GradientError):
        return error
    primitive, code, instruction = record[-3:]
    where = "" if i is None else f"with respect to argument {i} "
    return GradientError(
        f"the derivative of {primitive.name} (whose result is {g.shape} {g.dtype}) {where}failed: "
        f"{type(error).__name__}: {error}. The operation ran at {line_of(code, instruction)}"
    )
