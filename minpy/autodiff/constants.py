"""Values through which no gradient flows: `stop_gradient` and `nograd`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from minpy.autodiff import trees
from minpy.runtime import cotangents, entry, writes
from minpy.runtime.array import Array
from minpy.runtime.record import Record, Write, current_tape, open_tape
from minpy.runtime.tape import Tape


def stop_gradient(x: Any) -> Any:
    """`x` as a constant: a copy through which no gradient flows.

    Parameters
    ----------
    x : array, number, or lists, tuples, dicts and dataclasses of them
        The arrays inside become constants too.

    Returns
    -------
    array, number or container
        As `x`, with the same shapes and dtypes. What is not being differentiated is not copied.
    """

    def constant(leaf: Any) -> Any:
        if type(leaf) is not Array:
            return leaf
        if leaf.scalar:
            return leaf.asnumpy()[()]
        return writes.kept(leaf, None) if leaf.storage.handle is not None else leaf.asnumpy()

    return trees.transform(constant, x)


def nograd(fun: Callable[..., Any] | None = None) -> Any:
    """A context, or a function that runs in one, in which nothing is differentiated.

    What is computed there is constant for every derivative that is being taken around it. Arrays may be
    written to all the same, and what is written is constant.

    Parameters
    ----------
    fun : callable, optional
        The function to run so. Without it, a context manager is returned.

    Examples
    --------
    >>> def loss(x):
    ...     with nograd():
    ...         scale = np.max(np.abs(x))
    ...     return np.sum((x / scale) ** 2)
    """
    if fun is None:
        return _NoGrad()

    @functools.wraps(fun)
    def constant(*args: Any, **kwargs: Any) -> Any:
        with _NoGrad():
            return fun(*args, **kwargs)

    return constant


class _NoGrad:
    """One use of `nograd`; may be entered again."""

    def __init__(self) -> None:
        self._entered: list[_Mute | None] = []

    def __enter__(self) -> None:
        mute = _Mute() if current_tape() is not None else None
        self._entered.append(mute)
        if mute is not None:
            mute.enter()

    def __exit__(self, *exc: object) -> None:
        mute = self._entered.pop()
        if mute is not None:
            mute.leave()


class _Mute:
    """Stands in front of the tapes of this thread or task: they hear of writes, which they must undo, only."""

    __slots__ = ("_shut", "_token", "depth", "open", "outer")
    records: tuple = ()

    def __init__(self) -> None:
        # No outer tape: what a gradient taken inside leaves active is not active outside.
        self.outer = None
        self.open = False
        self._shut: list[Any] = []
        tape = current_tape()
        self.depth = tape.depth + 1 if tape is not None else 0
        while tape is not None:
            if tape.open:
                self._shut.append(tape)
            tape = tape.outer

    def enter(self) -> None:
        entry.activate(tape=True)
        for tape in self._shut:
            tape.open = False
        self.open = True
        self._token = open_tape.set(self)  # type: ignore[arg-type]

    def leave(self) -> None:
        self.open = False
        open_tape.reset(self._token)
        for tape in self._shut:
            tape.open = True
        entry.deactivate(tape=True)

    def append(self, record: Record | Write) -> None:
        if type(record) is not Write:
            return
        for i in reversed(range(len(self._shut))):
            outer = self._shut[i + 1 :]
            self.open = False
            for tape in outer:
                tape.open = True
            token = open_tape.set(self._shut[i])
            try:
                # Undoing the write is work that the tapes further out must know of.
                old = cotangents.read(record.target, record.index) if outer else record.old
                constant = Write(record.target, record.index, None, old)
                constant.code, constant.instruction = record.code, record.instruction
                tape = self._shut[i]
                if type(tape) is Tape:
                    tape.note_write(record.target.storage)
                    tape.records.append(constant)
                else:
                    tape.follow(constant)
            finally:
                open_tape.reset(token)
                for tape in outer:
                    tape.open = False
                self.open = True

    put = short = None  # every record comes whole, through `append`
    watches = Tape.watches
