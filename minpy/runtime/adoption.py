"""Plain arrays that a value which is being differentiated is written into.

An array made outside of the differentiated function (a global, an attribute, an element of a list, a closure) is a
plain ``numpy.ndarray``, and operators on it are not seen by the tape. So before the first traced value is written into
one, an `Array` that stands for the same memory takes its place wherever the program holds it: then everything the
program can reach it by is on the tape.

That is right only if no other way to that memory is left. The proof is the interpreter's own count of references: those
that were found and exchanged must be *all* references to the array that owns the memory and to every view of it.
Otherwise (it is being iterated over, or a C extension, an unfinished call or another thread holds it) nothing is
changed, and the write is an error that says what to do.

The arrays go back to where they were when the outermost derivative is done (`give_back`).
"""

from __future__ import annotations

import sys
import types
from contextvars import ContextVar
from typing import Any

import numpy as np

from minpy.runtime import holders
from minpy.runtime.array import Array
from minpy.runtime.record import current_tape


class Session:
    """What was adopted while the outermost derivative of this thread or task was taken."""

    __slots__ = ("adopts", "arrays", "copied", "roots", "slots")

    def __init__(self, roots: tuple, adopts: bool = True) -> None:
        # False where the records outlive the derivative: the program may then write into the memory unseen.
        self.adopts = adopts
        self.roots = roots
        # By the id of the plain array, which the `Array` keeps alive as its window.
        self.arrays: dict[int, Array] = {}
        self.slots: list[tuple[Any, Any, Array]] = []
        # By the id of its storage, what a derivative inside took for an `Array` among its arguments, and that: storage
        # and window of both.
        self.copied: dict[int, tuple[tuple, tuple]] = {}

    def give_back(self) -> None:
        """Put the plain arrays back where they were."""
        for holder, key, array in self.slots:
            if holders.at(holder, key) is array:
                holders.exchange(holder, key, array.window)
        self.slots.clear()
        self.arrays.clear()


session: ContextVar[Session | None] = ContextVar("minpy_session", default=None)

# Without an exact count of references there is no proof: up to 3.10 the interpreter keeps arguments on the caller's
# stack during a call, from 3.14 on it borrows some, and without the global lock the counts are split.
COUNTED = (3, 11) <= sys.version_info < (3, 14) and getattr(sys, "_is_gil_enabled", lambda: True)()


def adopt(array: Any) -> Array | None:
    """The `Array` that stands for the plain `array` from now on, wherever the program holds it.

    Returns
    -------
    Array or None
        None if the program may hold its memory in places that cannot be found.
    """
    now = session.get()
    if now is None or not now.adopts or not COUNTED or type(array) is not np.ndarray:
        return None
    known = now.arrays.get(id(array))
    if known is not None:
        return known
    if array.dtype.kind not in "fc" or not array.flags.writeable or not _recording():
        return None
    family = _Family(_owner(array))
    if family.owner.base is not None or not family.owner.flags.writeable:
        return None
    # `array` here, and `owner` of the family.
    family.add(array, None, None)
    family.add(family.owner, None, None)
    family.search(sys._getframe(1), now)
    if not family.is_complete(array):
        return None
    return family.exchange(now, array)


def known(values: tuple) -> tuple:
    """`values` with every adopted plain array replaced by what stands for it."""
    now = session.get()
    if now is None or not now.arrays:
        return values
    arrays = now.arrays
    return tuple([arrays.get(id(v), v) if type(v) is np.ndarray else v for v in values])


def _recording() -> bool:
    """Whether every open tape is one that records for itself (not a recomputed piece, nor a muted stretch)."""
    from minpy.runtime.tangent import TangentTape
    from minpy.runtime.tape import Tape

    tape = current_tape()
    while tape is not None:
        if tape.open and type(tape) not in (Tape, TangentTape):
            return False
        tape = tape.outer
    return True


def advice() -> str:
    """What to do in a checkpointed function, where no plain array can be replaced; else nothing."""
    if current_tape() is None or _recording():
        return ""
    return " In a checkpointed function that goes for copies too: write np.array(y), not y.copy(), of a plain array"


def _owner(array: np.ndarray) -> np.ndarray:
    while type(array.base) is np.ndarray:
        array = array.base
    return array


class _Family:
    """The array that owns some memory and the views of it, with all references that were found."""

    def __init__(self, owner: np.ndarray) -> None:
        self.owner = owner
        self.members: dict[int, list] = {}  # the array, how many references to it, where those are
        self._inner: set[int] = set()
        self.in_operator = self.walked = False

    # ----- finding

    def add(self, value: Any, holder: Any, key: Any) -> None:
        """A reference to `value`, if it is one of the family."""
        if type(value) is not np.ndarray:
            if type(value) is Array:
                self._window(value)
            return
        step = value
        while type(step.base) is np.ndarray:
            step = step.base
        if step is not self.owner:
            return
        member = self.members.get(id(value))
        if member is None:
            member = self.members[id(value)] = [value, 0, []]
        member[1] += 1
        if holder is not None:
            member[2].append((holder, key))

    def _window(self, array: Array) -> None:
        # What an `Array` holds is no way for the program to reach the memory past the tape.
        storage = array._storage  # made when it is asked for
        for inner, value in (
            (array, array.window),
            (storage, None if storage is None else storage.host),
        ):
            if value is not None and id(inner) not in self._inner:
                self._inner.add(id(inner))
                self.add(value, None, None)

    def search(self, frame: types.FrameType | None, now: Session) -> None:
        """Look for references in the calls from `frame` outwards, and in what they can reach."""
        walk = holders.Walk(self.add)
        ours, inside = True, True
        operands: list[types.FrameType] = []
        for each in holders.frames(frame):
            name = (each.f_globals.get("__name__") or "").partition(".")[0]
            if name == "minpy":
                if ours:
                    operands.append(each)
                elif each.f_code is _outermost:
                    inside = False
                continue
            ours = False
            program = holders.is_programs(each.f_globals)
            # What is further out than the derivative does not run before it is done.
            walk.frame(each, deep=inside or program, keep=not inside)
            if inside and program:
                walk.push(each.f_globals)
        walk.push(now.roots)
        walk.run()
        walk.cells()
        self.walked = walk.complete
        # After the walk: a list among the operands may be the program's, and was looked at then.
        for each in operands:
            self._own_frame(each, walk)
        self._search_tapes(walk)

    def _own_frame(self, frame: types.FrameType, walk: holders.Walk) -> None:
        """References from a call of our own that is under way: the operands of the very write."""
        if frame.f_code is Array.__array_ufunc__.__code__:
            self.in_operator = True
        variables = frame.f_locals
        for name in list(variables):
            self._operand(variables[name], walk)
        if holders.SEALED:
            variables.clear()

    def _operand(self, value: Any, walk: holders.Walk) -> None:
        kind = type(value)
        if kind is np.ndarray:
            self.add(value, None, None)
        elif kind is np.flatiter:
            self.add(value.base, None, None)
        elif kind in _proxies:
            if walk.first(value):
                for slot in _proxies[kind]:
                    part = slot.__get__(value)
                    if type(part) in (np.ndarray, np.flatiter) or type(part) in _proxies:
                        self._operand(part, walk)
        elif (kind is tuple or kind is list or kind is dict) and walk.first(value):
            for part in value.values() if kind is dict else value:
                self._operand(part, walk)

    def _search_tapes(self, walk: holders.Walk) -> None:
        """References from what was recorded; the program does not read through them."""
        tape: Any = current_tape()
        while tape is not None:
            for record in tape.records:
                kind = type(record)
                if kind is tuple:
                    self._parts(record, walk)
                elif walk.first(record):  # the same one may be on several tapes
                    for slot in kind.__slots__:
                        self._parts(getattr(record, slot), walk)
            tape = tape.outer

    def _parts(self, value: Any, walk: holders.Walk) -> None:
        kind = type(value)
        if kind is Array:
            self._window(value)
        elif kind is np.ndarray:
            self.add(value, None, None)
        elif kind in (tuple, list, dict) and walk.first(value):  # a list may be the program's
            for part in value.values() if kind is dict else value:
                self._parts(part, walk)

    # ----- the proof

    def is_complete(self, target: np.ndarray) -> bool:
        """Whether every reference to every member was found, and can be exchanged."""
        if not self.walked:
            return False
        views = sum(member[0] is not self.owner for member in self.members.values())
        for member in self.members.values():
            expected = member[1] + 2  # the list's and the call's own
            if member[0] is self.owner:
                expected += views
            elif type(member[0].base) is not np.ndarray or member[0].base is not self.owner:
                return False  # a view of a view that NumPy kept as its base
            if member[0] is target:
                expected += 1 + (_references_of_an_operator() if self.in_operator else 0)
            if sys.getrefcount(member[0]) != expected:
                return False
            if not all(holders.can_exchange(holder) for holder, _ in member[2]):
                return False
        return True

    def exchange(self, now: Session, array: np.ndarray) -> Array:
        """Put an `Array` in the place of every member."""
        from minpy.runtime import stores

        storage = stores.storage_of(self.owner)
        for value, _, slots in self.members.values():
            if value is not array and not slots:
                continue
            made = now.arrays[id(value)] = Array(value, storage)
            for holder, key in slots:
                holders.exchange(holder, key, made)
                now.slots.append((holder, key, made))
        return now.arrays[id(array)]


# ----- what belongs to us -------------------------------------------------------------------------

# What stands for a target between two halves of a statement, and its attributes; `stores` fills it in.
_proxies: dict[type, list] = {}
_outermost: Any = None


def register(proxy: type) -> None:
    """Count what objects of this class refer to."""
    _proxies[proxy] = [vars(proxy)[name] for name in proxy.__slots__]


def runs(code: types.CodeType) -> None:
    """The code of the call in which the outermost derivative is taken."""
    global _outermost
    _outermost = code


_slack: int | None = None


class _Probe:
    """Counts the references to the left operand of an in-place operator that the interpreter and NumPy hold."""

    def __array_ufunc__(self, *args: Any, **kwargs: Any) -> Any:
        global _slack
        target = kwargs["out"][0]
        # Of these, `target`, the call's own, the tuple of arguments and that of outputs are found in frames.
        _slack = sys.getrefcount(target) - 4
        return target


def _references_of_an_operator() -> int:
    if _slack is None:
        array: Any = [np.zeros(1)]
        array[0] += _Probe()
        # The list's own is none of them.
        globals()["_slack"] -= 1
    return _slack or 0
