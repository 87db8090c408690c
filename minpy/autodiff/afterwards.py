"""What a differentiated function leaves behind is plain: in arguments, globals, closures, attributes and containers.

While a tape is open, arrays are `Array` objects, and the function may put them anywhere. When the outermost derivative
is done they are exchanged for the plain arrays and numbers that the function would have left there without a tape, in
all places that a walk from the function and its arguments reaches. The interpreter counts the references to a class,
and each instance is one, so it is known at no cost whether any are left, and as a rule none are. Those that were there
before are known one by one: they may go while the function runs (a pullback that it drops, garbage), and as many come.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from weakref import ref

import numpy as np

from minpy.runtime import adoption, entry
from minpy.runtime.adoption import Session
from minpy.runtime.array import Array
from minpy.runtime.geometry import bounds
from minpy.runtime.holders import Walk, can_exchange, exchange
from minpy.runtime.record import current_tape, parts_of, tape_of
from minpy.runtime.storage import Storage

_T = TypeVar("_T")


def around(
    work: Callable[[tuple, dict], _T],
    fun: Any,
    args: tuple,
    kwargs: dict,
    kept: Callable[[_T], dict[int, Array]] | None = None,
) -> _T:
    """``work(args, kwargs)``, which calls `fun`; what that leaves behind becomes plain if no derivative is around it.

    `kept` gives the arrays, by id, that the result holds on to: the program gets copies of them.
    """
    if adoption.session.get() is not None or current_tape() is not None:
        return work(args, kwargs)
    return _outermost(work, fun, args, kwargs, kept)


def _outermost(work: Any, fun: Any, args: tuple, kwargs: dict, kept: Any) -> Any:
    # On devices a program has arrays outside of derivatives, too many to know each.
    before = sys.getrefcount(Array) if entry.others else -1
    now = Session((fun, args, kwargs), adopts=kept is None)
    token = adoption.session.set(now)
    held: dict[int, Array] = {}
    try:
        result = work(args, kwargs)
        if kept is not None:
            held = kept(result)
        return result
    finally:
        adoption.session.reset(token)
        if now.arrays:
            now.give_back()
        if not _census.fits(held.values()) and sys.getrefcount(Array) != before + len(held):
            _make_plain(now, held)
            _census.take(held.values())


class _Census:
    """Which arrays are alive: as many as there are references to the class, but for those that no array holds."""

    def __init__(self) -> None:
        self._others = -1  # references to the class that no array holds
        self._living: list[ref] = []  # the arrays that are known
        self._doubts = self._due = 0

    def fits(self, held: Iterable[Array]) -> bool:
        """Whether no arrays are alive but those that were known before and, from now on, `held`."""
        living = self._living
        if held:
            known = {id(each()) for each in living}
            living += [ref(each) for each in held if id(each) not in known]
        if living:
            living[:] = [each for each in living if each() is not None]
        return sys.getrefcount(Array) == self._others + len(living)

    def take(self, held: Iterable[Array]) -> None:
        """Count again: what a walk has left is not the program's. It is a look at all objects, so ever rarer."""
        if self.fits(held):
            return
        self._doubts += 1
        if self._doubts < self._due:
            return
        self._due = 2 * self._doubts
        self._living = [ref(each) for each in gc.get_objects() if type(each) is Array]
        self._others = sys.getrefcount(Array) - len(self._living)


_census = _Census()
adoption.runs(_outermost.__code__)


def arrays_in(records: list, *others: Any) -> dict[int, Array]:
    """The arrays that records and other values refer to, by id."""
    found: dict[int, Array] = {}
    for record in (*records, *others):
        for part in parts_of(record):
            if type(part) is Array:
                found[id(part)] = part
    return found


def _make_plain(now: Session, held: dict[int, Array]) -> None:
    """Exchange the `Array` objects that can be reached from the call, for copies if they are in `held`."""
    slots: list[tuple[Any, Any, Array]] = []

    def leaf(value: Any, holder: Any, key: Any) -> None:
        if type(value) is Array:
            slots.append((holder, key, value))

    walk = Walk(leaf)
    walk.push(now.roots)
    walk.run()
    made: dict[int, Any] = {}
    copies: dict[int, np.ndarray] = {}
    storages = {id(array.storage) for array in held.values()}
    tuples: list[tuple] = []
    for holder, key, value in slots:
        new = made.get(id(value))
        if new is None:
            new = _plain(of_caller(value, now), copies if id(value.storage) in storages else None)
            made[id(value)] = new
        if type(new) is Array:
            continue
        if isinstance(holder, tuple):
            tuples.append(holder)
        elif isinstance(holder, set):
            holder.discard(value)
            holder.add(new)
        elif can_exchange(holder):
            exchange(holder, key, new)
    _exchange_tuples(tuples, walk, made)


def of_caller(value: Any, now: Session | None = None) -> Any:
    """What the caller of a derivative inside gave it, if `value` is the copy of that, or a view of it."""
    now = now or adoption.session.get()
    if type(value) is not Array or now is None:
        return value
    found = now.copied.get(id(value.storage))
    while found is not None and not value.scalar:
        (_, mine), (storage, theirs) = found
        window = value.window
        start = window.__array_interface__["data"][0] - mine.__array_interface__["data"][0]
        if mine.strides != theirs.strides or mine.dtype != theirs.dtype:
            break
        if start == 0 and window.strides == mine.strides and window.shape == mine.shape:
            value = Array(theirs, storage)
        elif theirs.flags.c_contiguous:
            value = Array(np.ndarray(window.shape, window.dtype, theirs, start, window.strides), storage)
        else:
            break
        found = now.copied.get(id(storage))
    return value


def _plain(value: Array, copies: dict[int, np.ndarray] | None) -> Any:
    """What NumPy would have made in the place of `value`; itself if it is in use."""
    storage = value.storage
    if storage.device is not None or tape_of(storage) is not None:
        return value
    if storage.tape is None and entry.holders != entry.others:
        return value  # perhaps made on a tape of another thread, which has not ended
    if value.scalar:
        return value.contents.item() if type(value.scalar) is int else value.contents[()]
    if copies is None:
        return value.contents
    low, high = bounds(storage.host)
    if id(storage) not in copies:  # one for all views, so that they still share memory
        copies[id(storage)] = np.frombuffer(_bytes(storage, low, high), np.uint8)
    window = value.window
    return np.ndarray(
        window.shape,
        window.dtype,
        copies[id(storage)],
        window.__array_interface__["data"][0] - low,
        window.strides,
    )


def _bytes(storage: Storage, low: int, high: int) -> bytearray:
    made = bytearray(max(high - low, 1))
    host = storage.host
    start = host.__array_interface__["data"][0] - low
    np.ndarray(host.shape, host.dtype, made, start, host.strides)[...] = host
    return made


def _exchange_tuples(tuples: list[tuple], walk: Walk, made: dict[int, Any]) -> None:
    """Put tuples of plain arrays in the place of these ones, and of the tuples around them."""
    new: dict[int, Any] = {}

    def rebuilt(value: tuple) -> Any:
        if id(value) not in new:
            parts = [
                made.get(id(part), part)
                if type(part) is Array
                else rebuilt(part)
                if isinstance(part, tuple)
                else part
                for part in value
            ]
            kind = type(value)
            if all(a is b for a, b in zip(parts, value, strict=True)):
                new[id(value)] = value
            elif kind is tuple:
                new[id(value)] = tuple(parts)
            else:
                new[id(value)] = kind._make(parts) if hasattr(kind, "_make") else value
        return new[id(value)]

    seen: set[int] = set()
    stack: list[Any] = list(tuples)
    while stack:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        for holder, key in walk.parents.get(id(value), ()):
            if isinstance(holder, tuple):
                stack.append(holder)
            elif can_exchange(holder):
                exchange(holder, key, rebuilt(value))
