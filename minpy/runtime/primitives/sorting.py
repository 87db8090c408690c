"""Sorting, and the functions on sets."""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.runtime.primitives.moves import apply, cases, plain, rows
from minpy.runtime.primitives.table import row

_ORDER = "MXNet orders ties and NaN in its own way"
_LOOKS = "the result's shape depends on the contents"


def _unsort(g: Any, ans: Any, x: Any, *args: Any, axis: Any = -1, **keywords: Any) -> Any:
    """Both sides sorted are one list: that pairs the elements of operand and result, ties in any way."""
    axis = args[0] if args else axis
    return _matched(g, ans, x, axis, is_sorted=True)


def _unpartition(g: Any, ans: Any, x: Any, kth: Any, axis: Any = -1, *a: Any, **k: Any) -> Any:
    return _matched(g, ans, x, axis)


def _matched(g: Any, ans: Any, x: Any, axis: Any, is_sorted: bool = False) -> Any:
    shape = np.shape(x)
    operand, result = np.asarray(plain(x)), np.asarray(plain(ans))
    if axis is None:
        operand, axis = operand.reshape(-1), 0
    numbers = np.arange(operand.size).reshape(operand.shape)
    source = np.take_along_axis(numbers, np.argsort(operand, axis, kind="stable"), axis)
    if is_sorted:
        return apply("flat_scatter", g, source, shape)
    target = np.argsort(np.argsort(result, axis, kind="stable"), axis)
    return apply("flat_scatter", g, np.take_along_axis(source, target, axis), shape)


_sortable = cases(
    lambda a: (a(7),),
    lambda a: (a(3, 4), 0),
    lambda a: [(a(4, 3).T,), {"axis": None}],
    lambda a: [(a(2, 5)[:, ::-1],), {"kind": "stable"}],
    lambda a: (a(0),),
    lambda a: (a(3), 1),
    lambda a: (np.array([1, 0, 1, 1, 0]).astype(a.dtype),),
)
row("sort", cost="sort", mxnet=_ORDER, vjp=(_unsort,), samples=_sortable)
row(
    "msort",
    cost="sort",
    mxnet=_ORDER,
    vjp=(lambda g, ans, a: _matched(g, ans, a, 0, is_sorted=True),),
    samples=cases(lambda a: (a(5),), lambda a: (a(3, 2),)),
)
row("argsort", cost="sort", mxnet=_ORDER, flat=True, samples=_sortable)
row(
    "lexsort",
    cost="sort",
    mxnet=_ORDER,
    flat=True,
    samples=cases(lambda a: ((a(5), np.array([1, 0, 1, 0, 0])),), lambda a: (a(2, 4), 0)),
)
_partitions = cases(
    lambda a: (a(7), 3),
    lambda a: (a(3, 4), [0, 2], 1),
    lambda a: [(a(3, 4), 1), {"axis": None}],
    lambda a: (a(4, 3), -1, 0),
    lambda a: (a(3), 3),
)
row("partition", cost="sort", mxnet=_ORDER, vjp=(_unpartition,), samples=_partitions)
row("argpartition", cost="sort", mxnet=_ORDER, flat=True, samples=_partitions)
row(
    "sort_complex",
    cost="sort",
    mxnet=_ORDER,
    vjp=(lambda g, ans, a: _matched(g, ans, a, -1, is_sorted=True),),
    samples=cases(lambda a: (a(5),), lambda a: (a(2, 3),)),
)


# ----- sets -------------------------------------------------------------------------------------------------


def _ununique(g: Any, ans: Any, ar: Any, *flags: Any, axis: Any = None, **keywords: Any) -> Any:
    if len(flags) > 3:
        axis = flags[3]
    values = g[0] if isinstance(ans, (tuple, list)) else g
    host = np.asarray(plain(ar))
    keep = {k: v for k, v in keywords.items() if k == "equal_nan"}
    _, first = np.unique(host, return_index=True, axis=axis, **keep)
    numbers = np.arange(host.size).reshape(host.shape)
    places = numbers.reshape(-1)[first] if axis is None else np.take(numbers, first, axis)
    return apply("flat_scatter", values, places, np.shape(ar))


row(
    "unique",
    cost="sort",
    mxnet=_LOOKS,
    vjp=(_ununique,),
    samples=cases(
        lambda a: (np.round(a(8)),),
        lambda a: (a(3, 2),),
        lambda a: [
            (np.array([3, 1, 1, 2]).astype(a.dtype),),
            {"return_index": True, "return_inverse": True, "return_counts": True},
        ],
        lambda a: [(np.array([[1, 0], [1, 0], [0, 1]]).astype(a.dtype),), {"axis": 0}],
        lambda a: (a(0),),
    ),
)
rows(
    "unique_values unique_counts unique_inverse unique_all",
    cost="sort",
    mxnet=_LOOKS,
    samples=cases(lambda a: (np.round(a(6)),), lambda a: (a(2, 2),)),
)


def _set_samples(a: Any) -> Any:
    return (np.array([3, 1, 2, 1]).astype(a.dtype), np.array([2, 3, 5]).astype(a.dtype))


_sets = cases(_set_samples, lambda a: (a(4), a(2, 2)), lambda a: (a(0), a(2)))
for _name in ("isin", "in1d"):
    row(
        _name,
        cost="sort",
        mxnet="MXNet has no such operator",
        flat=True,
        samples=cases(_set_samples, lambda a: (a(2, 3), a(2)), lambda a: [_set_samples(a), {"invert": True}]),
    )


def _intersect(ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False) -> Any:
    result = np.intersect1d(plain(ar1), plain(ar2), assume_unique, True)
    return (np.ravel(ar1)[result[1]], *result[1:]) if return_indices else np.ravel(ar1)[result[1]]


def _union(ar1: Any, ar2: Any) -> Any:
    return np.unique(np.concatenate((ar1, ar2), axis=None))


def _difference(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    ar1 = np.ravel(ar1) if assume_unique else np.unique(ar1)
    return ar1[np.isin(plain(ar1), plain(ar2), assume_unique=True, invert=True)]


row(
    "intersect1d",
    cost="sort",
    mxnet=_LOOKS,
    compose=_intersect,
    samples=cases(
        _set_samples, lambda a: (a(4), a(2)), lambda a: [_set_samples(a), {"return_indices": True}]
    ),
)
row("union1d", cost="sort", mxnet=_LOOKS, compose=_union, samples=_sets)
row("setdiff1d", cost="sort", mxnet=_LOOKS, compose=_difference, samples=_sets)


def _symmetric(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    if not assume_unique:
        ar1, ar2 = np.unique(ar1), np.unique(ar2)
    both = np.concatenate((ar1, ar2), axis=None)
    if not np.size(both):
        return both
    host = plain(both)
    order = np.argsort(host)
    host = host[order]
    changes = np.concatenate(([True], host[1:] != host[:-1], [True]))
    return both[order[changes[1:] & changes[:-1]]]


row("setxor1d", cost="sort", mxnet=_LOOKS, compose=_symmetric, samples=_sets)
