"""The tape, under the original's names; see `minpy.runtime.tape`. `minpy.grad` and its relatives are the way to use it.

By hand::

    with tape() as records:
        x = minpy.array.wrap(x)
        x.mark_for_bp(records)
        y = np.sum(x**2)
    (dx,) = records.get_gradient((x,), y)

Gradients may be asked for several times.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minpy.autodiff import calls
from minpy.errors import GradientError
from minpy.runtime.array import Array
from minpy.runtime.primitives.table import Primitive
from minpy.runtime.record import Record, current_tape
from minpy.runtime.record import Record as GradRecord
from minpy.runtime.tape import Tape as _Tape

__all__ = ["GradRecord", "Tape", "global_tape", "tape"]


class Tape:
    """Records operations on what was marked (`minpy.array.mark_for_bp`), for gradients afterwards.

    Attributes
    ----------
    timestamp : int
        Which tape it is, in the order in which they were made; of the class, how many there have been.
    """

    timestamp = 0

    def __init__(self) -> None:
        Tape.timestamp += 1
        self.timestamp = Tape.timestamp
        self._tape: _Tape | None = None

    def start_recording(self) -> None:
        """Record what this thread or task does from here on.

        Raises
        ------
        GradientError
            If it has recorded already: a tape is for one run.
        """
        if self._tape is not None:
            raise GradientError("a tape records once: make another one")
        self._tape = _Tape(kept=True)
        self._tape.__enter__()

    def stop_recording(self) -> None:
        """Record no longer; gradients can be asked for."""
        if self.is_recording():
            self._tape.__exit__()  # type: ignore[union-attr]

    def is_recording(self) -> bool:
        """Whether operations are recorded."""
        return self._tape is not None and self._tape.open

    def add_partial_derivative(self, grad_func: Callable[[Any], Any], owner: Any, result: Any) -> None:
        """Record that `result`, an array made outside of what is recorded, depends on `owner`.

        Parameters
        ----------
        grad_func : callable
            Maps the gradient with respect to `result` to that with respect to `owner`.
        owner, result : Array
            Wrapped while the tape records.
        """
        if not self.is_recording() or type(owner) is not Array or type(result) is not Array:
            raise GradientError(
                "add_partial_derivative takes two arrays that were wrapped while the tape records"
            )
        row = Primitive(
            calls.name_of(grad_func),
            grad_func,
            vjp=lambda i: (lambda g, ans, x: grad_func(g)) if i == 0 else None,
        )
        result.storage.tape = self._tape
        self._tape.append(Record(row, (owner,), {}, result))  # type: ignore[union-attr]

    def get_gradient(self, origin: Any, target: Any) -> Any:
        """The gradient of `target` with respect to `origin`.

        Parameters
        ----------
        origin : Array or sequence of Array
            What was marked.
        target : Array
            A result; of an array the sum of its elements is meant.

        Returns
        -------
        array or tuple of array
            Zeros of the origin's shape where the result does not depend on it.
        """
        self.stop_recording()
        if self._tape is None:
            raise GradientError("nothing was recorded: use `with minpy.tape.tape() as records:`")
        several = isinstance(origin, Sequence)
        origins = list(origin) if several else [origin]
        for each in origins:
            if type(each) is not Array:
                raise GradientError("the origin of a gradient is an array that was marked (mark_for_bp)")
        watched = type(target) is Array and self._tape.watches(target.storage)
        seeds = [(target, np.ones(target.shape, target.dtype))] if watched else []
        records = list(self._tape.records)
        try:
            found = self._tape.sweep(seeds, origins)
        finally:
            self._tape.records[:] = records
        gradients = [
            np.zeros(each.shape, each.dtype) if d is None else np.array(d)
            for each, d in zip(origins, found, strict=True)
        ]
        return tuple(gradients) if several else gradients[0]


# The tape of `tape()` that is open, for the names of the original.
_open: list[Tape] = []


@contextlib.contextmanager
def tape() -> Iterator[Tape]:
    """A tape that records inside of the ``with`` statement."""
    made = Tape()
    made.start_recording()
    _open.append(made)
    try:
        yield made
    finally:
        _open.remove(made)
        made.stop_recording()


def global_tape() -> Tape | None:
    """The tape of the innermost `tape()` that is open, None if none is."""
    if current_tape() is None:
        return None
    return next((each for each in reversed(_open) if each.is_recording()), None)
