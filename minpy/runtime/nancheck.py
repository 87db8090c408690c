"""``--nan-check``: the first operation that makes a NaN or an infinity out of finite operands, forward or backward.

While it is on, all array work takes the long way through dispatch, which asks `entry.checker` first (None otherwise:
that is all it costs when it is off). What one operation does inside is not looked at: a derivative rule, or a function
that is written in others, may make an infinity that it then discards.

What is not finite because the program asked for it is no finding: an operand that is not finite already (``np.nan``,
``np.full(n, np.inf)``, data with gaps), and an operation under ``np.errstate(…="ignore")`` or ``np.seterr``. The latter
are counted.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np

from minpy.errors import NanError, NanWarning, UsageError
from minpy.options import NAN_CHECKS
from minpy.runtime import dispatch, entry
from minpy.runtime.array import Array
from minpy.runtime.nanlook import Finding, Look, outs, parts
from minpy.runtime.nanstores import Stores
from minpy.runtime.record import Line, Record, current_tape

# Whether an operation is being looked at as a whole; and whether the next question is that operation's own.
_inside: ContextVar[bool] = ContextVar("minpy_nan_inside", default=False)
_passing: ContextVar[bool] = ContextVar("minpy_nan_passing", default=False)
# While a derivative rule runs: the line of the operation that it is the derivative of.
_forward: ContextVar[Line | None] = ContextVar("minpy_nan_forward", default=None)


class Checker(Stores):
    """Looks at every operation while it is `entry.checker`.

    Attributes
    ----------
    mode : str
        ``"raise"`` or ``"warn"``.
    passed : int
        How many operations made something that is not finite where the program ignores it.
    first : str
        The first of them, and where.
    """

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.passed, self.first = 0, ""
        self._warned: set[tuple[str, int | None]] = set()

    def wants(self) -> bool:
        """Whether an operation is to be looked at: not if it is a part of another one."""
        if _passing.get():
            _passing.set(False)
            return False
        return not _inside.get()

    def operation(self, primitive: Any, args: tuple, kwargs: dict) -> Any:
        """``dispatch.call_long``, and a look at what it made."""
        if _may_adopt(primitive, args, kwargs):
            _passing.set(True)
            return dispatch.call_long(primitive, args, kwargs)
        return self._operation(primitive, args, kwargs)

    def _operation(self, primitive: Any, args: tuple, kwargs: dict) -> Any:
        called = _callables(args, kwargs)

        def run() -> Any:
            if not called:
                return dispatch.call_long(primitive, args, kwargs)
            _passing.set(True)
            return dispatch.call_long(primitive, args, kwargs)

        if primitive.geometry or primitive.creates:
            with _whole(not called):
                return run()
        if len(args) > primitive.outs:
            args, kwargs = primitive.outputs(args, kwargs)
        written = list(outs(kwargs.get("out")))
        if primitive.name in dispatch.overwrites or primitive.writes is not None:
            written += args[:1]
        look = Look(_said(primitive.name), args, kwargs, written, primitive.elementwise)
        with _whole(not called):
            result = run()
        self._judge(look, result)
        return result

    def function(
        self,
        name: str,
        run: Callable[[], Any],
        operands: tuple,
        kwargs: dict,
        written: tuple = (),
        **how: bool,
    ) -> Any:
        """Anything else that computes: `run`, which takes `operands` and writes into `written`."""
        look = Look(name, operands, kwargs, [*outs(kwargs.get("out")), *written], **how)
        with _whole(not _callables(operands, kwargs)):
            result = run()
        self._judge(look, result)
        return result

    def derivative(self, record: Any, i: int, rule: Any, g: Any, ans: Any, args: tuple, kwargs: dict) -> Any:
        """A derivative rule applied to a cotangent, and a look at what it made."""
        with _whole(), _of(record):
            d = rule(g, ans, *args, **kwargs)
        where = f" with respect to argument {i}", "finite operands and a finite cotangent"
        self._judge_derivative(record, d, (g, ans), where, record.line)
        return d

    def pushed(self, record: Any, tangents: list, run: Callable[[], Any]) -> Any:
        """The tangent of an operation's result, and a look at it."""
        with _whole():
            found = run()
        where = " along the tangents", "finite operands and finite tangents"
        self._judge_derivative(record, found, (tangents, record.result), where, _forward.get() or record.line)
        return found

    # ----- judging

    def _judge(self, look: Look, result: Any) -> None:
        for made in (*parts(result), *look.written):
            found = look.finding(made)
            if found is not None:
                self._report(found, look.error(found), None)
                return

    def _judge_derivative(
        self, record: Any, result: Any, beside: tuple, where: tuple[str, str], line: Line
    ) -> None:
        primitive = record.primitive
        tail, of = where
        name = f"the derivative of {_said(primitive.name)}"
        look = Look(name, record.args, record.kwargs, [], primitive.elementwise, beside, tail)
        for made in parts(result):
            found = look.finding(made)
            if found is not None:
                self._report(found, look.error(found, of), line)
                return

    def _report(self, found: Finding, text: str, line: Line | None) -> None:
        line = line or Line()
        if found.ignored():
            self.passed += 1
            self.first = self.first or f"{text.partition(' made ')[0]} at {line}"
            return
        text = f"{text} The operation ran at {line}. {_ADVICE}"
        if self.mode == "raise":
            raise NanError(text)
        key = line.code.co_filename, line.number
        if key not in self._warned:
            self._warned.add(key)
            warnings.warn_explicit(f"{text} [{NanError.code}]", NanWarning, key[0], key[1] or 1)


_ADVICE = (
    "Keep the operands away from there (np.where on the operand, np.maximum, a small constant), or wrap the "
    'operation in np.errstate(all="ignore") if this is meant'
)


def _may_adopt(primitive: Any, args: tuple, kwargs: dict) -> bool:
    """Whether a plain array may have to be exchanged for one on the tape, which only this call may then hold.

    The operations that it consists of are looked at instead.
    """
    first = args[:1] if primitive.name in dispatch.overwrites or primitive.writes is not None else ()
    targets = (*outs(kwargs.get("out")), *first, *args[primitive.outs :])
    return any(type(t) is np.ndarray for t in targets) and _traced((args, kwargs))


def _traced(value: Any) -> bool:
    if isinstance(value, dict):
        value = tuple(value.values())
    return type(value) is Array or (isinstance(value, (list, tuple)) and any(map(_traced, value)))


def _callables(args: tuple, kwargs: dict) -> bool:
    """Whether the operation calls functions of the program's, whose own operations count."""
    return any(
        callable(each) and not isinstance(each, (type, np.ufunc)) for each in (*args, *kwargs.values())
    )


# What the table calls otherwise than the program does.
_NAMES = {"scatter_add": "add.at", "getitem": "indexing"}


def _said(name: str) -> str:
    return _NAMES.get(name, name)


@contextlib.contextmanager
def _whole(whole: bool = True) -> Iterator[None]:
    """What runs in here is one operation, of which the parts are not looked at."""
    token = _inside.set(whole or _inside.get())
    try:
        yield
    finally:
        _inside.reset(token)


@contextlib.contextmanager
def _of(record: Any) -> Iterator[None]:
    """What is recorded in here belongs to the derivative of `record`, and to its line.

    Otherwise the derivative of a derivative would name the line that asked for the derivative.
    """
    tapes = []
    tape = current_tape()
    while tape is not None:
        tapes.append((tape.records, len(tape.records)))
        tape = tape.outer
    token = _forward.set(record.line)
    try:
        yield
    finally:
        _forward.reset(token)
        for records, count in tapes:
            for each in records[count:]:
                if type(each) is Record:
                    each.code, each.instruction = record.code, record.instruction


# ----- on and off ----------------------------------------------------------------------------------------------------

_lock = threading.Lock()
_running: list[Checker] = []


def start(mode: str = "raise") -> Checker:
    """Begin to look at every operation, in all threads; the one begun last is in force."""
    if mode not in NAN_CHECKS[1:]:
        raise UsageError(f"unknown nan_check mode {mode!r}: choose from {', '.join(NAN_CHECKS[1:])}")
    checker = Checker(mode)
    entry.activate()
    with _lock:
        _running.append(checker)
        entry.check(checker)
    return checker


def stop(checker: Checker) -> None:
    """Undo the `start` that gave `checker`."""
    with _lock:
        if checker not in _running:
            return
        _running.remove(checker)
        entry.check(_running[-1] if _running else None)
    entry.deactivate()


@contextlib.contextmanager
def nan_check(mode: str = "raise") -> Iterator[Checker]:
    """While this context is open, report the operations that make a NaN or an infinity out of finite operands.

    It holds in all threads. The gradient, too, must be asked for in here if its operations are to be looked at.
    Operators between plain arrays are seen where the code was rewritten for that: under ``minpy run --nan-check``, or
    by ``minpy.accelerate(operators=True)``.

    Parameters
    ----------
    mode : {"raise", "warn"}
        Raise `minpy.errors.NanError`, or give a `minpy.errors.NanWarning` once a line.

    Examples
    --------
    >>> with minpy.nan_check():
    ...     minpy.grad(loss)(weights)
    """
    checker = start(mode)
    try:
        yield checker
    finally:
        stop(checker)


def report() -> None:
    """At the end of ``minpy run --nan-check``: a line on stderr if something was made where the program ignores it."""
    for checker in _running:
        if checker.passed:
            operations = f"{checker.passed} operation{'s' * (checker.passed != 1)}"
            sys.stderr.write(
                f"minpy: --nan-check passed over {operations} where the program ignores what NumPy says (np.errstate, "
                f"np.seterr), the first: {checker.first}\n"
            )
