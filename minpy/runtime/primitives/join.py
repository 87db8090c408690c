"""Joining arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.runtime.primitives.moves import apply, as_array, cases, rows, shape_of
from minpy.runtime.primitives.table import BOOL, DEVICE_DTYPES, Kernel, row

# MXNet joins everything but bool.
_JOINABLE = DEVICE_DTYPES - BOOL
_SPLICE = "MXNet has no such operator"


def _parts(arrays: Any) -> list:
    """The operands of a joining function: a list of arrays, or one array cut along its first axis."""
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
        mxnet=Kernel(
            lambda F, arrays, axis=0, **options: F.concat(*arrays, dim=int(axis)), _JOINABLE, _joinable
        ),
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
        lambda F, arrays, axis=0, **options: F.stack(*arrays, axis=int(axis) % (len(arrays[0].shape) + 1)),
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
        parts = [raised(as_array(a)) for a in _parts(tup)]
        along = 0 if axis == 1 and ndim == 1 and np.ndim(parts[0]) == 1 else axis
        return np.concatenate(parts, along, dtype=dtype, casting=casting)

    return compose


def _kernel(axis: int, least: int) -> Kernel:
    """The kernel of ``hstack`` and its kin for operands that need not be raised to `least` dimensions."""

    def unless(tup: Any, *, dtype: Any = None, casting: Any = None) -> str | None:
        reason = _same_dtype(tup)
        if reason is None and min(a.ndim for a in tup) < least:
            return "the operands get another dimension"
        return reason or _joinable(tup, axis if tup[0].ndim > axis else 0, dtype=dtype)

    return Kernel(
        lambda F, tup, **options: F.concat(*tup, dim=axis if len(tup[0].shape) > axis else 0),
        _JOINABLE,
        unless,
    )


row("hstack", cost="move", mxnet=_kernel(1, 1), compose=_flat_or(1, 1), samples=_joins)
rows("vstack row_stack", cost="move", mxnet=_kernel(0, 2), compose=_flat_or(2, 0), samples=_joins)


def _dstack(tup: Any) -> Any:
    return np.concatenate([np.atleast_3d(as_array(a)) for a in _parts(tup)], 2)


def _column_stack(tup: Any) -> Any:
    parts = [as_array(a) for a in _parts(tup)]
    return np.concatenate([p if np.ndim(p) >= 2 else np.reshape(p, (-1, 1)) for p in parts], 1)


row("dstack", cost="move", mxnet=_kernel(2, 3), compose=_dstack, samples=_joins)
row(
    "column_stack",
    cost="move",
    mxnet=_kernel(1, 2),
    compose=_column_stack,
    samples=cases(
        lambda a: ((a(3), a(3)),),
        lambda a: ([a(3, 2), a(3, 1)],),
        lambda a: ([a(3, 2), a(3)],),
        lambda a: ([a()[()], 1],),
        lambda a: ([a(3), a(2)],),
    ),
)


def _outline(arrays: Any) -> Any:
    return [_outline(a) for a in arrays] if type(arrays) is list else np.broadcast_to(False, np.shape(arrays))


def _block(arrays: Any) -> Any:
    np.block(_outline(arrays))  # NumPy's own refusal of depths and shapes, on arrays of bytes
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
    arr, values = as_array(arr), as_array(values)
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
