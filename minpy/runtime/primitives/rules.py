"""What derivative rules share: shapes of reductions, ties, divisions at zero, rules from an expression."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minpy.runtime import entry

NO_VALUE = np._NoValue  # what NumPy's reductions have as default


def one(rule: Callable[..., Any]) -> tuple:
    """The column of a function of one operand: ``rule(g, ans, x)``, whatever the options."""

    def swallow(g: Any, ans: Any, x: Any, *rest: Any, **kwargs: Any) -> Any:
        return rule(g, ans, x)

    swallow.bare = rule  # type: ignore[attr-defined]  # for calls with array operands and no options
    return (swallow,)


def two(left: Callable[..., Any] | None, right: Callable[..., Any] | None) -> tuple:
    """The column of a function of two operands: ``rule(g, ans, x, y)`` each."""

    def swallow(rule: Callable[..., Any] | None) -> Any:
        if rule is None:
            return None

        def swallowed(g: Any, ans: Any, x: Any, y: Any, *rest: Any, **kwargs: Any) -> Any:
            return rule(g, ans, as_array(x), as_array(y))

        swallowed.bare = rule  # type: ignore[attr-defined]
        return swallowed

    return (swallow(left), swallow(right))


def as_array(x: Any) -> Any:
    """A list operand as the array that NumPy makes of it; everything else as it is."""
    return np.asarray(x) if type(x) in (list, tuple) else x


def nothing(*args: Any, **kwargs: Any) -> None:
    """The rule of an operand on which the result depends piecewise constantly."""
    return None


nothing.exercised = False  # type: ignore[attr-defined]


def divide(g: Any, d: Any) -> Any:
    """``g / d``, and 0 where `d` is 0: the finite sub-gradient at a point where a derivative is unbounded."""
    zero = d == 0
    if not np.any(zero):
        return g / d
    return np.where(zero, 0, g / np.where(zero, 1, d))


def tied(g: Any, ans: Any, x: Any, y: Any) -> Any:
    """The share of `x` in ``ans``, the larger (or smaller) of `x` and `y`: all, none, or half at a tie."""
    if type(g) is np.ndarray:
        ties = x == y
        if not np.any(ties):
            return where_holds(x == ans, g)
    return np.where(x == y, 0.5 * g, np.where(x == ans, g, 0))


# By itemsize, the whole numbers that have as many bits; elements from which bits are quicker than choices.
_BITS = {4: np.int32, 8: np.int64}
_MANY = 1 << 11


def where_holds(mask: Any, g: Any, holds: bool = True) -> Any:
    """``np.where(mask, g, 0)``, without a choice for each element: those of a random mask are not foreseen.

    Where the mask does not hold, if `holds` is false.
    """
    if (
        not type(mask) is np.ndarray is type(g)
        or g.size < _MANY
        or mask.dtype.char != "?"
        or g.dtype.char not in "fd"
        or mask.shape != g.shape
        or not g.dtype.isnative
    ):
        return np.where(mask, g, 0) if holds else np.where(mask, 0, g)
    kind, numbers = _BITS[g.itemsize], mask.view(np.int8)
    ones = (np.negative(numbers) if holds else numbers - np.int8(1)).astype(kind)  # all bits, or none
    return np.bitwise_and(ones, g.view(kind), ones).view(g.dtype)


def keeps(keepdims: Any) -> bool:
    """Whether `keepdims` asks for kept axes (NumPy's own default is a marker, not False)."""
    return keepdims is not NO_VALUE and bool(keepdims)


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """The axes of a reduction, not negative."""
    if axis is None:
        return tuple(range(ndim))
    return tuple(int(a) % ndim if ndim else 0 for a in (axis if isinstance(axis, (tuple, list)) else (axis,)))


def expand(g: Any, x: Any, axis: Any, keepdims: Any) -> Any:
    """`g`, the cotangent of a reduction of `x`, with its reduced axes back (of length 1)."""
    ndim = np.ndim(x)
    if keeps(keepdims) or ndim == 0:  # ufuncs reduce numbers over axis 0, too
        return g
    return np.reshape(g, kept_shape(np.shape(x), axis))


def kept_shape(shape: tuple[int, ...], axis: Any) -> tuple[int, ...]:
    """The shape of a reduction over `axis` with ``keepdims=True``."""
    reduced = axes_of(axis, len(shape))
    return tuple(1 if i in reduced else n for i, n in enumerate(shape))


def in_line(x, axis):
    """`x` with the axes of a reduction joined into a last one, and the way back."""
    shape = np.shape(x)
    axes = axes_of(axis, len(shape))
    rest = tuple(i for i in range(len(shape)) if i not in axes)
    order = rest + axes
    moved = tuple(shape[i] for i in order)
    back = tuple(int(i) for i in np.argsort(order))
    line = np.reshape(np.transpose(x, order), (*moved[: len(rest)], -1))
    return line, lambda y: np.transpose(np.reshape(y, moved), back)


def spread(g: Any, x: Any) -> Any:
    """`g` broadcast to the shape of `x`."""
    shape = np.shape(x)
    if entry.others and isinstance(g, (np.ndarray, np.generic, float, complex)):
        g = device_calls.near(g, x)  # else what follows would be done on the host, in full size
        return np.broadcast_to(g, shape)
    if type(g) is np.ndarray and np.size(x) <= 4096:
        # A copy takes a fifth of the time that NumPy needs to make the view.
        whole = np.empty(shape, g.dtype)
        whole[...] = g
        return whole
    return np.broadcast_to(g, shape)


def count(x: Any, axis: Any, where: Any = True) -> Any:
    """How many elements a reduction over `axis` takes; an array with kept axes if `where` selects."""
    shape = np.shape(x)
    if where is True or where is NO_VALUE:
        n = 1
        for a in axes_of(axis, len(shape)):
            n *= shape[a] if shape else 1
        return n
    return np.sum(np.broadcast_to(where, shape), axis=axis, keepdims=True)


def chosen(g: Any, where: Any) -> Any:
    """`g` where a reduction's `where` took the element, else 0."""
    return g if where is True or where is NO_VALUE else np.where(where, g, 0)


def derived(expression: Callable[..., Any], *operands: int) -> Callable[[int], Any]:
    """A column whose rules come from `expression`: the function written in primitives that have rules.

    The value of the primitive is NumPy's own; only its cotangents come from `expression`, run on a tape of
    its own when they are asked for. It takes the arguments of the primitive.

    Parameters
    ----------
    expression : callable
        May use every NumPy function, but must write into no plain array.
    *operands : int
        The positions that may be differentiated; all if none is given.
    """

    def column(i: int) -> Callable[..., Any] | None:
        if operands and i not in operands:
            return None

        def rule(g: Any, ans: Any, *args: Any, **kwargs: Any) -> Any:
            return pull(expression, i, g, args, kwargs)

        return rule

    return column


def pull(expression: Callable[..., Any], i: int, g: Any, args: tuple, kwargs: dict) -> Any:
    """The cotangent of ``args[i]`` when that of ``expression(*args, **kwargs)`` is `g`.

    It has the nesting of ``args[i]`` if that is a list.
    """
    from minpy.runtime.array import Array
    from minpy.runtime.tape import Tape

    tape = Tape()
    operand = _watch(tape, args[i])
    with tape:
        result = expression(*args[:i], operand, *args[i + 1 :], **kwargs)
    outs, gs = (result, g) if isinstance(result, (tuple, list)) else ((result,), (g,))
    seeds = [
        (out, d)
        for out, d in zip(outs, gs, strict=True)
        if type(out) is Array and d is not None and tape.watches(out.storage)
    ]
    leaves = list(_flatten(operand))
    found = dict(zip(map(id, leaves), tape.sweep(seeds, leaves), strict=True))
    return _rebuild(operand, found)


def _watch(tape: Any, value: Any) -> Any:
    from minpy.runtime import dispatch
    from minpy.runtime.array import Array
    from minpy.runtime.storage import Storage

    if type(value) in (list, tuple):
        return type(value)([_watch(tape, v) for v in value])
    if type(value) is Array:
        if value.dtype.kind not in "fc":
            return value
        watched = dispatch.apply("copy", value)
    elif getattr(np.asarray(value), "dtype", None).kind in "fc":
        view = np.asarray(value)
        watched = Array(view, Storage(view))
    else:
        return value
    watched.storage.tape = tape
    return watched


def _flatten(value: Any) -> Any:
    from minpy.runtime.array import Array

    if type(value) is Array:
        yield value
    elif type(value) in (list, tuple):
        for v in value:
            yield from _flatten(v)


def _rebuild(value: Any, found: dict) -> Any:
    if type(value) in (list, tuple):
        return [_rebuild(v, found) for v in value]
    return found.get(id(value))


# At the end: dispatch imports the table.
from minpy.runtime import device_calls  # noqa: E402
