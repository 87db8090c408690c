"""What a record in short does in the reverse sweep.

The first element of such a record (see `record.Short` and `fast`) is a function of this module. Those of operations
take ``(…, rules, cell, handle(s), operands, result, primitive, code, instruction)``: `cell` is the result's; a handle
says where an operand's cotangent goes. It is a cell if the operand is the whole of its storage, with the shape and the
dtype of the result, so that nothing has to be fitted, and an `Array` if it is anything else.

A sweep over such records is never recorded itself: cotangents are plain arrays, unless a device is involved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minpy.runtime.geometry import covers
from minpy.runtime.record import Record, Short, failure
from minpy.runtime.storage import BORROWED, COTANGENT, HELD, LENT, OWN

if TYPE_CHECKING:
    from minpy.runtime.tape import Tape

_add = np.add


def pull_one(tape: Tape, record: Short) -> None:
    """An operation of one operand."""
    _, rules, cell, handle, x, ans, _, _, _ = record
    g = cell[COTANGENT]
    if g is None:
        return
    cell[COTANGENT] = None
    if type(g) is not np.ndarray:
        g = host(g)
    try:
        d = rules[0](g, ans, x)
    except Exception as error:
        raise failure(record, 0, g, error) from error
    give(tape, handle, d, g, cell[HELD])


def pull_left(tape: Tape, record: Short) -> None:
    """An operation of two operands, of which only the first is active."""
    _, rules, cell, handle, x, y, ans, _, _, _ = record
    g = cell[COTANGENT]
    if g is None:
        return
    cell[COTANGENT] = None
    if type(g) is not np.ndarray:
        g = host(g)
    try:
        d = rules[0](g, ans, x, y)
    except Exception as error:
        raise failure(record, 0, g, error) from error
    give(tape, handle, d, g, cell[HELD])


def pull_right(tape: Tape, record: Short) -> None:
    """An operation of two operands, of which only the second is active."""
    _, rules, cell, handle, x, y, ans, _, _, _ = record
    g = cell[COTANGENT]
    if g is None:
        return
    cell[COTANGENT] = None
    if type(g) is not np.ndarray:
        g = host(g)
    try:
        d = rules[1](g, ans, x, y)
    except Exception as error:
        raise failure(record, 1, g, error) from error
    give(tape, handle, d, g, cell[HELD])


def pull_both(tape: Tape, record: Short) -> None:
    """An operation of two operands, both active."""
    _, rules, cell, first, second, x, y, ans, _, _, _ = record
    g = cell[COTANGENT]
    if g is None:
        return
    cell[COTANGENT] = None
    if type(g) is not np.ndarray:
        g = host(g)
    position = 0
    try:
        # Both before either is added: the cotangent may be a part of what is added to.
        d = rules[0](g, ans, x, y)
        position = 1
        e = rules[1](g, ans, x, y)
    except Exception as error:
        raise failure(record, position, g, error) from error
    held = cell[HELD]
    if d is g or e is g:
        # Two may get the same.
        if held == LENT:
            if d is g:
                d = g.copy()
            if e is g:
                e = g.copy() if type(e) is np.ndarray else e
        held = BORROWED
    give(tape, first, d, g, held)
    give(tape, second, e, g, held)


def give(tape: Tape, handle: Any, d: Any, g: Any, held: int) -> None:
    """Add `d`, computed from the cotangent `g` that was held in the way `held`, to an operand's cotangent."""
    if type(handle) is not list:
        if d is not None:
            cotangents.accumulate(tape, handle, d, tape.touched)
        return
    if type(d) is not np.ndarray or d.dtype is not g.dtype:
        if d is None:
            return
        d = cotangents.fit(host(d), g.shape, g.dtype)
    have = handle[COTANGENT]
    if have is None:
        if d is not g:
            handle[HELD] = BORROWED
        elif held == LENT:
            d = g.copy()
            handle[HELD] = OWN
        else:
            handle[HELD] = OWN if held > 0 else BORROWED
        handle[COTANGENT] = d
    elif handle[HELD] > 0 and type(have) is np.ndarray:
        _add(have, d, have)
    else:
        handle[COTANGENT] = have + d
        handle[HELD] = OWN


def pull_added(tape: Tape, record: Short) -> None:
    """``target += value`` or ``target -= value``: the target's cotangent stays, and is the value's as well."""
    _, _, cell, target, handle, old, negative, _, _, _ = record
    tape.touched.add(target.storage)
    g = cell[COTANGENT]
    if g is not None and handle is not None:
        whole = target.window is target.storage.host
        if not whole:
            g = cotangents.region(target)
        if type(g) is not np.ndarray:
            d = -host(g) if negative else host(g).copy()
            give(tape, handle, d, d, OWN)
        elif negative:
            d = -g
            give(tape, handle, d, d, OWN)
        elif type(handle) is not list or handle[COTANGENT] is not None:
            # A copy: the operand may be another part of the same buffer.
            give(tape, handle, g.copy(), g, OWN)
        elif whole:
            handle[COTANGENT] = g
            handle[HELD] = cell[HELD] = BORROWED
        elif tape.records and type(tape.records[-1]) is tuple and tape.records[-1][2] is handle:
            # The value was made by the operation before, which reads the region before anything is added to it.
            handle[COTANGENT], handle[HELD] = g, LENT
        else:
            handle[COTANGENT], handle[HELD] = g.copy(), OWN
    _restore(tape, target, old)


def pull_scaled(tape: Tape, record: Short) -> None:
    """``target op= value`` where the derivative asks for the value only, which is not active (``u *= 2``)."""
    _, rules, cell, target, value, old, _, _, _, _ = record
    tape.touched.add(target.storage)
    if cell[COTANGENT] is not None:
        try:
            g = cotangents.region(target)
            g[...] = rules[0](g, None, None, value)
        except Exception as error:
            raise failure(record, 0, target.window, error) from error
    _restore(tape, target, old)


def pull_written(tape: Tape, record: Short) -> None:
    """``target[...] = value``."""
    _, _, cell, target, handle, old, _, _, _, _ = record
    tape.touched.add(target.storage)
    if cell[COTANGENT] is not None:
        held = cell[HELD] if covers(target.window, target.storage.host) else OWN
        g = cotangents.cut(target, None)
        if handle is not None:
            give(tape, handle, g, g, held)
    _restore(tape, target, old)


def _restore(tape: Tape, target: Any, old: Any) -> None:
    if old is not None:
        window = target.window
        tape.redo.append((target, window.copy()))
        window[...] = old


def pull_kept(tape: Tape, record: Short) -> bool:
    """A record of a tape that is kept, if nothing needs the long way; else return False."""
    primitive, args, result, _, _ = record
    rules = primitive.bare
    if rules is None:
        return False
    out = result.storage
    cell = out.cell
    g = cell[COTANGENT]
    if g is None:
        return True
    if type(g) is not np.ndarray or result.window is not out.host or out.remote is not None:
        return False
    values, active = [], []
    for i, operand in enumerate(args):
        if type(operand) is Array:
            if operand.storage.remote is not None:
                return False
            values.append(operand.window)
            if tape.watches(operand.storage):
                if rules[i] is None:
                    return False
                active.append((i, operand))
        elif type(operand) in (list, tuple):
            return False
        else:
            values.append(operand)
    cell[COTANGENT] = None
    found = []
    for i, operand in active:
        try:
            found.append((operand, rules[i](g, result.window, *values)))
        except Exception as error:
            raise Record.full(record).failed(i, error) from error
    for operand, d in found:
        if d is not None:
            cotangents.accumulate(tape, operand, d, tape.touched)
    return True


# At the end: they need the functions, whichever module is imported first.
from minpy.runtime import cotangents  # noqa: E402
from minpy.runtime.array import Array, host  # noqa: E402
