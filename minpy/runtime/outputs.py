"""Calls with ``out=``: compute, then write into what was given, with NumPy's own checks."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minpy.errors import TraceError
from minpy.runtime import dispatch, writes
from minpy.runtime.primitives.table import Primitive
from minpy.runtime.record import Line, current_tape, innermost


def into(primitive: Primitive, args: tuple, kwargs: dict, computed_by: Primitive | None = None) -> Any:
    """A call with ``out=``: compute (with `computed_by` if it is given), then write, with NumPy's own checks."""
    out = kwargs["out"]
    target = out[0] if type(out) is tuple and len(out) == 1 else out
    if type(target) is not tuple and not isinstance(target, np.ndarray):
        return primitive.function(*host(args), **host(kwargs))  # NumPy says what an output must be
    operands: list[Array] = []
    dispatch.collect(args, operands)
    traced = innermost(operands)
    plain_target = isinstance(target, np.ndarray) and type(target) is not Array
    if type(target) is tuple or (plain_target and traced is None):
        if traced is not None:
            raise TraceError(
                f"{primitive.name} with several out= arrays cannot be differentiated, at {Line()}. Assign "
                "the results instead"
            )
        if current_tape() is not None:
            from minpy.runtime import stores

            stores.exposed(out)
            if type(target) is tuple:
                return _into_several(primitive, args, kwargs, out)
        primitive.function(*host(args), **{**host(kwargs), "out": host_out(out)})
        _wrote(out)
        return target
    if plain_target:
        active = adoption.adopt(target) if target.dtype.kind in "fc" else None
        if active is not None:
            return into(primitive, adoption.known(args), {**kwargs, "out": active}, computed_by)
        raise TraceError(
            "a value that is being differentiated would be written into a plain array (shape "
            f"{target.shape}) by {primitive.name}, at {Line()}. "
            "Make the array inside the differentiated function, or assign the result to a new "
            f"name.{adoption.advice()}".rstrip(".")
        )
    rest = {k: v for k, v in kwargs.items() if k != "out"}
    # Of a reduction, `where` says what is added up, not where the output is written.
    where = rest.pop("where", True) if primitive.elementwise else True
    if computed_by is None and target.storage.device is None and traced is None and current_tape() is None:
        primitive.function(
            *host(args),
            **host(rest),
            out=target.contents,
            **({} if where is True else {"where": host(where)}),
        )
        target.storage.wrote_host()
        return target
    if not target.window.flags.writeable:
        raise ValueError("output array is read-only")
    if (
        where is True
        and not rest
        and computed_by is None
        and primitive.elementwise
        and _is_alike(args, target)
    ):
        # Nothing that NumPy would refuse.
        result = dispatch.call(primitive, args, rest)
        if type(result) is Array and result.window.dtype is target.window.dtype:
            writes.write(target, None, result)
            return target
    _check_cast(primitive, args, rest, target)
    rest.pop("casting", None)
    if primitive.name in _SUMMED_AS_OUTPUT and where is True and target.storage.device is None:
        computed_by = _with_output_like(primitive, target)
    result = (
        dispatch.call_long(computed_by, args, rest) if computed_by else dispatch.call(primitive, args, rest)
    )
    if where is True:
        if np.shape(result) != target.shape:
            result = np.broadcast_to(result, target.shape)
        writes.write(target, None, result)
    else:
        mask = np.broadcast_to(host(where), target.shape)
        writes.write(target, mask, np.broadcast_to(result, target.shape)[mask])
    return target


def _is_alike(args: tuple, target: Array) -> bool:
    """Whether every operand is of the target's shape and dtype, or a Python float."""
    window = target.window
    for arg in args:
        if type(arg) is Array:
            arg = arg.window
        elif type(arg) is float:
            continue
        if type(arg) is not np.ndarray or arg.dtype is not window.dtype or arg.shape != window.shape:
            return False
    return True


# The order in which these add up depends on the strides of the output.
_SUMMED_AS_OUTPUT = frozenset(("sum", "prod", "mean"))


def _with_output_like(primitive: Primitive, target: Array) -> Primitive:
    row = copy.copy(primitive)
    signature = primitive.signature()

    def function(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)  # an operand behind `out` may have moved it to its position
        given.arguments["out"] = target.contents.copy("K")
        return primitive.function(*given.args, **given.kwargs)

    row.function = function
    return row


def _into_several(primitive: Primitive, args: tuple, kwargs: dict, outs: tuple) -> Any:
    """Several outputs while a tape records: what lives on the tape is written through it."""
    new = tuple(out.asnumpy() if type(out) is Array else out for out in outs)
    results = primitive.function(*host(args), **{**host(kwargs), "out": new})
    for out, value in zip(outs, new, strict=True):
        if type(out) is Array:
            writes.write(out, None, value)
    results = results if type(results) is tuple else (results,)
    return tuple(r if out is None else out for r, out in zip(results, outs, strict=True))


def _check_cast(primitive: Primitive, args: tuple, kwargs: dict, target: Any) -> None:
    """Raise what NumPy raises for this ``out=``, by asking it on operands of no size and the same dtypes."""
    if not isinstance(primitive.function, np.ufunc) or primitive.function.signature is not None:
        return

    def dummy(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            value = np.asarray(host(value))
        return (
            np.empty((0,) * bool(np.ndim(value)), value.dtype)
            if isinstance(value, np.ndarray)
            else host(value)
        )

    if not _fits([np.shape(a) for a in args], target.shape):
        # NumPy's own message: it looks at the shapes before it computes.
        shaped = [_hollow(np.shape(a), getattr(a, "dtype", None) or np.asarray(a).dtype) for a in args]
        primitive.function(*shaped, out=_hollow(target.shape, target.dtype))
    casting = {k: v for k, v in kwargs.items() if k in ("casting", "dtype")}
    with np.errstate(all="ignore"):
        primitive.function(*[dummy(a) for a in args], out=np.empty(0, target.dtype), **casting)


def _fits(shapes: list, target: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(*shapes, target) == target
    except ValueError:
        return False


def _hollow(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of any size in the memory of one element."""
    return as_strided(np.empty(1, dtype), shape, (0,) * len(shape))


def host_out(out: Any) -> Any:
    """The value of ``out=`` with the contents of every `Array` in its place."""
    if type(out) is tuple:
        return tuple(o.contents if type(o) is Array else o for o in out)
    return out


def _wrote(out: Any) -> None:
    for o in out if type(out) is tuple else (out,):
        if type(o) is Array:
            o.storage.wrote_host()


# At the end: array.py imports dispatch, which imports this module.
from minpy.runtime import adoption  # noqa: E402
from minpy.runtime.array import Array, host  # noqa: E402
