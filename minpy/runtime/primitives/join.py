"""Joining, repeating, padding, and the functions that cut and paste."""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.errors import GradientError
from minpy.runtime.primitives.moves import apply, cases, gathers, plain, rows, shape_of
from minpy.runtime.primitives.table import BOOL, DEVICE_DTYPES, Kernel, row

# MXNet joins everything but bool.
_JOINABLE = DEVICE_DTYPES - BOOL
_SPLICE = "MXNet has no such operator"


def _parts(arrays: Any) -> list:
    """The operands of a joining function: a list or tuple of arrays, or one array cut along its first axis."""
    return list(arrays) if type(arrays) in (list, tuple) else [arrays[i] for i in range(len(arrays))]


def _nested(g: Any, arrays: Any) -> Any:
    """Cotangents of the parts, stacked again if the operand was one array."""
    return g if type(arrays) in (list, tuple) else np.stack(g)


# ----- joining ----------------------------------------------------------------------------------------------


def _cut(g: Any, arrays: Any, axis: int) -> list:
    """Pieces of `g` along `axis`, as long as the `arrays` are."""
    pieces, start = [], 0
    for part in arrays:
        stop = start + shape_of(part)[axis]
        index = [slice(None)] * np.ndim(g)
        index[axis] = slice(start, stop)
        pieces.append(g[tuple(index)])
        start = stop
    return pieces


def _unconcatenate(g: Any, ans: Any, arrays: Any, axis: Any = 0, *a: Any, **k: Any) -> Any:
    parts = _parts(arrays)
    if axis is None:
        ends = np.cumsum([0, *[int(np.prod(shape_of(p))) for p in parts]])
        pieces = [np.reshape(g[i:j], shape_of(p)) for i, j, p in zip(ends[:-1], ends[1:], parts, strict=True)]
    else:
        pieces = _cut(g, parts, axis)
    return _nested([_in(d, p) for d, p in zip(pieces, parts, strict=True)], arrays)


def _in(g: Any, part: Any) -> Any:
    """`g` in the nesting of `part`, which may be a list that NumPy made an array of."""
    return [_in(g[i], p) for i, p in enumerate(part)] if type(part) in (list, tuple) else g


def _same_dtype(arrays: Any) -> str | None:
    if type(arrays) not in (list, tuple) or not all(isinstance(a, np.ndarray) for a in arrays):
        return "the operands are no list of arrays"
    if len({a.dtype for a in arrays}) != 1:
        return "the operands have several dtypes"
    if not all(a.ndim for a in arrays):
        return "a 0-d array: nothing for a device to do"
    return None


def _joinable(
    arrays: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: Any = None
) -> str | None:
    reason = _same_dtype(arrays)
    if reason is not None:
        return reason
    ndim = arrays[0].ndim
    if not isinstance(axis, (int, np.integer)) or not -ndim <= axis < ndim or dtype is not None:
        return "the kernel joins along one axis, and keeps the dtype"
    lengths = [tuple(n for i, n in enumerate(a.shape) if i != axis % ndim) for a in arrays]
    return None if len({a.ndim for a in arrays}) == len(set(lengths)) == 1 else "NumPy refuses these shapes"


_joins = cases(
    lambda a: ([a(2, 3), a(2, 3)],),
    lambda a: ((a(2, 2, 2), a(2, 2, 2)[:, ::-1], a(2, 2, 2)),),
    lambda a: ([a(2, 3)],),
    lambda a: ([a(2, 3), np.ones((2, 3), np.longdouble)],),
    lambda a: (a(3, 2, 2),),
    lambda a: ([],),
    lambda a: ([a(2, 3), a(3)],),
)
_concatenations = cases(
    lambda a: ([a(2, 3), a(1, 3)],),
    lambda a: ((a(2, 3), a(2, 2)), -1),
    lambda a: [([a(2, 3), a(4)],), {"axis": None}],
    lambda a: ([a(2, 3), a(3, 2).T, a(2, 3)], 1),
    lambda a: ([a(0, 3), a(2, 3)],),
    lambda a: [([a(2), a(2)],), {"dtype": np.complex128}],
    lambda a: ([a(2), [1, 2]],),
    lambda a: (a(3, 2, 2), 1),
    lambda a: ([a(2, 3), a(2, 2)],),
    lambda a: ([],),
    lambda a: ([a(), a()],),
)
for _name in ("concatenate", "concat"):
    row(
        _name,
        cost="move",
        mxnet=Kernel(lambda F, arrays, axis=0: F.concat(*arrays, dim=int(axis)), _JOINABLE, _joinable),
        vjp=(_unconcatenate,),
        samples=_concatenations,
    )


def _unstack(g: Any, ans: Any, arrays: Any, axis: int = 0, *a: Any, **k: Any) -> Any:
    g = np.moveaxis(g, axis, 0)
    return _nested([_in(g[i], part) for i, part in enumerate(_parts(arrays))], arrays)


def _stackable(
    arrays: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: Any = None
) -> str | None:
    reason = _same_dtype(arrays)
    if reason is not None:
        return reason
    if (
        not isinstance(axis, (int, np.integer))
        or not -arrays[0].ndim - 1 <= axis <= arrays[0].ndim
        or dtype is not None
    ):
        return "the kernel stacks along one axis, and keeps the dtype"
    return None if len({a.shape for a in arrays}) == 1 else "NumPy refuses these shapes"


row(
    "stack",
    cost="move",
    mxnet=Kernel(
        lambda F, arrays, axis=0: F.stack(*arrays, axis=int(axis) % (len(arrays[0].shape) + 1)),
        DEVICE_DTYPES,
        _stackable,
    ),
    vjp=(_unstack,),
    samples=cases(
        lambda a: ([a(2, 3), a(2, 3)],),
        lambda a: ((a(3), a(3), a(3)), -1),
        lambda a: [([a(2, 3), a(3, 2).T], 1), {}],
        lambda a: ([a(), a()],),
        lambda a: ([a()[()], a()[()], 1],),
        lambda a: (a(2, 3, 2), 1),
        lambda a: ([a(2), a(3)],),
        lambda a: ([],),
    ),
)


def _flat_or(ndim: int, axis: int) -> Any:
    """``hstack`` and its kin: raise each operand to `ndim`, then concatenate along `axis`."""
    raised = getattr(np, f"atleast_{ndim}d")

    def compose(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
        parts = [raised(_as_array(a)) for a in _parts(tup)]
        along = 0 if axis == 1 and ndim == 1 and np.ndim(parts[0]) == 1 else axis
        return np.concatenate(parts, along, dtype=dtype, casting=casting)

    return compose


def _as_array(value: Any) -> Any:
    return apply("array", value) if type(value) in (list, tuple) else value


def _kernel(axis: int, least: int) -> Kernel:
    """The kernel of ``hstack`` and its kin for operands that need not be raised to `least` dimensions."""

    def unless(tup: Any, *, dtype: Any = None, casting: Any = None) -> str | None:
        reason = _same_dtype(tup)
        if reason is None and min(a.ndim for a in tup) < least:
            return "the operands get another dimension"
        return reason or _joinable(tup, axis if tup[0].ndim > axis else 0, dtype=dtype)

    return Kernel(
        lambda F, tup: F.concat(*tup, dim=axis if len(tup[0].shape) > axis else 0), _JOINABLE, unless
    )


row("hstack", cost="move", mxnet=_kernel(1, 1), compose=_flat_or(1, 1), samples=_joins)
rows("vstack row_stack", cost="move", mxnet=_kernel(0, 2), compose=_flat_or(2, 0), samples=_joins)


def _dstack(tup: Any) -> Any:
    return np.concatenate([np.atleast_3d(_as_array(a)) for a in _parts(tup)], 2)


def _column_stack(tup: Any) -> Any:
    parts = [_as_array(a) for a in _parts(tup)]
    return np.concatenate([p if np.ndim(p) >= 2 else np.reshape(p, (-1, 1)) for p in parts], 1)


row("dstack", cost="move", mxnet=_kernel(2, 3), compose=_dstack, samples=_joins)
row(
    "column_stack",
    cost="move",
    mxnet=_kernel(1, 2),
    compose=_column_stack,
    samples=cases(
        lambda a: ((a(3), a(3)),),
        lambda a: ([a(3, 2), a(3)],),
        lambda a: ([a()[()], 1],),
        lambda a: ([a(3), a(2)],),
    ),
)


def _block(arrays: Any) -> Any:
    depth, most = _depth(arrays), _most(arrays)
    ndim = max(depth, most)

    def join(part: Any, level: int) -> Any:
        if type(part) is not list:
            shape = np.shape(part)
            return np.reshape(part, (1,) * (ndim - len(shape)) + shape)
        return np.concatenate([join(p, level + 1) for p in part], axis=-(depth - level))

    joined = join(arrays, 0)
    return apply("array", joined) if type(arrays) is not list else joined


def _depth(arrays: Any) -> int:
    return 1 + _depth(arrays[0]) if type(arrays) is list else 0


def _most(arrays: Any) -> int:
    return max(map(_most, arrays)) if type(arrays) is list else np.ndim(arrays)


row(
    "block",
    cost="move",
    mxnet=_SPLICE,
    compose=_block,
    samples=cases(
        lambda a: ([a(2), a(3), 1],),
        lambda a: ([[a(2, 2), a(2, 1)], [a(1, 2), a(1, 1)]],),
        lambda a: ([[a(2), 1], [a(3)]],),
        lambda a: (a(2),),
        lambda a: ([[a(2)], a(2)],),
    ),
)


def _append(arr: Any, values: Any, axis: Any = None) -> Any:
    arr, values = _as_array(arr), _as_array(values)
    if axis is None:
        if np.ndim(arr) != 1:
            arr = np.ravel(arr)
        values = np.ravel(values)
        axis = np.ndim(arr) - 1
    return np.concatenate((arr, values), axis=axis)


row(
    "append",
    cost="move",
    mxnet="the operands are looked at on the host",
    compose=_append,
    samples=cases(
        lambda a: (a(2, 3), a(2)),
        lambda a: (a(2, 3), a(1, 3), 0),
        lambda a: (a(3), 1),
        lambda a: (a(0), a(2)),
        lambda a: (a(2, 3), a(3), 0),
        lambda a: ([1, 2], a(2)),
    ),
)


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
            f"pad with mode {mode!r} has no derivative rule; use mode='constant', 'edge' or 'reflect'"
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
        lambda a: (a(2), -1),
    ),
)


# ----- cutting and pasting ----------------------------------------------------------------------------------


def _roll_back(g: Any, ans: Any, x: Any, shift: Any, axis: Any = None) -> Any:
    return np.roll(
        g, tuple(-s for s in shift) if isinstance(shift, tuple) else -np.asarray(plain(shift)), axis
    )


row(
    "roll",
    cost="move",
    mxnet=_SPLICE,
    vjp=(_roll_back,),
    samples=cases(
        lambda a: (a(5), 2),
        lambda a: (a(2, 3), -1),
        lambda a: (a(2, 3), 1, 1),
        lambda a: (a(3, 4), (1, -2), (0, 1)),
        lambda a: [(a(3, 4), 7), {"axis": -1}],
        lambda a: (a(0), 1),
        lambda a: (a(3), 1, 1),
    ),
)
row(
    "delete",
    cost="move",
    mxnet="the places to delete are looked at on the host",
    vjp=(gathers(np.delete),),
    samples=cases(
        lambda a: (a(5), 2),
        lambda a: (a(3, 4), [0, 2], 1),
        lambda a: (a(3, 4), slice(1, None), 0),
        lambda a: (a(2, 3), [1, -1]),
        lambda a: (a(4), np.array([True, False, True, False])),
        lambda a: (a(3), 3),
    ),
)


def _insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    """``insert`` as a gather from the old and the new elements."""
    arr, values = _as_array(arr), _as_array(values)
    shape, total = np.shape(arr), int(np.prod(np.shape(arr)))
    old = np.arange(total).reshape(shape)
    new = total + np.arange(int(np.prod(np.shape(values)))).reshape(np.shape(values))
    places = np.insert(old, plain(obj), new, axis)
    dtype = arr.dtype
    joined = np.concatenate((np.ravel(arr), apply("astype", np.ravel(values), dtype)))
    return joined[places]


row(
    "insert",
    cost="move",
    mxnet="the places to insert at are looked at on the host",
    compose=_insert,
    samples=cases(
        lambda a: (a(4), 1, 2),
        lambda a: (a(2, 3), 1, a(2), 1),
        lambda a: (a(2, 3), [0, 2], a(2, 2), 1),
        lambda a: (a(4), [1, 3], a(2)),
        lambda a: (a(4), slice(0, 3), 1),
        lambda a: (a(2, 3), 1, a(3), 0),
        lambda a: (a(3), 5, 1),
    ),
)
row(
    "trim_zeros",
    cost="free",
    mxnet="the elements are looked at on the host",
    # What is left is a view, through which the gradient flows by itself; an empty rest has none.
    flat=True,
    samples=cases(
        lambda a: (np.array([0, 0, 1, 2, 0, 3, 0]).astype(a.dtype),),
        lambda a: (np.array([0, 1, 0]).astype(a.dtype), "b"),
        lambda a: (np.zeros(3, a.dtype),),
    ),
)


for _name in ("tril", "triu"):
    row(
        _name,
        cost="move",
        mxnet="the mask would be made on the host",
        vjp=((lambda same: lambda g, ans, m, k=0: same(g, k))(getattr(np, _name)),),
        samples=cases(
            lambda a: (a(3, 3),),
            lambda a: (a(2, 4), 1),
            lambda a: [(a(2, 3, 4),), {"k": -1}],
            lambda a: (a(4, 3).T, -1),
            lambda a: (a(0, 3),),
        ),
    )


def _vander(g: Any, ans: Any, x: Any, N: Any = None, increasing: bool = False) -> Any:
    n = np.shape(ans)[1]
    powers = np.arange(n) if increasing else np.arange(n)[::-1]
    lower = np.vander(x, n, True) if n else np.zeros((len(x), 0))
    # d x**p = p x**(p-1): the columns one to the left, times p.
    lower = np.concatenate((np.zeros((len(x), min(n, 1))), lower[:, :-1]), axis=1)
    if not increasing:
        lower = lower[:, ::-1]
    return np.sum(g * powers * lower, axis=1)


row(
    "vander",
    cost="arith",
    mxnet=_SPLICE,
    vjp=(_vander,),
    samples=cases(
        lambda a: (a(3),),
        lambda a: (a(3), 4),
        lambda a: [(a(2), 3), {"increasing": True}],
        lambda a: (a(2), 0),
    ),
)


def _kron(a: Any, b: Any) -> Any:
    ndim = max(np.ndim(a), np.ndim(b))
    one = (1,) * (ndim - np.ndim(a)) + np.shape(a)
    two = (1,) * (ndim - np.ndim(b)) + np.shape(b)
    if not ndim:
        return np.multiply(a, b)
    apart = np.multiply(
        np.reshape(a, [n for m in one for n in (m, 1)]), np.reshape(b, [n for m in two for n in (1, m)])
    )
    return np.reshape(apart, [m * n for m, n in zip(one, two, strict=True)])


row(
    "kron",
    cost="arith",
    mxnet=_SPLICE,
    compose=_kron,
    samples=cases(
        lambda a: (a(2, 3), a(2, 2)),
        lambda a: (a(2), a(2, 2)),
        lambda a: (a()[()], a(2)),
        lambda a: (a(2, 1, 2), a(3, 1)),
        lambda a: (a(0), a(2)),
    ),
)


def _unmesh(i: int) -> Any:
    def rule(
        g: Any, ans: Any, *xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy"
    ) -> Any:
        axis = 1 - i if indexing == "xy" and i < 2 and len(xi) > 1 else i
        others = tuple(k for k in range(np.ndim(g[i])) if k != axis)
        return np.reshape(np.sum(g[i], axis=others) if others else g[i], np.shape(xi[i]))

    return rule


row(
    "meshgrid",
    cost="move",
    mxnet=_SPLICE,
    vjp=_unmesh,
    samples=cases(
        lambda a: (a(2), a(3)),
        lambda a: [(a(2), a(3), a(2)), {"indexing": "ij"}],
        lambda a: [(a(2), a(3)), {"sparse": True}],
        lambda a: (a(3),),
        lambda a: (a(2), a()),
        lambda a: [(a(2), a(3)), {"indexing": "no"}],
    ),
)


def _open_mesh(*args: Any) -> tuple:
    parts = []
    for i, part in enumerate(args):
        if getattr(part, "dtype", None) is None or part.dtype.kind == "b":
            part = np.ix_(plain(part))[0]
        parts.append(np.reshape(part, [-1 if k == i else 1 for k in range(len(args))]))
    return tuple(parts)


row(
    "ix_",
    cost="free",
    mxnet="indices are used on the host",
    compose=_open_mesh,
    samples=cases(
        lambda a: ([0, 1], np.array([2, 0])),
        lambda a: (a(2), a(3)),
        lambda a: (np.array([True, False, True]),),
        lambda a: (a(2, 2),),
    ),
)
