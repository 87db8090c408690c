"""Cutting and pasting: roll, insert, delete, triangles, meshes."""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.runtime.primitives.moves import apply, as_array, cases, gathers, plain
from minpy.runtime.primitives.table import row

_SPLICE = "MXNet has no such operator"


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
    arr, values = as_array(arr), as_array(values)
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
    np.ix_(*[np.broadcast_to(0, np.shape(a)) for a in args])  # NumPy's own refusal of what is no index
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
