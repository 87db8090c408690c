"""Linear algebra: solving, determinants, powers, norms."""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.errors import GradientError
from minpy.runtime.primitives.matrices import LAPACK, conj, definite, inverse, square, transposed
from minpy.runtime.primitives.moves import apply, cases, rows
from minpy.runtime.primitives.table import Kernel, Scalar, row
from minpy.runtime.record import current_tape

_NUMPY_2 = np.lib.NumpyVersion(np.__version__) >= "2.0.0"

# ----- solving ----------------------------------------------------------------------------------------------


def _is_vector(a: Any, b: Any) -> bool:
    """Whether `solve` takes `b` for vectors, not matrices: NumPy 2 only where it has one dimension."""
    return np.ndim(b) == (1 if _NUMPY_2 else np.ndim(a) - 1)


def _solve_b(g: Any, ans: Any, a: Any, b: Any) -> Any:
    return np.linalg.solve(transposed(a), g) if not _is_vector(a, b) else _solve_vector(transposed(a), g)


def _solve_vector(a: Any, b: Any) -> Any:
    return np.linalg.solve(a, np.expand_dims(b, -1))[..., 0]


def _solve_a(g: Any, ans: Any, a: Any, b: Any) -> Any:
    d = _solve_b(g, ans, a, b)
    if _is_vector(a, b):
        return -np.expand_dims(d, -1) * np.expand_dims(ans, -2)
    return -np.matmul(d, transposed(ans))


row(
    "linalg.inv",
    cost="solve",
    mxnet=LAPACK,
    vjp=(lambda g, ans, a: -np.matmul(transposed(ans), np.matmul(g, transposed(ans))),),
    samples=cases(
        lambda a: (square(a),),
        lambda a: (definite(a, 2),),
        lambda a: (np.zeros((2, 2), a.dtype),),
        lambda a: (a(2, 3),),
        lambda a: (square(a).T,),
    ),
)
row(
    "linalg.solve",
    cost="solve",
    mxnet=LAPACK,
    vjp=(_solve_a, _solve_b),
    samples=cases(
        lambda a: (square(a), a(3)),
        lambda a: (square(a), a(3, 2)),
        lambda a: (definite(a, 2), a(2, 3, 2)),
        lambda a: (definite(a, 2), a(3, 2)),
        lambda a: (np.zeros((2, 2), a.dtype), a(2)),
        lambda a: (square(a), a(2)),
    ),
)


def _cofactors(a: Any, det: Any) -> Any:
    """The derivative of the determinant: its cofactors, which exist for a singular matrix too."""
    if np.all(np.asarray(det != 0)):
        return np.expand_dims(np.expand_dims(det, -1), -1) * transposed(np.linalg.inv(a))
    if np.iscomplexobj(a) and current_tape() is not None:
        raise GradientError(
            "the second derivative of the determinant of a singular complex matrix is not available"
        )
    u, s, vh = np.linalg.svd(a)
    n = np.shape(s)[-1]
    rest = np.stack([np.prod(np.delete(s, i, axis=-1), axis=-1) for i in range(n)], axis=-1)
    phase = np.linalg.det(u) * np.linalg.det(vh)
    cofactors = np.matmul(conj(u) * np.expand_dims(rest, -2), conj(vh))
    return np.expand_dims(np.expand_dims(phase, -1), -1) * cofactors


row(
    "linalg.det",
    cost="solve",
    mxnet=LAPACK,
    vjp=(lambda g, ans, a: np.expand_dims(np.expand_dims(g, -1), -1) * _cofactors(a, ans),),
    samples=cases(
        lambda a: (square(a),),
        lambda a: (definite(a, 2),),
        lambda a: (a(0, 0),),
        lambda a: (a(2, 3),),
        lambda a: (np.ones((2, 2), a.dtype),),
    ),
)


def _unslogdet(g: Any, ans: Any, a: Any) -> Any:
    sign, _ = ans
    g_sign, g_log = g
    if np.iscomplexobj(a):
        g_log = g_log - 1j * np.real(g_sign * sign * 1j)
    return np.expand_dims(np.expand_dims(g_log, -1), -1) * transposed(np.linalg.inv(a))


row(
    "linalg.slogdet",
    cost="solve",
    mxnet=LAPACK,
    vjp=(_unslogdet,),
    samples=cases(
        lambda a: (square(a),),
        lambda a: (definite(a, 2),),
        lambda a: (np.zeros((2, 2), a.dtype),),
        lambda a: (a(3),),
    ),
)


def _matrix_power(a: Any, n: Any) -> Any:
    if type(a) in (list, tuple):
        from minpy.runtime.primitives.moves import apply

        a = apply("array", a)
    if n == 0:
        return np.broadcast_to(np.eye(np.shape(a)[-1], dtype=a.dtype), np.shape(a)) + 0 * a
    if n < 0:
        a, n = np.linalg.inv(a), -n
    if n <= 3:
        return a if n == 1 else np.matmul(a, a) if n == 2 else np.matmul(np.matmul(a, a), a)
    power = result = None
    while n > 0:
        power = a if power is None else np.matmul(power, power)
        n, bit = divmod(n, 2)
        if bit:
            result = power if result is None else np.matmul(result, power)
    return result


row(
    "linalg.matrix_power",
    cost="matmul",
    mxnet="several products, chosen on the host",
    compose=_matrix_power,
    samples=cases(
        lambda a: (a(3, 3), 2),
        lambda a: (a(3, 3), 0),
        lambda a: (a(2, 2, 2), 5),
        lambda a: (square(a), -2),
        lambda a: (a(2, 2), 1),
        lambda a: (a(2, 2), 3),
        lambda a: (a(2, 3), 2),
    ),
)


def _unmulti_dot(g: Any, ans: Any, arrays: Any, *a: Any, **k: Any) -> Any:
    parts = [
        p if np.ndim(p) == 2 else np.reshape(p, (1, -1) if i == 0 else (-1, 1)) for i, p in enumerate(arrays)
    ]
    g = np.reshape(g, (np.shape(parts[0])[0], np.shape(parts[-1])[1]))
    found = []
    for i, part in enumerate(arrays):
        d = g
        if i:
            d = np.dot(np.transpose(_chain(parts[:i])), d)
        if i < len(parts) - 1:
            d = np.dot(d, np.transpose(_chain(parts[i + 1 :])))
        found.append(np.reshape(d, np.shape(part)))
    return found


def _chain(parts: list) -> Any:
    return parts[0] if len(parts) == 1 else np.linalg.multi_dot(parts)


row(
    "linalg.multi_dot",
    cost="matmul",
    mxnet="several products, in an order chosen on the host",
    vjp=(_unmulti_dot,),
    samples=cases(
        lambda a: ([a(2, 3), a(3, 4)],),
        lambda a: ([a(3), a(3, 2), a(2, 4), a(4)],),
        lambda a: ((a(2, 3), a(3, 2), a(2, 2)),),
        lambda a: ([a(2, 3)],),
    ),
)


# ----- norms ------------------------------------------------------------------------------------------------


def _direction(x: Any) -> Any:
    """The derivative of abs: the sign, zero at zero."""
    return conj(x) * inverse(np.abs(x)) if np.iscomplexobj(x) else np.sign(x)


def _unnorm(g: Any, ans: Any, x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    ndim = np.ndim(x)
    if axis is None:
        if ord is None:
            axis = tuple(range(ndim))
        else:
            axis = (0,) if ndim == 1 else (0, 1)
    axis = tuple(i % ndim for i in (axis if isinstance(axis, (tuple, list)) else (axis,)))
    shape = tuple(1 if i in axis else n for i, n in enumerate(np.shape(x)))
    g, ans = np.reshape(g, shape), np.reshape(ans, shape)
    if ord is None or ord in ("fro", "f") or (ord == 2 and len(axis) == 1):
        return g * conj(x) * inverse(ans)
    if len(axis) == 1:
        return _vector_norm(g, ans, x, ord, axis)
    if ord in ("nuc", 2, -2):
        return _spectral(g, x, ord, axis)
    # The largest or smallest sum of magnitudes: of columns for 1, of rows for infinity.
    summed = axis[0] if abs(ord) == 1 else axis[1]
    sums = np.sum(np.abs(x), axis=summed, keepdims=True)
    chosen = sums == ans
    share = chosen / np.sum(chosen, axis=axis, keepdims=True)
    return g * share * _direction(x)


def _vector_norm(g: Any, ans: Any, x: Any, ord: Any, axis: tuple) -> Any:
    size = np.abs(x)
    if ord == 0:
        return 0.0 * x
    if np.isinf(ord):
        chosen = size == ans
        return g * chosen / np.sum(chosen, axis=axis, keepdims=True) * _direction(x)
    if ord == 1:
        return g * _direction(x)
    zero = size == 0
    power = np.where(zero, 0.0, np.where(zero, 1.0, size) ** (ord - 1))
    none = ans == 0
    return g * _direction(x) * power * np.where(none, 0.0, np.where(none, 1.0, ans) ** (1 - ord))


def _spectral(g: Any, x: Any, ord: Any, axis: tuple) -> Any:
    x = np.moveaxis(x, axis, (-2, -1))
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    if ord == "nuc":
        weights = np.where(s > 0, 1.0, 0.0)
    else:
        chosen = s == (np.max if ord == 2 else np.min)(s, axis=-1, keepdims=True)
        weights = chosen / np.sum(chosen, axis=-1, keepdims=True)
    d = conj(np.matmul(u * np.expand_dims(weights, -2), vh))
    return g * np.moveaxis(d, (-2, -1), axis)


def _unnormable(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> str | None:
    if not isinstance(x, np.ndarray) or axis is not None or keepdims:
        return "the kernel reduces a whole array"
    return None if ord is None or (ord == 2 and x.ndim == 1) else "the kernel computes the Euclidean norm"


row(
    "linalg.norm",
    cost="reduce",
    mxnet=Kernel(
        lambda F, x, ord=None: Scalar(F.sqrt(F.sum(F.square(x)))), frozenset(("float64",)), _unnormable
    ),
    vjp=(_unnorm,),
    samples=cases(
        lambda a: (a(4),),
        lambda a: (a(2, 3),),
        lambda a: (a(2, 3, 2),),
        lambda a: [(a(2, 3),), {"axis": 1}],
        lambda a: [(a(2, 3), 1), {"axis": 0, "keepdims": True}],
        lambda a: (a(4), np.inf),
        lambda a: (a(4), -np.inf),
        lambda a: (a(4), 3),
        lambda a: (a(4), 0),
        lambda a: (a(4), 0.5),
        lambda a: (a(2, 3), "fro"),
        lambda a: (a(3, 2), "nuc"),
        lambda a: (a(3, 2), 2),
        lambda a: (a(3, 2), -2),
        lambda a: (a(3, 2), 1),
        lambda a: (a(3, 2), -np.inf),
        lambda a: [(a(2, 3, 2), 2), {"axis": (0, -1)}],
        lambda a: [(a(2, 3, 2), np.inf), {"axis": (2, 0), "keepdims": True}],
        lambda a: (np.zeros(3, a.dtype),),
        lambda a: (a(0),),
        lambda a: (a(2, 2, 2), 2),
    ),
)
rows(
    "linalg.vector_norm linalg.matrix_norm",
    cost="reduce",
    mxnet="the options are NumPy 2's own",
    samples=cases(lambda a: (a(3, 3),), lambda a: [(a(2, 3, 2),), {"keepdims": True}]),
)


def _cond(x: Any, p: Any = None) -> Any:
    if p is None or p == 2 or p == -2:
        s = np.linalg.svd(x, compute_uv=False)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    product = np.linalg.norm(x, p, axis=(-2, -1)) * np.linalg.norm(np.linalg.inv(x), p, axis=(-2, -1))
    # NumPy 1 gives it the operand's dtype, complex too.
    dtype = np.linalg.cond(np.eye(1, dtype=x.dtype), p).dtype
    return apply("astype", product, dtype) if product.dtype != dtype else product


row(
    "linalg.cond",
    cost="solve",
    mxnet=LAPACK,
    compose=_cond,
    samples=cases(
        lambda a: (square(a),),
        lambda a: (a(3, 2),),
        lambda a: (square(a), "fro"),
        lambda a: (square(a), -2),
        lambda a: (square(a), 1),
    ),
)
row(
    "linalg.matrix_rank",
    cost="solve",
    mxnet=LAPACK,
    flat=True,
    samples=cases(lambda a: (a(3, 2),), lambda a: (a(2, 3, 3),), lambda a: (a(3),)),
)


row(
    "linalg.cross",
    cost="arith",
    mxnet="MXNet has no such operator",
    compose=lambda x1, x2, /, *, axis=-1: np.cross(x1, x2, axis=axis),
    samples=cases(lambda a: (a(2, 3), a(2, 3)), lambda a: [(a(3, 2), a(3, 2)), {"axis": 0}]),
)


def _tensorinv(a: Any, ind: int = 2) -> Any:
    shape = np.shape(a)
    inverse = np.linalg.inv(np.reshape(a, (int(np.prod(shape[ind:])), -1)))
    return np.reshape(inverse, shape[ind:] + shape[:ind])


def _tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    ndim = np.ndim(a)
    if axes is not None:
        order = [i for i in range(ndim) if i not in axes] + list(axes)
        a = np.transpose(a, order)
    shape = np.shape(a)[-(ndim - np.ndim(b)) :]
    count = int(np.prod(shape))
    return np.reshape(np.linalg.solve(np.reshape(a, (np.size(b), count)), np.ravel(b)), shape)


row(
    "linalg.tensorinv",
    cost="solve",
    mxnet=LAPACK,
    compose=_tensorinv,
    samples=cases(
        lambda a: ((a(6, 6) + 5 * np.eye(6)).astype(a.dtype).reshape(6, 2, 3), 1), lambda a: (a(2, 3), 1)
    ),
)
row(
    "linalg.tensorsolve",
    cost="solve",
    mxnet=LAPACK,
    compose=_tensorsolve,
    samples=cases(
        lambda a: ((a(6, 6) + 5 * np.eye(6)).astype(a.dtype).reshape(2, 3, 6), a(2, 3)),
        lambda a: [((a(6, 6) + 5 * np.eye(6)).astype(a.dtype).reshape(2, 6, 3), a(2, 3)), {"axes": (1,)}],
    ),
)
