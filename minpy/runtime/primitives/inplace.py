"""Functions that write into their first operand: on an `Array` through the tape."""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.runtime.primitives.moves import cases, plain
from minpy.runtime.primitives.table import row

_WRITES = "written through the array's own memory"


def _write(target: Any, index: Any, value: Any) -> None:
    from minpy.runtime.writes import write

    write(target, index, value)


def _frozen(name: str, target: Any, *args: Any, **keywords: Any) -> bool:
    """Whether `target` is read-only; NumPy then says so in its own words, if there is anything to write."""
    if target.flags.writeable:
        return False
    getattr(np, name)(target.window, *plain(args), **plain(keywords))
    return True


def _values(value: Any, places: Any) -> Any:
    """The elements of `value` in C order, started again when used up, at the running numbers `places`."""
    from minpy.runtime.primitives.moves import apply

    if type(value) in (list, tuple):
        value = apply("array", value)
    return np.ravel(value)[np.asarray(places) % max(np.size(value), 1)]


def _copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    from minpy.runtime.primitives.moves import apply

    if _frozen("copyto", dst, src, casting=casting, where=where):
        return
    if type(src) in (list, tuple):
        src = apply("array", src)
    source = np.empty(0, src.dtype) if np.ndim(src) else plain(src)
    # NumPy's own refusal of a cast, on arrays of no size.
    np.copyto(np.empty(0, dst.dtype), source, casting=casting)
    where = plain(where)
    if where is True:
        _write(dst, None, src)
        return
    mask = np.broadcast_to(where, dst.shape)
    _write(dst, mask, np.broadcast_to(src, dst.shape)[mask])


row(
    "copyto",
    cost="move",
    mxnet=_WRITES,
    writes=_copyto,
    samples=cases(
        lambda a: (a(2, 3), a(2, 3)),
        lambda a: (a(2, 3), a(3)),
        lambda a: (a(2, 3), 1),
        lambda a: [(a(2, 3), a(3)), {"where": np.array([[True], [False]])}],
        lambda a: [(a(3), np.array([1.5, 2.5, -1])), {"casting": "unsafe"}],
        lambda a: (a(3), np.array([1j, 2, 3])),
        lambda a: (a(3)[::-1], a(2)),
    ),
)


def _put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    if _frozen("put", a, ind, v, mode) or not np.size(ind):
        return
    numbers = np.arange(a.size)
    places = np.take(numbers, np.ravel(plain(ind)), mode=mode)
    if np.size(v):
        _write(
            a,
            np.unravel_index(places, a.shape) if a.ndim else (),
            _pick(a, _values(v, np.arange(places.size))),
        )


def _pick(target: Any, values: Any) -> Any:
    return values if target.ndim else values[-1]


row(
    "put",
    cost="move",
    mxnet=_WRITES,
    writes=_put,
    samples=cases(
        lambda a: (a(2, 3), [0, 4], a(2)),
        lambda a: (a(2, 3), [5, -1, 2], a(1)),
        lambda a: (a(3, 2).T, np.array([[0, 1], [1, 3]]), a(3)),
        lambda a: [(a(4), [6, -9], 1), {"mode": "wrap"}],
        lambda a: [(a(4), [6, -9], 1), {"mode": "clip"}],
        lambda a: (a(4), [4], 1),
        lambda a: (a(4), 1, a()[()]),
        lambda a: (a(4), [], a(2)),
    ),
)


def _place(arr: Any, mask: Any, vals: Any) -> None:
    if _frozen("place", arr, mask, vals):
        return
    mask = np.asarray(plain(mask), bool)
    if mask.size != arr.size:
        np.place(np.empty(arr.shape, bool), mask, [True])
    mask = mask.reshape(arr.shape)
    count = int(mask.sum())
    if not np.size(vals) and count:
        np.place(np.zeros(1, bool), [True], [])
    if count:
        _write(arr, mask, _values(vals, np.arange(count)))


row(
    "place",
    cost="move",
    mxnet=_WRITES,
    writes=_place,
    samples=cases(
        lambda a: (a(2, 3), np.array([[True, False, True], [False, True, True]]), a(2)),
        lambda a: (a(4)[::-1], [1, 0, 1, 1], a(5)),
        lambda a: (a(3), [False] * 3, []),
        lambda a: (a(3), [True] * 3, []),
    ),
)


def _putmask(a: Any, mask: Any, values: Any) -> None:
    if _frozen("putmask", a, mask, values):
        return
    mask = np.asarray(plain(mask))
    if mask.size != a.size:
        np.putmask(np.empty(a.shape, bool), mask, True)
    mask = mask.astype(bool).reshape(a.shape)
    places = np.flatnonzero(mask)
    if places.size and np.size(values):
        _write(a, mask, _values(values, places))


row(
    "putmask",
    cost="move",
    mxnet=_WRITES,
    writes=_putmask,
    samples=cases(
        lambda a: (a(2, 3), np.array([[True, False, True], [False, True, True]]), a(2, 3)),
        lambda a: (a(5), np.array([1, 0, 1, 1, 0]), a(2)),
        lambda a: (a(2, 3).T, np.ones((3, 2), bool), 1),
        lambda a: (a(3), [True], 1),
    ),
)


def _fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    if _frozen("fill_diagonal", a, val, wrap):
        return
    mask = np.zeros(a.shape, bool)
    np.fill_diagonal(mask, True, wrap)
    _write(a, mask, _values(val, np.arange(int(mask.sum()))))


row(
    "fill_diagonal",
    cost="move",
    mxnet=_WRITES,
    writes=_fill_diagonal,
    samples=cases(
        lambda a: (a(3, 3), 1),
        lambda a: (a(3, 3), a(3)),
        lambda a: (a(5, 2), a(2), True),
        lambda a: (a(2, 4).T, a(1)),
        lambda a: (a(2, 2, 2), 3),
        lambda a: (a(3), 1),
        lambda a: (a(2, 3, 2), 1),
    ),
)


def _put_along_axis(arr: Any, indices: Any, values: Any, axis: Any) -> None:
    if _frozen("put_along_axis", arr, indices, values, axis):
        return
    numbers = np.arange(arr.size).reshape(arr.shape)
    indices = plain(indices)
    if axis is None:
        numbers = numbers.reshape(-1)
        if not arr.flags.c_contiguous:
            # Some versions of NumPy refuse such arrays; in their own words.
            np.put_along_axis(np.empty((*arr.shape, 2), arr.dtype)[..., 0], indices, 0, None)
    places = np.take_along_axis(numbers, indices, axis)
    _write(arr, np.unravel_index(places, arr.shape), values)


row(
    "put_along_axis",
    cost="move",
    mxnet=_WRITES,
    writes=_put_along_axis,
    samples=cases(
        lambda a: (a(3, 4), np.array([[0, 3], [1, 0], [2, -1]]), a(3, 2), 1),
        lambda a: (a(3, 4), np.array([[2, 0, 1, 1]]), a()[()], 0),
        lambda a: (a(3, 4), np.array([11, 0]), a(2), None),
        lambda a: (a(3), np.array([5]), 1, 0),
    ),
)
