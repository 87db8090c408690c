"""Short cuts of the reverse sweep: element-wise records on the host, while the sweep itself is not recorded
(see `fast`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minpy.runtime.array import Array
from minpy.runtime.cotangents import accumulate
from minpy.runtime.fast import PLAIN
from minpy.runtime.record import Record, Short
from minpy.runtime.storage import Storage

if TYPE_CHECKING:
    from minpy.runtime.tape import Tape


def pull(tape: Tape, record: Short, touched: set[Storage]) -> bool:
    """Propagate the cotangent of an element-wise record, if nothing needs the long way; else return False."""
    primitive, args, result, _, _ = record
    rules = primitive.bare
    if rules is None:
        return False
    out = result.storage
    g = out.cotangent
    if g is None:
        return True
    if type(g) is not np.ndarray or result.window is not out.host or out.device is not None:
        return False
    if len(args) == 1:
        (x,) = args
        if x.storage.device is not None:
            return False
        out.cotangent = None
        try:
            d = rules[0](g, result.window, x.window)
        except Exception as error:
            raise Record.full(record).failed(0, error) from error
        _add(tape, x, d, touched)
        return True
    if len(args) != 2:
        return False
    x, y = args
    first = second = None
    if type(x) is Array:
        first = x.storage
        a = x.window
        if first.device is not None:
            return False
        if first.tape is not tape and not tape.watches(first):
            first = None
    elif type(x) in PLAIN:
        a = x
    else:
        return False
    if type(y) is Array:
        second = y.storage
        b = y.window
        if second.device is not None:
            return False
        if second.tape is not tape and not tape.watches(second):
            second = None
    elif type(y) in PLAIN:
        b = y
    else:
        return False
    if (first is not None and rules[0] is None) or (second is not None and rules[1] is None):
        return False
    out.cotangent = None
    position = 0
    try:
        d = rules[0](g, result.window, a, b) if first is not None else None
        position = 1
        e = rules[1](g, result.window, a, b) if second is not None else None
    except Exception as error:
        raise Record.full(record).failed(position, error) from error
    if d is not None:
        _add(tape, x, d, touched)
    if e is not None:
        _add(tape, y, e, touched)
    return True


def _add(tape: Tape, operand: Array, d: Any, touched: set[Storage]) -> None:
    # `touched` is not needed here: the sweep clears the cotangents of results, of its targets and of what
    # was written to.
    storage = operand.storage
    window = operand.window
    if (
        type(d) is np.ndarray
        and window is storage.host
        and d.dtype is window.dtype
        and d.shape == window.shape
    ):
        have = storage.cotangent
        if have is None:
            storage.cotangent = d  # borrowed, as in cotangents.accumulate
            storage.owned = False
            return
        if type(have) is np.ndarray:
            if storage.owned:
                have += d
            else:
                storage.cotangent = have + d
            return
    accumulate(tape, operand, d, touched)
