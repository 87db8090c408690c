"""What arrays are asked for: NumPy's protocols (``__array_function__``, ``__array_ufunc__``) and the operators."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from minpy.errors import TraceError
from minpy.runtime import dispatch, outputs, writes
from minpy.runtime.primitives.table import by_function, by_name, find, load
from minpy.runtime.record import Line, current_tape, innermost


def function(func: Any, args: tuple, kwargs: dict) -> Any:
    """``__array_function__``: a NumPy function was called with an `Array`."""
    load()
    primitive = by_function.get(func)
    if primitive is not None:
        return dispatch.call(primitive, args, kwargs)
    operands: list[Array] = []
    dispatch.collect(args, operands)
    dispatch.collect(kwargs.values(), operands)
    if innermost(operands) is not None:
        raise TraceError(
            f"numpy.{getattr(func, '__name__', func)} has no derivative rule, and an operand is being "
            f"differentiated, at {Line()}. "
            "Use minpy.stop_gradient on the operand if no gradient should flow"
        )
    return func(*host(args), **host(kwargs))


_REDUCE = {
    "add": "sum",
    "multiply": "prod",
    "maximum": "max",
    "minimum": "min",
    "logical_and": "all",
    "logical_or": "any",
}
_ACCUMULATE = {"add": "cumsum", "multiply": "cumprod"}


def ufunc(uf: np.ufunc, method: str, inputs: tuple, kwargs: dict) -> Any:
    """``__array_ufunc__``: a ufunc or one of its methods was called with an `Array`."""
    if any(map(_foreign, inputs)):
        return NotImplemented
    load()
    if uf is np.matmul and method == "__call__" and not kwargs and len(inputs) == 2:
        from minpy.runtime import multiply

        result = multiply.product(*inputs, 3)
        if result is not None:
            return result
    primitive = find(uf)
    if method == "__call__" and primitive is not None:
        return dispatch.call(primitive, inputs, kwargs)
    operands: list[Array] = []
    dispatch.collect(inputs, operands)
    traced = innermost(operands) is not None
    if method == "at" and type(inputs[0]) is Array:
        return _at(uf, *inputs)
    if traced:
        named = {"reduce": _REDUCE, "accumulate": _ACCUMULATE}.get(method, {}).get(uf.__name__)
        if named is not None:
            array, *rest = inputs
            given = dict(zip(("axis", "dtype", "out", "keepdims"), rest, strict=False)) | kwargs
            given.setdefault("axis", 0)
            return dispatch.call(
                by_name[named], (array,), {k: v for k, v in given.items() if v is not None or k == "axis"}
            )
        if method == "outer" and primitive is not None:
            a, b = inputs
            return dispatch.call(primitive, (np.reshape(a, np.shape(a) + (1,) * np.ndim(b)), b), kwargs)
        if method == "at":
            active = adoption.adopt(inputs[0])
            if active is not None:
                return _at(uf, active, *adoption.known(inputs[1:]))
            raise TraceError(
                f"a value that is being differentiated would be written into a plain array by {uf.__name__}.at, at "
                f"{Line()}. Make the array inside the differentiated function"
            )
        raise TraceError(
            f"{uf.__name__}{'' if method == '__call__' else '.' + method} has no derivative rule, and an "
            "operand is being differentiated, "
            f"at {Line()}. Use minpy.stop_gradient on the operand if no gradient should flow"
        )
    if method == "at":
        return _plain_at(uf, inputs)
    out = kwargs.get("out")
    if type(out) is tuple and len(out) == 1 and type(out[0]) is Array and current_tape() is not None:
        # What is overwritten must be known to the tape. The copy, because NumPy's arithmetic depends on the output.
        plain = {key: host(value) for key, value in kwargs.items() if key != "out"}
        writes.write(out[0], None, getattr(uf, method)(*host(inputs), out=out[0].contents.copy("K"), **plain))
        return out[0]
    return getattr(uf, method)(
        *host(inputs),
        **{
            **host(kwargs),
            **({"out": outputs.host_out(kwargs["out"])} if kwargs.get("out") is not None else {}),
        },
    )


def _plain_at(uf: np.ufunc, inputs: tuple) -> Any:
    from minpy.runtime import stores

    stores.log(inputs[0])
    uf.at(*host(inputs))
    return None


def _at(uf: np.ufunc, target: Any, index: Any, *values: Any) -> None:
    if uf.__name__ not in ("add", "subtract") or not values:
        if innermost([target, *[v for v in values if type(v) is Array]]) is not None:
            _at_in_rounds(uf, target, host(index), *values)
            return
        result = target.contents.copy()
        uf.at(result, host(index), *host(values))
        writes.write(target, None, result)
        return
    # a.at[i] += v is a + scatter(v): linear in both.
    writes.write(
        target,
        None,
        dispatch.apply(
            "scatter_add",
            target,
            index,
            values[0] if uf.__name__ == "add" else dispatch.apply("negative", values[0]),
        ),
    )


def _at_in_rounds(uf: np.ufunc, target: Any, index: Any, *values: Any) -> None:
    """``uf.at`` as writes to distinct elements: those that the index names, then those it names twice, …"""
    places = np.arange(target.size).reshape(target.shape)[index]
    if values:
        values = (dispatch.apply("broadcast_to", values[0], np.shape(places)),)
    places = places.ravel()
    _, inverse, counts = np.unique(places, return_inverse=True, return_counts=True)
    inverse = inverse.ravel()
    order = np.argsort(inverse, kind="stable")
    turn = np.empty(places.size, int)
    turn[order] = np.arange(places.size) - np.repeat(np.cumsum(counts) - counts, counts)
    for i in range(turn.max(initial=-1) + 1):
        now = turn == i
        where = np.unravel_index(places[now], target.shape)
        operands = [dispatch.apply("getitem", dispatch.apply("ravel", v), now) for v in values]
        writes.write(target, where, uf(dispatch.apply("getitem", target, where), *operands))


# What an operator of NumPy's knows what to do with; lists only where the other operand is NumPy's.
_KNOWN = (np.ndarray, np.generic, int, float, complex)


def _foreign(value: Any) -> bool:
    """Whether `value` is of a class that handles ufuncs itself: NumPy then asks it."""
    kind = type(value)
    if kind is Array or kind is np.ndarray or kind is float or kind is int:
        return False
    override = getattr(kind, "__array_ufunc__", None)
    return override is not None and override is not np.ndarray.__array_ufunc__


def power_in_place(target: Any, other: Any) -> Any:
    """``target **= other``."""
    return outputs.into(by_name["power"], (target, other), {"out": target}, computed_by=numbers.row("power"))


def binary(name: str, left: Any, right: Any) -> Any:
    """An operator between two values of which one is an `Array`."""
    other = right if type(left) is Array else left
    if type(other) is not Array and getattr(type(other), "__array_ufunc__", True) is None:
        return NotImplemented
    if numbers.is_number(left) and numbers.is_number(right):
        return numbers.binary(name, left, right)
    if numbers.is_python(left if other is right else right) and not isinstance(other, _KNOWN):
        return numbers.foreign(name, left, right)
    if _foreign(other):
        return by_name[name].function(left, right)
    primitive = numbers.row(name) if name == "power" else by_name[name]
    run = dispatch.call_long if primitive.elementwise else dispatch.call
    return run(primitive, (left, right), {})


def compare(name: str, dunder: str, left: Any, right: Any) -> Any:
    """A comparison; against what is no number it answers as ``numpy.ndarray`` does."""
    if numbers.is_python(left) and (numbers.is_python(right) or not isinstance(right, _KNOWN)):
        return numbers.OPERATORS[name](host(left), host(right))
    if not isinstance(right, (np.ndarray, np.generic, int, float, complex, list, tuple)):
        return getattr(operator, dunder)(left.contents, right)
    return dispatch.call_long(by_name[name], (left, right), {})


# At the end: array.py uses this module.
from minpy.runtime import adoption, numbers  # noqa: E402
from minpy.runtime.array import Array, host  # noqa: E402
