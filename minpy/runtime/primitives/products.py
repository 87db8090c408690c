"""Products of arrays: dot, matmul, tensordot and their kin."""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.runtime import blas
from minpy.runtime.primitives.matrices import crossed, transposed
from minpy.runtime.primitives.moves import cases, rows
from minpy.runtime.primitives.rules import as_array
from minpy.runtime.primitives.table import Kernel, Scalar, row

_REAL = frozenset(("float32", "float64"))
_SHAPES = "NumPy refuses these shapes"


# ----- dot --------------------------------------------------------------------------------------------------


def _dot_left(g: Any, ans: Any, x: Any, y: Any, *a: Any, **k: Any) -> Any:
    y = as_array(y)
    nx, ny = np.ndim(x), np.ndim(y)
    if not nx or not ny or nx == ny == 1:
        return np.sum(g * y) if not nx else g * y
    if ny == 1:
        return np.expand_dims(g, -1) * y
    if nx == 1 and ny == 2:
        return np.dot(y, g)
    if ny == 2:
        return blas.dot(g, np.transpose(y))
    rest = [i for i in range(ny) if i != ny - 2]
    return np.tensordot(g, y, axes=(list(range(nx - 1, nx - 1 + ny - 1)), rest))


def _dot_right(g: Any, ans: Any, x: Any, y: Any, *a: Any, **k: Any) -> Any:
    x = as_array(x)
    nx, ny = np.ndim(x), np.ndim(y)
    if not nx or not ny or nx == ny == 1:
        return np.sum(g * x) if not ny else g * x
    if nx == 1 and ny == 2:
        return np.expand_dims(x, -1) * g
    if nx == ny == 2:
        return crossed(x, g)
    lead = list(range(nx - 1))
    d = np.tensordot(x, g, axes=(lead, lead))
    return d if ny == 1 else np.moveaxis(d, 0, -2)


def _undottable(a: Any, b: Any, **k: Any) -> str | None:
    if k or not _arrays(a, b) or not (0 < a.ndim and 0 < b.ndim <= 2):
        return "the kernel multiplies vectors and matrices"
    return None if a.shape[-1] == b.shape[0] else _SHAPES


def _arrays(*values: Any) -> bool:
    return all(isinstance(v, np.ndarray) for v in values)


def _mx_dot(F: Any, a: Any, b: Any) -> Any:
    if len(a.shape) == len(b.shape) == 1:
        return Scalar(F.dot(a, b))
    if len(a.shape) == 1:
        return F.reshape(F.dot(F.reshape(a, shape=(1, -1)), b), shape=(-1,))
    if len(b.shape) == 1:
        column = F.dot(F.reshape(a, shape=(-1, a.shape[-1])), F.reshape(b, shape=(-1, 1)))
        return F.reshape(column, shape=a.shape[:-1])
    return F.reshape(F.dot(F.reshape(a, shape=(-1, a.shape[-1])), b), shape=(*a.shape[:-1], b.shape[1]))


row(
    "dot",
    cost="matmul",
    mxnet=Kernel(_mx_dot, _REAL, _undottable, cast=True),
    vjp=(_dot_left, _dot_right),
    samples=cases(
        lambda a: (a(3), a(3)),
        lambda a: (a(2, 3), a(3, 4)),
        lambda a: (a(3, 2).T, a(3)),
        lambda a: (a(3), a(3, 2)),
        lambda a: (a(2, 3, 4), a(4)),
        lambda a: (a(2, 3, 4), a(5, 4, 2)),
        lambda a: (a(3), a(2, 3, 2)),
        lambda a: (a()[()], a(2)),
        lambda a: (a(2, 2), 3),
        lambda a: (a(2), a()),
        lambda a: (a(2, 0), a(0, 3)),
        lambda a: (a(2, 3)[:, ::-1], a(3, 2)[::-1]),
        lambda a: (a(2, 3), a(2)),
        lambda a: ([1, 2], a(2)),
    ),
)


# ----- matmul -----------------------------------------------------------------------------------------------


def _matmul_left(g: Any, ans: Any, x: Any, y: Any, *a: Any, **k: Any) -> Any:
    nx, ny = np.ndim(x), np.ndim(y)
    if nx == ny == 1:
        return g * y
    if ny == 1:
        return np.expand_dims(g, -1) * y
    if nx == 1:
        return np.matmul(y, np.expand_dims(g, -1))[..., 0]
    if np.ndim(g) == np.ndim(y) == 2:
        return blas.dot(g, transposed(y))
    return np.matmul(g, transposed(y))


def _matmul_right(g: Any, ans: Any, x: Any, y: Any, *a: Any, **k: Any) -> Any:
    nx, ny = np.ndim(x), np.ndim(y)
    if nx == ny == 1:
        return g * x
    if ny == 1:
        return np.matmul(np.expand_dims(g, -2), x)[..., 0, :]
    if nx == 1:
        return np.expand_dims(x, -1) * np.expand_dims(g, -2)
    if nx == ny == 2:
        return crossed(x, g)
    return np.matmul(transposed(x), g)


def _unmultipliable(a: Any, b: Any, **k: Any) -> str | None:
    if k or not _arrays(a, b) or not a.ndim or not b.ndim:
        return "the kernel multiplies matrices and stacks of them"
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        return _SHAPES
    if b.ndim > 2 and a.shape[:-2] != b.shape[:-2]:
        return "the kernel multiplies stacks of one shape"
    return None


def _mx_matmul(F: Any, a: Any, b: Any) -> Any:
    if len(b.shape) <= 2:
        return _mx_dot(F, a, b)
    flat = F.batch_dot(F.reshape(a, shape=(-1, *a.shape[-2:])), F.reshape(b, shape=(-1, *b.shape[-2:])))
    return F.reshape(flat, shape=(*a.shape[:-1], b.shape[-1]))


_products = cases(
    lambda a: (a(2, 3), a(3, 4)),
    lambda a: (a(3), a(3)),
    lambda a: (a(2, 3), a(3)),
    lambda a: (a(3), a(3, 2)),
    lambda a: (a(5, 2, 3), a(5, 3, 2)),
    lambda a: (a(5, 2, 3), a(3, 2)),
    lambda a: (a(2, 3), a(5, 3, 2)),
    lambda a: (a(2, 1, 2, 3), a(5, 3, 2)),
    lambda a: (a(3), a(4, 3, 2)),
    lambda a: (a(4, 2, 3), a(3)),
    lambda a: (a(3, 2).T, a(2, 3).T),
    lambda a: (a(2, 0), a(0, 3)),
    lambda a: (a(2, 3), a(2, 3)),
    lambda a: (a(2, 3), 2),
)
for _name in ("matmul", "linalg.matmul"):
    row(
        _name,
        cost="matmul",
        mxnet=Kernel(_mx_matmul, _REAL, _unmultipliable, cast=True),
        vjp=(_matmul_left, _matmul_right),
        samples=_products,
    )


# ----- vdot, inner, outer -----------------------------------------------------------------------------------

row(
    "vdot",
    cost="reduce",
    mxnet=Kernel(
        lambda F, a, b: Scalar(F.dot(F.reshape(a, shape=(-1,)), F.reshape(b, shape=(-1,)))),
        _REAL,
        lambda a, b: None if _arrays(a, b) and a.size == b.size and a.ndim and b.ndim else _SHAPES,
        cast=True,
    ),
    vjp=(
        lambda g, ans, x, y: np.reshape(np.conj(g * np.ravel(y)), np.shape(x)),
        lambda g, ans, x, y: np.reshape(g * np.conj(np.ravel(x)), np.shape(y)),
    ),
    samples=cases(
        lambda a: (a(3), a(3)),
        lambda a: (a(2, 3), a(3, 2)),
        lambda a: (a(), a()),
        lambda a: (a(3), a(2)),
        lambda a: (a(0), a(0)),
    ),
)


def _inner_left(g: Any, ans: Any, x: Any, y: Any) -> Any:
    if not np.ndim(x) or not np.ndim(y):
        return np.sum(g * y) if not np.ndim(x) else g * y
    rest = np.ndim(y) - 1
    return np.tensordot(g, y, rest)


def _inner_right(g: Any, ans: Any, x: Any, y: Any) -> Any:
    if not np.ndim(x) or not np.ndim(y):
        return np.sum(g * x) if not np.ndim(y) else g * x
    lead = list(range(np.ndim(x) - 1))
    return np.moveaxis(np.tensordot(x, g, axes=(lead, lead)), 0, -1)


row(
    "inner",
    cost="matmul",
    mxnet=Kernel(
        lambda F, a, b: Scalar(F.dot(a, b)) if len(a.shape) == 1 else F.dot(a, b, transpose_b=True),
        _REAL,
        lambda a, b: (
            None
            if _arrays(a, b) and 0 < a.ndim == b.ndim < 3 and a.shape[-1] == b.shape[-1]
            else "the kernel takes two vectors or two matrices"
        ),
        cast=True,
    ),
    vjp=(_inner_left, _inner_right),
    samples=cases(
        lambda a: (a(3), a(3)),
        lambda a: (a(2, 3), a(4, 3)),
        lambda a: (a(2, 2, 3), a(3)),
        lambda a: (a(3), a(2, 2, 3)),
        lambda a: (a(2), 2),
        lambda a: (a(3), a(2)),
    ),
)
rows(
    "outer linalg.outer",
    cost="arith",
    mxnet=Kernel(
        lambda F, a, b: F.broadcast_mul(F.reshape(a, shape=(-1, 1)), F.reshape(b, shape=(1, -1))),
        _REAL,
        lambda a, b: None if _arrays(a, b) and a.ndim and b.ndim else "the kernel takes two arrays",
        cast=True,
    ),
    vjp=(
        lambda g, ans, x, y, *r, **k: np.reshape(np.dot(g, np.ravel(y)), np.shape(x)),
        lambda g, ans, x, y, *r, **k: np.reshape(np.dot(np.ravel(x), g), np.shape(y)),
    ),
    samples=cases(
        lambda a: (a(2), a(3)),
        lambda a: (a(2, 2), a(3)),
        lambda a: (a()[()], a(2)),
        lambda a: ([1, 2], a(2)),
        lambda a: (a(0), a(2)),
    ),
)


# ----- tensordot --------------------------------------------------------------------------------------------


def _contracted(x: Any, y: Any, axes: Any) -> tuple[list[int], list[int]]:
    """The axes that a tensordot sums over, from 0."""
    nx, ny = np.ndim(x), np.ndim(y)
    try:
        left, right = axes
    except TypeError:
        left, right = list(range(nx - int(axes), nx)), list(range(int(axes)))
    left = [left] if np.ndim(left) == 0 else list(left)
    right = [right] if np.ndim(right) == 0 else list(right)
    return [i % nx for i in left], [i % ny for i in right]


def _tensordot_left(g: Any, ans: Any, x: Any, y: Any, axes: Any = 2) -> Any:
    left, right = _contracted(x, y, axes)
    nx, ny = np.ndim(x), np.ndim(y)
    kept = [i for i in range(nx) if i not in left]
    rest = [i for i in range(ny) if i not in right]
    d = np.tensordot(g, y, axes=(list(range(len(kept), len(kept) + len(rest))), rest))
    # The axes of d: the kept ones of x, then y's contracted ones in y's order.
    order = kept + [left[right.index(i)] for i in sorted(right)]
    return np.transpose(d, np.argsort(order)) if nx else d


def _tensordot_right(g: Any, ans: Any, x: Any, y: Any, axes: Any = 2) -> Any:
    left, right = _contracted(x, y, axes)
    nx, ny = np.ndim(x), np.ndim(y)
    kept = [i for i in range(nx) if i not in left]
    rest = [i for i in range(ny) if i not in right]
    d = np.tensordot(x, g, axes=(kept, list(range(len(kept)))))
    order = [right[left.index(i)] for i in sorted(left)] + rest
    return np.transpose(d, np.argsort(order)) if ny else d


def _uncontractable(a: Any, b: Any, axes: Any = 2) -> str | None:
    if not _arrays(a, b) or not a.ndim or not b.ndim:
        return "the kernel takes two arrays"
    try:
        left, right = _contracted(a, b, axes)
        same = [a.shape[i] for i in left] == [b.shape[i] for i in right]
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return _SHAPES
    if not same or len(set(left)) != len(left) or len(set(right)) != len(right):
        return _SHAPES
    if len(left) == a.ndim and len(right) == b.ndim:
        return "a 0-d result: nothing for a device to do"
    if not isinstance(axes, (tuple, list)) and (axes < 0 or axes > min(a.ndim, b.ndim)):
        return _SHAPES
    return None


def _mx_tensordot(F: Any, a: Any, b: Any, axes: Any = 2) -> Any:
    left, right = _contracted(np.empty(a.shape, bool), np.empty(b.shape, bool), axes)
    kept = [i for i in range(len(a.shape)) if i not in left]
    rest = [i for i in range(len(b.shape)) if i not in right]
    inner = int(np.prod([a.shape[i] for i in left]))
    one = F.reshape(F.transpose(a, axes=(*kept, *left)), shape=(-1, inner))
    two = F.reshape(F.transpose(b, axes=(*right, *rest)), shape=(inner, -1))
    return F.reshape(F.dot(one, two), shape=(*[a.shape[i] for i in kept], *[b.shape[i] for i in rest]))


for _name in ("tensordot", "linalg.tensordot"):
    row(
        _name,
        cost="matmul",
        mxnet=Kernel(_mx_tensordot, _REAL, _uncontractable, cast=True),
        vjp=(_tensordot_left, _tensordot_right),
        samples=cases(
            lambda a: (a(2, 3, 4), a(3, 4, 2)),
            lambda a: (a(2, 3), a(3, 2), 1),
            lambda a: (a(2), a(3), 0),
            lambda a: (a(2, 3, 4), a(4, 3), ((1, 2), (1, 0))),
            lambda a: [(a(2, 3, 4), a(2, 3)), {"axes": ([0], [-2])}],
            lambda a: (a(2, 3), a(2, 3), ([1, 0], [1, 0])),
            lambda a: (a(2, 3), a(2), (0, 0)),
            lambda a: (a(2, 3), a(2, 3), 1),
        ),
    )
row(
    "matvec",
    cost="matmul",
    mxnet="MXNet has no such operator",
    compose=lambda x1, x2, /: np.matmul(x1, np.expand_dims(x2, -1))[..., 0],
    samples=cases(lambda a: (a(2, 3), a(3)), lambda a: (a(4, 2, 3), a(4, 3))),
)
row(
    "vecmat",
    cost="matmul",
    mxnet="MXNet has no such operator",
    compose=lambda x1, x2, /: np.matmul(np.expand_dims(np.conj(x1), -2), x2)[..., 0, :],
    samples=cases(lambda a: (a(3), a(3, 2)), lambda a: (a(4, 3), a(4, 3, 2))),
)
rows(
    "vecdot linalg.vecdot",
    cost="reduce",
    mxnet="MXNet has no such operator",
    compose=lambda x1, x2, /, *, axis=-1: np.sum(np.conj(x1) * x2, axis=axis),
    samples=cases(
        lambda a: (a(2, 3), a(3)),
    ),
)

# ----- trace -----------------------------------------------------------------------------------------------


def _trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None
) -> Any:
    return np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype)


row(
    "trace",
    cost="reduce",
    mxnet="the sum of a short diagonal",
    compose=_trace,
    samples=cases(
        lambda a: (a(3, 3),),
        lambda a: (a(2, 4), 1),
        lambda a: [(a(2, 3, 3),), {"axis1": 1, "axis2": 2, "offset": -1}],
        lambda a: (a(3),),
    ),
)
row(
    "linalg.trace",
    cost="reduce",
    mxnet="the sum of a short diagonal",
    samples=cases(lambda a: (a(2, 3, 3),), lambda a: [(a(3, 4),), {"offset": 1}]),
    compose=lambda x, /, *, offset=0, dtype=None: _trace(x, offset, -2, -1, dtype),
)
