"""Repeating and padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.errors import GradientError
from minpy.runtime.primitives.moves import as_array, cases, gathers, plain
from minpy.runtime.primitives.table import DEVICE_DTYPES, Kernel, row

_SPLICE = "MXNet has no such operator"


# ----- repeating --------------------------------------------------------------------------------------------


def _unrepeat(g: Any, ans: Any, x: Any, repeats: Any, axis: Any = None) -> Any:
    counts = np.asarray(plain(repeats))
    if counts.size != 1:
        return gathers(np.repeat)(g, ans, x, counts, axis)
    n, shape = int(counts.reshape(-1)[0]), np.shape(x)
    if not n:
        return np.zeros(shape)
    if axis is None:
        return np.reshape(np.sum(np.reshape(g, (-1, n)), axis=1), shape)
    axis = axis % len(shape)
    return np.sum(np.reshape(g, (*shape[: axis + 1], n, *shape[axis + 1 :])), axis=axis + 1)


def _plain_count(a: Any, repeats: Any, axis: Any = None) -> str | None:
    if (
        not isinstance(a, np.ndarray)
        or not a.ndim
        or not isinstance(repeats, (int, np.integer))
        or repeats < 1
    ):
        return "the kernel repeats every element equally often"
    return (
        None
        if axis is None or (isinstance(axis, int) and -a.ndim <= axis < a.ndim)
        else "NumPy refuses this axis"
    )


row(
    "repeat",
    cost="move",
    mxnet=Kernel(
        lambda F, a, repeats, axis=None: F.repeat(a, repeats=int(repeats), axis=axis),
        DEVICE_DTYPES,
        _plain_count,
    ),
    vjp=(_unrepeat,),
    samples=cases(
        lambda a: (a(2, 3), 2),
        lambda a: (a(2, 3), 3, 1),
        lambda a: (a(2, 3), [1, 2], 0),
        lambda a: [(a(3), np.array([0, 2, 1])), {}],
        lambda a: (a()[()], 3),
        lambda a: (a(2, 3)[:, ::-1], 2, -2),
        lambda a: (a(3), 0),
        lambda a: (a(3), [1, 2]),
    ),
)


def _untile(g: Any, ans: Any, x: Any, reps: Any) -> Any:
    counts = tuple(np.atleast_1d(plain(reps)))
    shape = np.shape(x)
    ndim = max(len(counts), len(shape))
    counts = (1,) * (ndim - len(counts)) + counts
    shape = (1,) * (ndim - len(shape)) + shape
    if 0 in counts:
        return np.zeros(np.shape(x))
    apart = np.reshape(g, [n for pair in zip(counts, shape, strict=True) for n in pair])
    return np.reshape(np.sum(apart, axis=tuple(range(0, 2 * ndim, 2))), np.shape(x))


def _plain_reps(a: Any, reps: Any) -> str | None:
    counts = reps if isinstance(reps, (tuple, list)) else (reps,)
    if not isinstance(a, np.ndarray) or not a.ndim or not all(isinstance(n, int) and n > 0 for n in counts):
        return "the kernel takes an array and positive counts"
    return None if counts else "no counts"


row(
    "tile",
    cost="move",
    mxnet=Kernel(
        lambda F, a, reps: F.tile(a, reps=tuple(reps) if isinstance(reps, (tuple, list)) else (reps,)),
        DEVICE_DTYPES,
        _plain_reps,
    ),
    vjp=(_untile,),
    samples=cases(
        lambda a: (a(3), 2),
        lambda a: (a(2, 3), (2, 1)),
        lambda a: (a(3), (2, 1, 2)),
        lambda a: (a(2, 1, 2), [2]),
        lambda a: (a(2), 0),
        lambda a: (a()[()], (2, 2)),
        lambda a: (a(3), 1),
        lambda a: (a(0), 2),
    ),
)
row(
    "resize",
    cost="move",
    mxnet=_SPLICE,
    vjp=(gathers(np.resize),),
    samples=cases(
        lambda a: (a(2, 3), (3, 4)),
        lambda a: (a(5), 3),
        lambda a: (a(2), (0,)),
        lambda a: (a()[()], (2,)),
        lambda a: (a(2), (2, -1)),
    ),
)


# ----- padding ----------------------------------------------------------------------------------------------


def _pad_width(pad_width: Any, ndim: int) -> list[tuple[int, int]]:
    return [(int(b), int(a)) for b, a in np.broadcast_to(plain(pad_width), (ndim, 2))]


def _pad(array: Any, pad_width: Any, mode: Any = "constant", **keywords: Any) -> Any:
    """The modes that are written in other functions: a function of the program, and the median."""
    if not callable(mode) and mode != "median":
        return NotImplemented
    array = as_array(array)
    widths = _pad_width(pad_width, np.ndim(array))
    if callable(mode):
        padded = np.pad(array, pad_width)
        for axis, width in enumerate(widths):
            lines = np.moveaxis(padded, axis, -1)
            for place in np.ndindex(np.shape(lines)[:-1]):
                mode(lines[place], width, axis, keywords)  # writes into the line
        return padded
    given = keywords.pop("stat_length", None)
    lengths = [(n, n) for n in np.shape(array)] if given is None else _pad_width(given, np.ndim(array))
    if (
        keywords
        or any(n < 0 for pair in widths for n in pair)
        or any(n < 1 for pair in lengths for n in pair)
    ):
        raise ValueError  # worded by NumPy
    for axis, ((before, after), (left, right)) in enumerate(zip(widths, lengths, strict=True)):
        n = np.shape(array)[axis]
        here = (slice(None),) * axis
        first = np.median(array[(*here, slice(0, min(left, n)))], axis=axis, keepdims=True)
        last = np.median(array[(*here, slice(n - min(right, n), n))], axis=axis, keepdims=True)
        parts = [np.repeat(first, before, axis), array, np.repeat(last, after, axis)]
        array = np.concatenate(parts, axis=axis)
    return array


def _count_up(vector: Any, width: Any, axis: int, options: dict) -> None:
    """For tests: a padding function of a program."""
    before, after = width
    if before:
        vector[:before] = options.get("times", 2.0) * vector[before]
    if after:
        vector[-after:] = vector[-after - 1] + 2.0 * vector[before]


_INDEXED = ("edge", "wrap", "reflect", "symmetric")


def _unpad(g: Any, ans: Any, x: Any, pad_width: Any, mode: Any = "constant", **keywords: Any) -> Any:
    if mode in ("constant", "empty"):
        inner = tuple(
            slice(b, b + n) for (b, _), n in zip(_pad_width(pad_width, np.ndim(x)), np.shape(x), strict=True)
        )
        return g[inner]
    if mode in _INDEXED and keywords.get("reflect_type", "even") == "even":
        return gathers(np.pad)(g, ans, x, pad_width, mode, **keywords)
    if mode in ("maximum", "minimum", "mean"):
        return _unpad_statistics(g, x, pad_width, mode, keywords.get("stat_length"))
    return _unpad_linear(g, x, pad_width, mode, keywords)


def _unpad_statistics(g: Any, x: Any, pad_width: Any, mode: str, stat_length: Any) -> Any:
    """Modes that repeat a statistic of the elements next to the edge; axis by axis, as NumPy pads."""
    ndim = np.ndim(x)
    widths = _pad_width(pad_width, ndim)
    lengths = [(n, n) for n in np.shape(x)] if stat_length is None else _pad_width(stat_length, ndim)
    stages = [x]
    for axis in range(ndim):
        only = [w if i == axis else (0, 0) for i, w in enumerate(widths)]
        only_length = [pair if i == axis else (1, 1) for i, pair in enumerate(lengths)]
        stages.append(np.pad(stages[-1], only, mode, stat_length=only_length))
    for axis in reversed(range(ndim)):
        x, (before, after) = stages[axis], widths[axis]
        n = np.shape(x)[axis]

        def part(low: int, high: int, axis: int = axis) -> tuple:
            return tuple(slice(low, high) if i == axis else slice(None) for i in range(ndim))

        total = g[part(before, before + n)]
        for outer, length, first in (
            (part(0, before), lengths[axis][0], True),
            (part(before + n, before + n + after), lengths[axis][1], False),
        ):
            length = min(length, n)
            inner = part(0, length) if first else part(n - length, n)
            near = x[inner]
            if mode == "mean":
                share = np.ones(np.shape(near)) / length
            else:
                best = (np.max if mode == "maximum" else np.min)(near, axis=axis, keepdims=True)
                share = near == best
                share = share / np.sum(share, axis=axis, keepdims=True)
            d = np.sum(g[outer], axis=axis, keepdims=True) * share
            gap = (0, n - length) if first else (n - length, 0)
            rest = [gap if i == axis else (0, 0) for i in range(ndim)]
            total = total + np.pad(d, rest)
        g = total
    return g


def _unpad_linear(g: Any, x: Any, pad_width: Any, mode: Any, keywords: dict) -> Any:
    """Modes that are linear in `x` on each axis: axis by axis, as NumPy pads, with the mode's matrix."""
    if mode not in ("linear_ramp", "reflect", "symmetric") or np.ndim(keywords.get("end_values", 0)):
        raise GradientError(
            f"pad with mode {mode!r} and these options has no derivative rule; use mode='constant', 'edge' or 'reflect'"
        )
    for axis, (before, after) in reversed(list(enumerate(_pad_width(pad_width, np.ndim(x))))):
        n = np.shape(x)[axis]
        end = keywords.get("end_values", 0)
        matrix = np.stack([np.pad(e, (before, after), mode, **keywords) for e in np.eye(n)], axis=1)
        if mode == "linear_ramp" and end:
            matrix = matrix - np.pad(np.zeros(n), (before, after), mode, end_values=end)[:, None]
        g = np.moveaxis(np.tensordot(matrix, g, axes=((0,), (axis,))), 0, axis)
    return g


def _mx_pad(F: Any, array: Any, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> Any:
    shape = array.shape
    widths = [(0, 0)] * (4 - len(shape)) + _pad_width(pad_width, len(shape))
    flat = tuple(n for pair in widths for n in pair)
    out = F.pad(
        F.reshape(array, shape=(1,) * (4 - len(shape)) + shape),
        mode=mode,
        pad_width=flat,
        constant_value=float(constant_values),
    )
    return F.reshape(
        out, shape=tuple(n + b + a for n, (b, a) in zip(shape, widths[-len(shape) :], strict=True))
    )


def _unpaddable(array: Any, pad_width: Any, mode: Any = "constant", **keywords: Any) -> str | None:
    if (
        mode not in ("constant", "edge", "reflect")
        or not isinstance(array, np.ndarray)
        or not 0 < array.ndim < 3
    ):
        return "the kernel pads with a constant, the edge or a reflection, in one or two dimensions"
    if set(keywords) - {"constant_values"} or np.ndim(keywords.get("constant_values", 0)):
        return "the kernel takes no further options"
    try:
        widths = _pad_width(pad_width, array.ndim)
    except (TypeError, ValueError):
        return "NumPy refuses this pad_width"
    if any(n < 0 for pair in widths for n in pair) or np.asarray(pad_width).dtype.kind != "i":
        return "NumPy refuses this pad_width"
    if mode == "reflect" and any(max(pair) >= n for pair, n in zip(widths, array.shape, strict=True)):
        return "the reflection is longer than the array"
    return None


row(
    "pad",
    cost="move",
    mxnet=Kernel(_mx_pad, frozenset(("float32", "float64")), _unpaddable),
    vjp=(_unpad,),
    compose=_pad,
    samples=cases(
        lambda a: (a(3), 2),
        lambda a: (a(2, 3), ((1, 0), (2, 1))),
        lambda a: [(a(2, 3), 1), {"constant_values": 3}],
        lambda a: [(a(2, 3), ((1, 2),)), {"mode": "constant", "constant_values": ((1, 2), (3, 4))}],
        lambda a: (a(3, 4), (1, 2), "edge"),
        lambda a: (a(3, 4), (2, 1), "reflect"),
        lambda a: (a(3), (4, 5), "reflect"),
        lambda a: [(a(3), (2, 1), "reflect"), {"reflect_type": "odd"}],
        lambda a: (a(3, 4), (2, 1), "symmetric"),
        lambda a: (a(3), (4, 2), "wrap"),
        lambda a: (a(2, 3), (1, 2), "mean"),
        lambda a: (a(3, 2), 2, "maximum"),
        lambda a: [(a(2, 3), (1, 2), "linear_ramp"), {"end_values": 2}],
        lambda a: [(a(3, 2), (1, 2), "minimum"), {"stat_length": (2, 1)}],
        lambda a: (a(2, 3)[:, ::-1], 0),
        lambda a: (a(3, 4), (1, 2), "median"),
        lambda a: [(a(3, 4), ((1, 0), (2, 1)), "median"), {"stat_length": ((2, 1), (3, 2))}],
        lambda a: (a(3), (2, 1), _count_up),
        lambda a: [(a(2, 3), ((1, 0), (2, 1)), _count_up), {"times": 3.0}],
        lambda a: (a(2), -1),
    ),
)
