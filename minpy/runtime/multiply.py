"""The short cut of ``x @ y`` for two matrices: as `fast` does for element-wise operations.

The sweep multiplies matrices without asking the table, and may put it off (`Tape.defer`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from minpy.runtime import blas, cotangents, dispatch, entry, narrow, pull, record
from minpy.runtime.array import Array, host
from minpy.runtime.primitives.matrices import crossed
from minpy.runtime.storage import BORROWED, NEEDED, OWN

_new = object.__new__
_matmul, _dot, _loose = np.matmul, blas.dot, blas.loose


def operator(slow: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """``Array.__matmul__``; `slow` is the long way."""

    def forward(self: Any, other: Any) -> Any:
        result = product(self, other, 2)
        return slow(self, other) if result is None else result

    return forward


def product(x: Any, y: Any, depth: int) -> Any:
    """``x @ y`` on the open tape, or None with nothing done; the program's frame is `depth` above this one."""
    tape = None
    handles: list[Any] = [None, None]
    windows: list[ndarray] = []
    for i, operand in enumerate((x, y)):
        if type(operand) is Array:
            storage = operand._storage
            if storage is None:
                source, handles[i] = operand.tape, operand.cell
            elif storage.remote is None:
                # An argument is kept as it is: the sweep asks whether it is one.
                source, handles[i] = storage.tape, operand
            else:
                return None
            if source is None:
                handles[i] = None
            elif tape is None:
                tape = source
            elif source is not tape:
                return None
            windows.append(operand.window)
        elif type(operand) is ndarray:
            windows.append(operand)
        else:
            return None
    a, b = windows
    if (
        a.ndim != 2
        or b.ndim != 2
        or a.dtype is not b.dtype
        or a.dtype.char not in "fd"
        or a.shape[1] != b.shape[0]
        or not a.size
        or not b.size
        or tape is None
        or not tape.open
        or tape.put is None
        or entry.others
    ):
        return None
    value = narrow.product(a, b) if b.shape[1] <= narrow.MOST else None
    if value is None:
        if tape.free:
            if type(second := handles[1]) is Array:
                value = tape.times_freely(a, b, second)
            if value is None:
                value = _loose(a, b)
        if value is None:
            value = _matmul(a, b)
    first, second = handles
    # Each is what the derivative with respect to the other one reads.
    if second is not None and type(x) is Array:
        (x.cell if x._storage is None else x._storage.cell)[NEEDED] = True
    if first is not None and type(y) is Array:
        (y.cell if y._storage is None else y._storage.cell)[NEEDED] = True
    result = _new(Array)
    result.window, result.scalar, result._storage = value, False, None
    result.tape, result.cell = tape, [None, BORROWED, False, False]
    at = sys._getframe(depth)
    code = at.f_code
    if code is not record.seen:
        at, code = record.program_frame(at)
    tape.put.append(
        (
            pull_matrices, result.cell, first, second,
            None if second is None else a, None if first is None else b,
            dispatch.by_name["matmul"], code, at.f_lasti,
        )
    )  # fmt: skip
    return result


def _added(operand: Array, x: ndarray, g: ndarray) -> bool:
    """Add ``x.T @ g`` to the cotangent of `operand` as it is made, if that has memory of its own for it."""
    storage = operand._storage
    have, held = storage.cell[:2]
    if (
        held <= 0
        or type(have) is not ndarray
        or operand.window is not storage.host
        or have.shape != operand.window.shape
        or not have.dtype is g.dtype is x.dtype
        or not have.flags.c_contiguous
        or x.nbytes > _LARGE
        or np.may_share_memory(have, g)
        or np.may_share_memory(have, x)
    ):
        return False
    blas.add_dot(x.T, g, have)
    return True


_LARGE = 1 << 20  # bytes from which a product of few columns is made in parts


def pull_matrices(tape: Any, entry: tuple) -> None:
    """The product of two matrices: ``g @ y.T`` and ``x.T @ g``."""
    _, cell, first, second, x, y, _, _, _ = entry
    g = cell[0]
    if g is None:
        return
    cell[0] = None
    if type(g) is not ndarray:
        g = host(g)
    try:
        # Both before either is added: the cotangent may be a part of what is added to.
        d = e = None
        if first is not None:
            if type(first) is not list and tape.can_defer(0, first, y, g):
                tape.defer(first, g.T, y.T)
            else:
                # What is packed must not change while the sweep goes on.
                d = tape.times(g, y, second) if type(second) is Array else None
                if d is None:
                    d = _dot(g, y.T)
        if second is not None:
            if type(second) is list or not (tape.puts_off(second, x, g) or _added(second, x, g)):
                e = crossed(x, g)
    except Exception as error:
        raise record.failure(entry, None, g, error) from error
    for handle, found in ((first, d), (second, e)):
        if found is None:
            continue
        if type(handle) is not list:
            cotangents.accumulate(tape, handle, found, tape.touched, OWN)
        elif handle[0] is None:
            handle[0], handle[1] = found, OWN
        else:
            pull.give(tape, handle, found, g, OWN)
