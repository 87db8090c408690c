"""The short way of primitives that are not element-wise, where all is on the host and one tape records.

`fast` has element-wise operators, whose records hold only what the sweep reads. Here any primitive that computes a new
array (no view, no write, no list to be joined first) is run and recorded without the questions that
`dispatch.call_long` asks for devices, policies and tapes around tapes. Whatever is not as simple as that is left to it.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy import ndarray

from minpy.runtime import record
from minpy.runtime.primitives.table import Primitive
from minpy.runtime.storage import BORROWED, DIFFERENTIABLE, NEEDED, WEAK

NOT_RUN = object()

# Operands that hold no Array, and that NumPy takes as they are.
_SIMPLE = frozenset(
    (ndarray, float, int, complex, bool, str, type(None), np.float64, np.int64, type(np._NoValue), type)
)
# Linear functions that move or add up elements: of their first operand the rules ask for the shape only, and nothing of
# the result (tests/runtime/test_tape.py tries them with other contents).
SHAPE_ONLY = frozenset(
    "sum mean diff cumsum roll concatenate stack repeat tile copy astype getitem take tril triu".split()
)
_new = object.__new__


def is_direct(primitive: Primitive) -> bool:
    """Whether a primitive may be run here; its result decides too."""
    return not (
        primitive.geometry
        or primitive.writes
        or primitive.view is True
        or primitive.compose
        or primitive.creates
        or primitive.vjp is None
        or primitive.flat
        or primitive.name in dispatch.overwrites
        or (primitive.elementwise and getattr(primitive.function, "nout", 0) != 1)
    )


def run(tape: Any, primitive: Primitive, args: tuple, kwargs: dict) -> Any:
    """Run `primitive` and put it on `tape`, or return NOT_RUN with nothing done."""
    if primitive.direct is None:
        primitive.direct = is_direct(primitive)
    if not primitive.direct or len(args) > primitive.outs:
        return NOT_RUN
    if primitive.view and primitive.view(*args, **kwargs):
        return NOT_RUN
    for key, value in kwargs.items():
        if type(value) not in _SIMPLE and (
            type(value) is not tuple or not all(type(v) is int for v in value)
        ):
            return NOT_RUN
        if key == "out" or key == "where":
            return NOT_RUN
    operands, values, given, active = [], [], [], False
    for i, arg in enumerate(args):
        kind = type(arg)
        if kind is Array:
            storage = arg._storage
            if storage is None:
                source = arg.tape
            elif storage.remote is None:
                source = storage.tape
            else:
                return NOT_RUN
            if source is not None:
                if source is not tape:
                    return NOT_RUN
                active = True
            operands.append(arg)
            window = arg.window
            values.append(window)
            if arg.scalar:
                if arg.scalar is WEAK:
                    return NOT_RUN
                window = window[()]
            given.append(window)
        elif kind in _SIMPLE:
            values.append(arg)
            given.append(arg)
        elif kind is list or kind is tuple:
            inner = []
            for part in arg:
                if type(part) is Array:
                    storage = part._storage
                    source = part.tape if storage is None else storage.tape
                    if (
                        i < primitive.joins
                        or part.scalar
                        or (storage is not None and storage.remote is not None)
                        or (source is not None and source is not tape)
                    ):
                        return NOT_RUN
                    active = active or source is not None
                    operands.append(part)
                    inner.append(part.window)
                elif type(part) in _SIMPLE:
                    inner.append(part)
                else:
                    return NOT_RUN
            inner = inner if kind is list else tuple(inner)
            values.append(inner)
            given.append(inner)
        else:
            return NOT_RUN
    if not active:
        return NOT_RUN
    value = primitive.function(*given, **kwargs)
    scalar = False
    if type(value) is not ndarray:
        if not isinstance(value, np.generic):
            primitive.direct = False
            return NOT_RUN
        value, scalar = np.asarray(value), True
    elif value.base is not None:
        # A view of an operand, perhaps, which needs no record; or NumPy made it in two steps.
        if any(np.may_share_memory(value, operand.window) for operand in operands):
            return NOT_RUN
        for v in given:
            if type(v) is ndarray and np.may_share_memory(value, v):
                return NOT_RUN
    if value.dtype.char not in DIFFERENTIABLE:
        return NOT_RUN
    shape_only = primitive.name in SHAPE_ONLY
    if shape_only:
        operands = [arg for arg in args[1:] if type(arg) is Array]
    for operand in operands:
        storage = operand._storage
        (operand.cell if storage is None else storage.cell)[NEEDED] = True
    result = _new(Array)
    result.window, result.scalar, result._storage = value, scalar, None
    result.tape, result.cell = tape, [None, BORROWED, not shape_only, False]
    at = sys._getframe(1)
    code = at.f_code
    if code is not record.seen:
        at, code = record.program_frame(at)
    pulled = pull.special.get(primitive.name, pull.pull_any)
    tape.put.append((pulled, result.cell, args, kwargs, value, values, primitive, code, at.f_lasti))
    return result


def item(tape: Any, array: Any, index: Any, value: Any) -> Any:
    """``array[index]``, which NumPy says is the scalar `value`, on `tape`."""
    window = array.window
    storage = array.storage
    places = (*index, Ellipsis) if type(index) is tuple else (index, Ellipsis)
    path = () if window is storage.host else array.path
    source = Array(window[places], storage, False, None if path is None else (*path, places))
    result = _new(Array)
    result.window, result.scalar, result._storage = np.asarray(value), True, None
    result.tape, result.cell = tape, [None, BORROWED, False, False]
    at = sys._getframe(2)
    code = at.f_code
    if code is not record.seen:
        at, code = record.program_frame(at)
    tape.put.append((pull.pull_item, result.cell, source, dispatch.by_name["getitem"], code, at.f_lasti))
    return result


# At the end: these modules need this one's functions, and this one their names.
from minpy.runtime import dispatch, pull  # noqa: E402
from minpy.runtime.array import Array  # noqa: E402
