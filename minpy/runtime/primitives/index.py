"""Indexing: reading elements by number or mask, and the index arithmetic around it."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from minpy.runtime.geometry import is_copied_as_c
from minpy.runtime.primitives.moves import apply, cases, gathers, plain
from minpy.runtime.primitives.table import DEVICE_DTYPES, Kernel, row

_LOOKS = "the result's shape depends on the contents"
_INTEGERS = "integer arithmetic on indices, which the host uses"


# ----- a[index] ---------------------------------------------------------------------------------------------


def _integer_arrays(index: Any) -> tuple | None:
    """The index as a tuple of integer arrays and numbers, None if it is anything else."""
    parts = index if type(index) is tuple else (index,)
    parts = tuple(np.asarray(p) if type(p) is list else p for p in parts)
    if all((isinstance(p, (int, np.integer)) and not isinstance(p, bool)) or _is_integers(p) for p in parts):
        return parts
    return None


def _is_integers(part: Any) -> bool:
    return isinstance(part, np.ndarray) and part.dtype in (np.int64, np.int32) and part.ndim > 0


def _ungettable(x: Any, index: Any) -> str | None:
    parts = _integer_arrays(index)
    arrays = [p for p in parts or () if isinstance(p, np.ndarray)]
    if not arrays or len(parts) > x.ndim or len({p.shape for p in arrays}) != 1:
        return "the kernel indexes the leading axes, with integer arrays of one shape"
    for part, n in zip(parts, x.shape, strict=False):
        part = np.asarray(plain(part))
        if part.min() < -n or part.max() >= n:
            return "an index is out of bounds"
    return None


def _mx_getitem(F: Any, x: Any, index: Any) -> Any:
    parts = index if type(index) is tuple else (index,)
    parts = [F.array(p, dtype="int64") if type(p) is list else p for p in parts]
    shape = next(p.shape for p in parts if not isinstance(p, (int, np.integer)))
    places = []
    for part, n in zip(parts, x.shape, strict=False):
        if isinstance(part, (int, np.integer)):
            places.append(F.full(shape, int(part) % n, dtype="int64"))
        else:
            part = part.astype("int64")
            places.append(F.where(part < 0, part + n, part))
    if len(places) == 1:
        return F.take(x, places[0], axis=0, mode="clip")
    return F.gather_nd(x, F.stack(*places, axis=0))


row(
    "getitem",
    operator.getitem,
    cost="move",
    mxnet=Kernel(_mx_getitem, DEVICE_DTYPES, _ungettable),
    vjp=(lambda g, ans, x, index: apply("index_scatter", g, plain(index), np.shape(x)),),
    samples=cases(
        lambda a: (a(4, 3), np.array([2, 0, 2])),
        lambda a: (a(4, 3), [3, -1]),
        lambda a: (a(4, 3), (np.array([0, 1, 1]), np.array([2, -3, 0]))),
        lambda a: (a(4, 3, 2), (np.array([[0], [1]]), np.array([2, 0]))),
        lambda a: (a(4, 3), np.arange(12).reshape(4, 3) % 2 == 0),
        lambda a: (a(4, 3), np.array([True, False, True, True])),
        lambda a: (a(4, 3), (slice(None, None, 2), [0, 2])),
        lambda a: (a(4, 3), (np.array([1, 2]), slice(1, None))),
        lambda a: (a(4, 3), (1, 2)),
        lambda a: (a(4, 3), (1, np.array([2, 0]))),
        lambda a: (a(4), np.array([], int)),
        lambda a: (a(4), 2),
        lambda a: (a(4), np.array([4])),
        lambda a: (a(4), 7),
    ),
)


def scatter_add(x: Any, index: Any, value: Any) -> Any:
    """A copy of `x` with `value` added at `index`, repeated places accumulating."""
    result = np.array(x)
    np.add.at(result, index, value)
    return result


row(
    "scatter_add",
    scatter_add,
    cost="move",
    vjp=(
        lambda g, ans, x, index, value: g,
        None,
        lambda g, ans, x, index, value: g[plain(index)],
    ),
    samples=cases(
        lambda a: (a(4, 3), np.array([2, 0, 2]), a(3, 3)),
        lambda a: (a(4), [1, 1], a()[()]),
        lambda a: (a(4), slice(1, 3), a(1)),
    ),
)


# ----- take and its kin -------------------------------------------------------------------------------------


def _untake(
    g: Any, ans: Any, x: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise"
) -> Any:
    if axis == 0 and mode == "raise" and np.ndim(x):
        return apply("index_scatter", g, np.asarray(plain(indices)), np.shape(x))
    return gathers(np.take)(g, ans, x, indices, axis, None, mode)


def _untakeable(a: Any, indices: Any, axis: Any = None, mode: Any = "raise") -> str | None:
    indices = np.asarray(plain(indices))
    if not isinstance(a, np.ndarray) or not a.ndim or not indices.ndim or not indices.size:
        return "the kernel takes an array and an array of indices"
    if indices.dtype.kind not in "iu" or indices.dtype.name not in DEVICE_DTYPES or mode != "raise":
        return "the kernel takes integer indices, in bounds"
    if axis is None:
        n = a.size
    elif isinstance(axis, (int, np.integer)) and -a.ndim <= axis < a.ndim:
        n = a.shape[axis]
    else:
        return "NumPy refuses this axis"
    if int(indices.min()) < -n or int(indices.max()) >= n:
        return "an index is out of bounds"
    return None


def _mx_take(F: Any, a: Any, indices: Any, axis: Any = None, mode: Any = "raise") -> Any:
    if axis is None:
        a, axis = F.reshape(a, shape=(-1,)), 0
    places = (F.array(indices, dtype="int64") if type(indices) in (list, tuple) else indices).astype("int64")
    places = F.where(places < 0, places + a.shape[axis], places)
    return F.take(a, places, axis=int(axis) % len(a.shape), mode="clip")


def _taken(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: Any = "raise") -> Any:
    """The basic index for what `take` copies, given one number; None for anything else, and what NumPy refuses."""
    if (
        isinstance(indices, bool)
        or not isinstance(indices, (int, np.integer))
        or out is not None
        or mode != "raise"
    ):
        return None
    if axis is None:
        return np.unravel_index(indices % a.size, a.shape) if -a.size <= indices < a.size else None
    if not isinstance(axis, (int, np.integer)) or not -a.ndim <= axis < a.ndim:
        return None
    axis %= a.ndim
    return (*[slice(None)] * axis, indices) if -a.shape[axis] <= indices < a.shape[axis] else None


row(
    "take",
    cost="move",
    part=_taken,
    mxnet=Kernel(_mx_take, DEVICE_DTYPES, _untakeable),
    vjp=(_untake,),
    samples=cases(
        lambda a: (a(4, 3), [0, 3, -1]),
        lambda a: (a(4, 3), np.array([[2, 0], [2, 1]]), 0),
        lambda a: [(a(4, 3), np.array([2, 0])), {"axis": -1}],
        lambda a: (a(5), 2),
        lambda a: [(a(4), [5, -7]), {"mode": "wrap"}],
        lambda a: [(a(4), [5, -7]), {"mode": "clip"}],
        lambda a: (a(4), [4]),
        lambda a: (a(4), []),
        lambda a: (a(4, 3), [0], 2),
    ),
)
row(
    "take_along_axis",
    cost="move",
    mxnet="MXNet picks one element a row, NumPy several",
    vjp=(gathers(np.take_along_axis),),
    samples=cases(
        lambda a: (a(3, 4), np.array([[0, 3], [1, 1], [2, -1]]), 1),
        lambda a: (a(3, 4), np.array([[2, 0, 1, 1]]), 0),
        lambda a: (a(3, 4), np.array([11, 0]), None),
        lambda a: (a(3), np.array([5]), 0),
    ),
)


def _unchoose(g: Any, ans: Any, a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    from minpy.runtime.cotangents import fit

    which, count = np.asarray(plain(a)), len(choices)
    which = which % count if mode == "wrap" else np.clip(which, 0, count - 1)
    parts = [np.where(which == i, g, 0) for i in range(count)]
    if type(choices) in (list, tuple):
        return parts
    return np.stack([fit(p, np.shape(choices)[1:], g.dtype) for p in parts])


row(
    "choose",
    cost="move",
    mxnet="MXNet has no such operator",
    vjp=(None, _unchoose),
    samples=cases(
        lambda a: (np.array([0, 1, 1, 0]), [a(4), a(4)]),
        lambda a: (np.array([[0], [1]]), (a(3), a()[()])),
        lambda a: [(np.array([3, -1, 2]), a(3, 3)), {"mode": "wrap"}],
        lambda a: (np.array([2, 0]), [a(2), a(2)]),
    ),
)
row(
    "compress",
    cost="move",
    mxnet=_LOOKS,
    vjp=(None, gathers(np.compress, 1)),
    samples=cases(
        lambda a: ([True, False, True], a(3, 2), 0),
        lambda a: ([0, 1], a(2, 3)),
        lambda a: (np.array([False, True]), a(2, 3), -1),
        lambda a: ([True] * 4, a(2), 0),
    ),
)
row(
    "extract",
    cost="move",
    mxnet=_LOOKS,
    vjp=(None, gathers(np.extract, 1)),
    samples=cases(
        lambda a: (np.array([[True, False], [True, True]]), a(2, 2)),
        lambda a: ([1, 0, 1], a(3)),
        lambda a: (a(3), a(3)),
    ),
)


# ----- diagonals --------------------------------------------------------------------------------------------

row(
    "diag",
    view=True,
    cost="move",
    mxnet="a view, or a matrix that is mostly zeros",
    vjp=(gathers(np.diag, fills=True),),
    samples=cases(
        lambda a: (a(3),),
        lambda a: (a(3, 3),),
        lambda a: (a(2, 4), 1),
        lambda a: (a(2), -2),
        lambda a: (a(0),),
        lambda a: (a(),),
    ),
)
row(
    "diagflat",
    cost="move",
    mxnet="a matrix that is mostly zeros",
    vjp=(gathers(np.diagflat, fills=True),),
    samples=cases(lambda a: (a(2, 2),), lambda a: (a(2), 1), lambda a: (a()[()],)),
)


# ----- copies -----------------------------------------------------------------------------------------------


def copy_limits(a: Any, order: str = "K", subok: bool = False) -> str | None:
    """Why a kernel that makes arrays in C order does not copy this one."""
    return None if isinstance(a, np.ndarray) and is_copied_as_c(a, order) else "the memory layout is not C"


row(
    "copy",
    cost="move",
    mxnet=Kernel(lambda F, a, order="K", subok=False: F.identity(a), DEVICE_DTYPES, copy_limits),
    vjp=(lambda g, ans, x, order="K", subok=False: g,),
    samples=cases(
        lambda a: (a(2, 3),),
        lambda a: (a(3, 2).T,),
        lambda a: [(a(3, 4)[::-1, ::2],), {"order": "C"}],
        lambda a: [(a(3, 2),), {"order": "F"}],
        lambda a: (a(),),
        lambda a: (a()[()],),
    ),
)


def _inexact(x: Any, dtype: Any, casting: str = "unsafe") -> str | None:
    new = np.dtype(dtype)
    if new.name not in DEVICE_DTYPES or not new.isnative:
        return f"MXNet has no dtype {new}"
    if x.dtype.kind == "f" and new.kind != "f":
        return "floats become integers by NumPy's rules"
    if new.kind == "b" or not np.can_cast(x.dtype, new, casting) or not x.flags.c_contiguous:
        return "the kernel is not used for this conversion"
    return None


row(
    "astype",
    lambda x, dtype, casting="unsafe": (x if hasattr(x, "astype") else np.asarray(x)[()]).astype(
        dtype, casting=casting
    ),
    cost="move",
    mxnet=Kernel(lambda F, x, dtype, casting="unsafe": x.astype(np.dtype(dtype)), DEVICE_DTYPES, _inexact),
    vjp=(lambda g, ans, x, dtype, casting="unsafe": g,),
    samples=cases(
        lambda a: (a(2, 3), np.float32),
        lambda a: (a(2, 3), np.float64),
        lambda a: (a(3, 2).T, "complex64"),
        lambda a: (a(4), a.dtype),
        lambda a: [(a(4), np.float16), {"casting": "safe"}],
    ),
)


# ----- index arithmetic -------------------------------------------------------------------------------------

for _name in ("nonzero", "argwhere", "flatnonzero"):
    row(
        _name,
        cost="move",
        mxnet=_LOOKS,
        flat=True,
        samples=cases(
            lambda a: (a(3, 4),),
            lambda a: (a(4)[::-1],),
            lambda a: (a(0),),
            lambda a: (np.ones((2, 2), a.dtype),),
        ),
    )
row(
    "searchsorted",
    cost="sort",
    mxnet="MXNet has no such operator",
    flat=True,
    samples=cases(
        lambda a: (np.sort(a(6)), a(3)),
        lambda a: (np.sort(a(6)), a(2, 2), "right"),
        lambda a: (np.sort(a(4)), a()[()]),
        lambda a: [(a(4), a(2)), {"sorter": np.array([0, 1, 2, 3])}],
        lambda a: (a(2, 2), a(2)),
    ),
)
row(
    "unravel_index",
    cost="arith",
    mxnet=_INTEGERS,
    flat=True,
    samples=cases(lambda a: (5, (2, 3)), lambda a: (np.array([1, 4]), (2, 3), "F"), lambda a: (6, (2, 3))),
)
row(
    "ravel_multi_index",
    cost="arith",
    mxnet=_INTEGERS,
    flat=True,
    samples=cases(
        lambda a: ((np.array([0, 1]), np.array([2, 0])), (2, 3)),
        lambda a: [((1, 4), (2, 3)), {"mode": "clip"}],
        lambda a: ((2, 0), (2, 3)),
    ),
)
for _name in ("diag_indices_from", "tril_indices_from", "triu_indices_from"):
    row(
        _name,
        cost="move",
        geometry=True,
        mxnet=_INTEGERS,
        samples=cases(lambda a: (a(3, 3),), lambda a: (a(2, 3),)),
    )
