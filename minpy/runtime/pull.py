"""What a record in short does in the reverse sweep.

The first element of such a record (see `record.Short` and `fast`) is a function that is made or defined here; the
second is the cell of the result, or of what was written to; the last are primitive, code and instruction. Those of
operations take ``(…, cell, handle(s), result, operands, …)``. A handle says where an operand's cotangent goes: it is a
cell if the operand is the whole of its storage, with the shape and the dtype of the result, so that nothing has to be
fitted, and an `Array` if it is anything else. What the rules do not read is None.

A sweep over such records is never recorded itself: cotangents are plain arrays, unless a device is involved.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import getrefcount
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy import ndarray

from minpy.errors import GradientError
from minpy.runtime.geometry import covers
from minpy.runtime.record import Record, Short, failure, no_rule
from minpy.runtime.storage import BORROWED, COTANGENT, HELD, LENT, OWN

if TYPE_CHECKING:
    from minpy.runtime.tape import Tape

Rule = Callable[..., Any]


class Form(NamedTuple):
    """What a function here does with element-wise records, for who does it another way (`fuse.stretch`).

    Attributes
    ----------
    handles : int
        How many operands are active.
    derive : callable
        ``derive(g, ans, operands)`` gives their cotangents.
    """

    handles: int
    derive: Callable[[Any, Any, Any], tuple]


# By the function.
forms: dict[Callable[..., None], Form] = {}

_add, _multiply, _asarray = np.add, np.multiply, np.asarray

# In the functions that `one` and `both` make, 0 and 1 are COTANGENT and HELD: they run once for each small operation.


def one(rule: Rule, i: int, count: int) -> Callable[[Tape, Short], None]:
    """For an operation of `count` operands of which only number `i`, whose rule is `rule`, is active."""

    def pull_unary(tape: Tape, record: Short) -> None:
        _, cell, handle, ans, x, _, _, _ = record
        g = cell[0]
        if g is None:
            return
        cell[0] = None
        if type(g) is not ndarray:
            g = host(g)
        try:
            d = rule(g, ans, x)
        except Exception as error:
            raise failure(record, i, g, error) from error
        if type(handle) is list and type(d) is ndarray and d is not g and handle[0] is None:
            # What the rule made, and nothing else refers to, may be written to.
            handle[1] = OWN if d.base is None and getrefcount(d) == 2 else BORROWED
            handle[0] = d
        else:
            give(tape, handle, d, g, cell[1])

    def pull_binary(tape: Tape, record: Short) -> None:
        _, cell, handle, ans, x, y, _, _, _ = record
        g = cell[0]
        if g is None:
            return
        cell[0] = None
        if type(g) is not ndarray:
            g = host(g)
        try:
            d = rule(g, ans, x, y)
        except Exception as error:
            raise failure(record, i, g, error) from error
        if type(handle) is list and type(d) is ndarray and d is not g and handle[0] is None:
            handle[1] = OWN if d.base is None and getrefcount(d) == 2 else BORROWED
            handle[0] = d
        else:
            give(tape, handle, d, g, cell[1])

    found = pull_unary if count == 1 else pull_binary
    forms[found] = Form(1, lambda g, ans, operands: (rule(g, ans, *operands),))
    return found


def _tanh(g: Any, ans: Any, out: Any) -> Any:
    d = ans * ans
    np.subtract(1.0, d, d)
    return np.multiply(d, g, d)


# Rules of operations that are met all the time, of the cotangent and the result, which may work in the memory `out`.
_IN_PLACE: dict[str, Callable[[Any, Any, Any], Any]] = {
    "exp": _multiply,
    "negative": lambda g, ans, out: np.negative(g, out),
    "tanh": _tanh,
}


_PLAINLY: dict[str, Callable[[Any, Any], Any]] = {
    "exp": lambda g, ans: g * ans,
    "negative": lambda g, ans: -g,
    "tanh": lambda g, ans: (1.0 - ans * ans) * g,
}


def unary(name: str, rule: Rule) -> Callable[[Tape, Short], None]:
    """For an operation of one operand."""
    quick = _IN_PLACE.get(name)
    if quick is None:
        return one(rule, 0, 1)

    def pull(tape: Tape, record: Short) -> None:
        _, cell, handle, ans, _, _, _, _ = record
        g = cell[0]
        if g is None:
            return
        cell[0] = None
        if type(g) is not ndarray:
            g = host(g)
        try:
            if type(g) is ndarray and g.ndim:
                d = quick(g, ans, g if cell[1] > 0 else None)  # nobody else's
            else:
                d = rule(g, ans, None)
        except Exception as error:
            raise failure(record, 0, g, error) from error
        if type(handle) is list and type(d) is ndarray and handle[0] is None:
            handle[0], handle[1] = d, OWN
        else:
            give(tape, handle, d, g, OWN)

    forms[pull] = Form(1, lambda g, ans, operands: (_PLAINLY[name](g, ans),))
    return pull


def reciprocal(tape: Tape, record: Short) -> None:
    """``1 / y``, whose derivative asks for the result only."""
    _, cell, handle, ans, _, _, _, _, _ = record
    g = cell[0]
    if g is None:
        return
    cell[0] = None
    if type(g) is not ndarray:
        g = host(g)
    try:
        d = _multiply(g, ans, g) if cell[1] > 0 and type(g) is ndarray and g.ndim else g * ans
        if type(d) is ndarray and d.ndim:
            d = np.negative(_multiply(d, ans, d), d)
        else:
            d = -(d * ans)
    except Exception as error:
        raise failure(record, 1, g, error) from error
    if type(handle) is list and type(d) is ndarray and handle[0] is None:
        handle[0], handle[1] = d, OWN
    else:
        give(tape, handle, d, g, OWN)


def product(tape: Tape, record: Short) -> None:
    """A product of which only one factor is active: as `one`, without a call of the rule, for it is so frequent."""
    _, cell, handle, _, x, y, _, _, _ = record
    g = cell[0]
    if g is None:
        return
    cell[0] = None
    if type(g) is not ndarray:
        g = host(g)
    try:
        factor = y if x is None else x
        if type(handle) is not list:
            d = _times(g, factor, handle.window)
        elif cell[1] > 0 and type(g) is ndarray:
            d = _multiply(g, factor, g)  # nobody else's
        else:
            d = g * factor
    except Exception as error:
        raise failure(record, 0 if x is None else 1, g, error) from error
    if type(handle) is list and type(d) is ndarray and handle[0] is None:
        handle[0] = d
        handle[1] = OWN
    else:
        give(tape, handle, d, g, OWN)


def both(left: Rule, right: Rule) -> Callable[[Tape, Short], None]:
    """For an operation of two operands, both active."""

    def rules(g: Any, ans: Any, x: Any, y: Any, record: Short) -> tuple[Any, Any]:
        return left(g, ans, x, y), right(g, ans, x, y)

    pull = both_at_once(rules, BORROWED)
    forms[pull] = Form(2, lambda g, ans, operands: (left(g, ans, *operands), right(g, ans, *operands)))
    return pull


def both_at_once(rules: Rule, fresh: int) -> Callable[[Tape, Short], None]:
    """As `both`, with one rule that gives the two cotangents; `fresh` says whose these are, if they are not `g`."""

    def pull(tape: Tape, record: Short) -> None:
        _, cell, first, second, ans, x, y, _, _, _ = record
        g = cell[0]
        if g is None:
            return
        cell[0] = None
        if type(g) is not ndarray:
            g = host(g)
        try:
            # Both before either is added: the cotangent may be a part of what is added to.
            d, e = rules(g, ans, x, y, record)
        except Exception as error:
            raise failure(record, None, g, error) from error
        if not fresh and cell[1] == LENT:
            d = g.copy() if d is g else d
            e = g.copy() if e is g else e
        if type(first) is list and type(d) is ndarray and first[0] is None:
            first[0] = d
            first[1] = fresh
        else:
            give(tape, first, d, g, fresh)
        if type(second) is list and type(e) is ndarray and second[0] is None:
            second[0] = e
            second[1] = fresh
        else:
            give(tape, second, e, g, fresh)

    return pull


def _products(g: Any, ans: Any, x: Any, y: Any, record: Short) -> tuple[Any, Any]:
    d = _times(g, y, x)
    if record[1][1] > 0 and type(record[3]) is list and type(g) is ndarray:
        return d, _multiply(g, x, g)  # nobody else's
    return d, _times(g, x, y)


def _times(g: Any, factor: Any, operand: Any) -> Any:
    """``g * factor``, summed over the axes along which `operand` was broadcast where that is a product of matrices."""
    if type(g) is ndarray and type(factor) is ndarray and g.dtype is factor.dtype:
        if operand.ndim == 0:
            if g.ndim == 1 == factor.ndim:
                return _asarray(np.dot(g, factor))
        elif g.ndim == 2 and operand.shape != g.shape and g.size:
            rows, columns = g.shape
            if operand.shape == (rows, 1) and factor.shape in ((columns,), (1, columns)):
                return np.dot(g, factor.ravel())[:, None]
            if operand.shape in ((columns,), (1, columns)) and factor.shape == (rows, 1):
                return np.dot(factor[:, 0], g).reshape(operand.shape)
    return g * factor


def _quotients(g: Any, ans: Any, x: Any, y: Any, record: Short) -> tuple[Any, Any]:
    d = g / y
    e = d * ans
    return d, np.negative(e, e) if type(e) is ndarray else -e


def _reciprocals(g: Any, ans: Any, operands: Any) -> tuple:
    d = g * ans
    return (-(d * ans),)


products = both_at_once(_products, OWN)
quotient = both_at_once(_quotients, OWN)
forms[reciprocal] = Form(1, _reciprocals)
forms[product] = Form(1, lambda g, ans, operands: (g * operands[operands[0] is None],))
forms[products] = Form(2, lambda g, ans, operands: (g * operands[1], g * operands[0]))
forms[quotient] = Form(2, lambda g, ans, operands: (g / operands[1], -(g / operands[1] * ans)))


# Primitives whose rules never hand on the cotangent, nor a part of it or of an operand.
_MAKES_NEW = frozenset({"matmul", "dot"})


def pull_any(tape: Tape, record: Short) -> None:
    """An operation of any primitive, with all its operands."""
    _, cell, args, kwargs, ans, values, primitive, code, instruction = record
    g = cell[COTANGENT]
    if g is None:
        return
    cell[COTANGENT] = None
    if type(g) is not ndarray:
        g = host(g)
    for i, operand in enumerate(args):
        if not cotangents.is_active(tape, operand):
            continue
        rule = primitive.rule(i)
        if rule is None:
            if primitive.flat:
                continue
            raise GradientError(
                no_rule(primitive, i, Record(primitive, args, kwargs, None, code, instruction).line)
            )
        try:
            d = rule(g, ans, *values, **kwargs)
            held = OWN if primitive.name in _MAKES_NEW and type(d) is ndarray and d.base is None else BORROWED
            cotangents.accumulate(tape, operand, d, tape.touched, held)
        except Exception as error:
            raise Record(primitive, args, kwargs, None, code, instruction).failed(i, error) from error


def pull_getitem(tape: Tape, record: Short) -> None:
    """An index of arrays: its part of the cotangent is added to in place, however large the array is."""
    cell, args, values = record[1], record[2], record[5]
    g = cell[COTANGENT]
    if g is None:
        return
    source = args[0]
    if (
        type(g) is not ndarray
        or type(source) is not Array
        or not tape.watches(source.storage)
        or not cotangents.gather(source, values[1], g)
    ):
        pull_any(tape, record)
        return
    cell[COTANGENT] = None
    tape.touched.add(source.storage)


def pull_product(tape: Tape, record: Short) -> None:
    """A product of matrices or vectors.

    The cotangent of a matrix that is used again and again (the weights of a recurrent network) is a sum of products
    with few rows. They are put together, and multiplied out when they are many (`minpy.runtime.deferred`).
    """
    _, cell, args, kwargs, ans, values, primitive, code, instruction = record
    g = cell[COTANGENT]
    if g is None or type(g) is not ndarray or kwargs or len(args) != 2:
        pull_any(tape, record)
        return
    x, y = values
    first, second = args
    for i, operand, other in ((0, first, y), (1, second, x)):
        if type(operand) is not Array or type(other) is not ndarray or not tape.watches(operand.storage):
            continue
        if not tape.can_defer(i, operand, other, g):
            if i == 0 and other.ndim == 1 and cotangents.add_outer(operand, g, other):
                tape.touched.add(operand.storage)
                first = None
            continue
        # ``x @ y``: the cotangent of x is g @ y.T, that of y is x.T @ g.
        if i == 0:
            tape.defer(operand, g.T, other.T)
            first = None
        else:
            tape.defer(operand, other, g)
            second = None
    pull_any(tape, (None, cell, (first, second), kwargs, ans, values, primitive, code, instruction))


def pull_link(tape: Tape, record: Short) -> None:
    """Here a storage that shared its cell got one of its own: back to the one that it shared."""
    _, cell, before, storage = record
    storage.cell = before
    g = cell[COTANGENT]
    if g is not None:
        cell[COTANGENT] = None
        give(tape, before, g, g, cell[HELD])


def pull_item(tape: Tape, record: Short) -> None:
    """An element read as a scalar; its place in the array is a view without axes."""
    _, cell, source, _, _, _ = record
    g = cell[COTANGENT]
    if g is not None:
        cell[COTANGENT] = None
        cotangents.accumulate(tape, source, g, tape.touched)


def give(tape: Tape, handle: Any, d: Any, g: Any, held: int) -> None:
    """Add `d`, computed from the cotangent `g` that was held in the way `held`, to an operand's cotangent."""
    if type(handle) is not list:
        if d is not None:
            cotangents.accumulate(tape, handle, d, tape.touched)
        return
    if type(d) is not np.ndarray:
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
    _, cell, target, handle, old, negative, _, _, _ = record
    tape.touched.add(target.storage)
    g = cell[COTANGENT]
    if g is not None and handle is not None:
        whole = target.window is target.storage.host
        if not whole:
            g = cotangents.region(target)
        if negative or type(g) is not np.ndarray:
            d = -host(g) if negative else host(g).copy()
            give(tape, handle, d, d, OWN)
        elif type(handle) is not list or handle[COTANGENT] is not None:
            # A copy: the operand may be another part of the same buffer.
            give(tape, handle, g.copy(), g, OWN)
        elif whole:
            handle[COTANGENT] = g
            handle[HELD] = cell[HELD] = BORROWED
        elif tape.records and type(tape.records[-1]) is tuple and tape.records[-1][1] is handle:
            # The value was made by the operation before, which reads the region before anything is added to it.
            handle[COTANGENT], handle[HELD] = g, LENT
        else:
            handle[COTANGENT], handle[HELD] = g.copy(), OWN
    _restore(tape, target, old)


def pull_scaled(tape: Tape, record: Short) -> None:
    """``target op= value`` where the derivative asks for the value only, which is not active (``u *= 2``)."""
    _, cell, target, rule, old, value, _, _, _ = record
    tape.touched.add(target.storage)
    if cell[COTANGENT] is not None:
        try:
            g = cotangents.region(target)
            g[...] = rule(g, None, None, value)
        except Exception as error:
            raise failure(record, 0, target.window, error) from error
    _restore(tape, target, old)


def pull_written(tape: Tape, record: Short) -> None:
    """``target[...] = value``."""
    _, cell, target, handle, old, _, _, _ = record
    tape.touched.add(target.storage)
    if cell[COTANGENT] is not None:
        held = cell[HELD] if covers(target.window, target.storage.host) else OWN
        g = cotangents.cut(target, None)
        if handle is not None:
            give(tape, handle, g, g, held)
    _restore(tape, target, old)


def _restore(tape: Tape, target: Any, old: Any) -> None:
    if old is not None:
        save(tape, target)
        target.window[...] = old


def save(tape: Tape, target: Array) -> None:
    """Note what `target` ends with, to be put there again behind the sweep: it is about to be taken back."""
    window = target.window
    # What a later write to the very same place left there is what the replay ends with: one copy is enough.
    place = window.nbytes >= _SMALL and (window.__array_interface__["data"][0], window.shape, window.strides)
    if place not in tape.saved:
        tape.redo.append((target, None, window.copy()))
        if place:
            tape.saved.add(place)


# Bytes that are copied as quickly as they are looked up.
_SMALL = 8192


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

# By name, primitives whose records have a function of their own.
special = {"getitem": pull_getitem, "matmul": pull_product, "dot": pull_product}
