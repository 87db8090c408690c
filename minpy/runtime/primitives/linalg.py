"""Linear algebra: solving, determinants, decompositions, norms.

Decompositions that are no holomorphic functions are differentiated with conjugated cotangents, by the formulas for real inner products, and
the result is conjugated back. The operand of `cholesky`, `eigh` and `eigvalsh` is taken as Hermitian: its gradient is a Hermitian matrix.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.errors import GradientError
from minpy.runtime.primitives.moves import cases, rows
from minpy.runtime.primitives.products import _t
from minpy.runtime.primitives.table import Kernel, Scalar, row
from minpy.runtime.record import current_tape

_LAPACK = "LAPACK on the host reports singular matrices; MXNet does not"


def _conj(x: Any) -> Any:
    return np.conj(x) if np.iscomplexobj(x) else x


def _h(x: Any) -> Any:
    return _conj(_t(x))


def _inverse(x: Any) -> Any:
    """1/x, zero where x is zero."""
    zero = x == 0
    return np.where(zero, 0.0, 1.0 / np.where(zero, 1.0, x))


def _diagonals(d: Any) -> Any:
    """Diagonal matrices of the last axis."""
    return np.expand_dims(d, -1) * np.eye(np.shape(d)[-1])


def _square(a: Any) -> Any:
    n = np.eye(3)
    return a(3, 3) + (3 * n).astype(a.dtype)


def _definite(a: Any, *lead: int) -> Any:
    x = a(*lead, 3, 3)
    return (x @ np.conj(np.swapaxes(x, -1, -2)) + 3 * np.eye(3)).astype(a.dtype)


def _hermitian(a: Any, *lead: int) -> Any:
    x = a(*lead, 3, 3)
    return (x + np.conj(np.swapaxes(x, -1, -2)) + np.diag([0, 7, 15])).astype(a.dtype)


# ----- solving ----------------------------------------------------------------------------------------------


def _solve_b(g: Any, ans: Any, a: Any, b: Any) -> Any:
    return np.linalg.solve(_t(a), g) if np.ndim(b) != np.ndim(a) - 1 else _solve_vector(_t(a), g)


def _solve_vector(a: Any, b: Any) -> Any:
    return np.linalg.solve(a, np.expand_dims(b, -1))[..., 0]


def _solve_a(g: Any, ans: Any, a: Any, b: Any) -> Any:
    d = _solve_b(g, ans, a, b)
    if np.ndim(b) == np.ndim(a) - 1:
        return -np.expand_dims(d, -1) * np.expand_dims(ans, -2)
    return -np.matmul(d, _t(ans))


row(
    "linalg.inv",
    cost="solve",
    mxnet=_LAPACK,
    vjp=(lambda g, ans, a: -np.matmul(_t(ans), np.matmul(g, _t(ans))),),
    samples=cases(
        lambda a: (_square(a),),
        lambda a: (_definite(a, 2),),
        lambda a: (np.zeros((2, 2), a.dtype),),
        lambda a: (a(2, 3),),
        lambda a: (_square(a).T,),
    ),
)
row(
    "linalg.solve",
    cost="solve",
    mxnet=_LAPACK,
    vjp=(_solve_a, _solve_b),
    samples=cases(
        lambda a: (_square(a), a(3)),
        lambda a: (_square(a), a(3, 2)),
        lambda a: (_definite(a, 2), a(2, 3, 2)),
        lambda a: (_definite(a, 2), a(3, 2)),
        lambda a: (np.zeros((2, 2), a.dtype), a(2)),
        lambda a: (_square(a), a(2)),
    ),
)


def _cofactors(a: Any, det: Any) -> Any:
    """The derivative of the determinant: its cofactors, which exist for a singular matrix too."""
    if np.all(np.asarray(det != 0)):
        return np.expand_dims(np.expand_dims(det, -1), -1) * _t(np.linalg.inv(a))
    if np.iscomplexobj(a) and current_tape() is not None:
        raise GradientError(
            "the second derivative of the determinant of a singular complex matrix is not available"
        )
    u, s, vh = np.linalg.svd(a)
    n = np.shape(s)[-1]
    rest = np.stack([np.prod(np.delete(s, i, axis=-1), axis=-1) for i in range(n)], axis=-1)
    phase = np.linalg.det(u) * np.linalg.det(vh)
    cofactors = np.matmul(_conj(u) * np.expand_dims(rest, -2), _conj(vh))
    return np.expand_dims(np.expand_dims(phase, -1), -1) * cofactors


row(
    "linalg.det",
    cost="solve",
    mxnet=_LAPACK,
    vjp=(lambda g, ans, a: np.expand_dims(np.expand_dims(g, -1), -1) * _cofactors(a, ans),),
    samples=cases(
        lambda a: (_square(a),),
        lambda a: (_definite(a, 2),),
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
    return np.expand_dims(np.expand_dims(g_log, -1), -1) * _t(np.linalg.inv(a))


row(
    "linalg.slogdet",
    cost="solve",
    mxnet=_LAPACK,
    vjp=(_unslogdet,),
    samples=cases(
        lambda a: (_square(a),),
        lambda a: (_definite(a, 2),),
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
        lambda a: (_square(a), -2),
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


# ----- decompositions ---------------------------------------------------------------------------------------


def _uncholesky(g: Any, ans: Any, a: Any, **k: Any) -> Any:
    lower = np.matmul(_h(ans), _conj(g))
    lower = np.tril(lower) * (1 - 0.5 * np.eye(np.shape(a)[-1]))
    d = np.linalg.solve(_h(ans), _h(np.linalg.solve(_h(ans), _h(lower))))
    return _conj((d + _h(d)) / 2)


row(
    "linalg.cholesky",
    cost="solve",
    mxnet=_LAPACK,
    vjp=(_uncholesky,),
    samples=cases(
        lambda a: (_definite(a),),
        lambda a: (_definite(a, 2),),
        lambda a: (np.diag([1, -1]).astype(a.dtype),),
        lambda a: (a(2, 3),),
    ),
)


def _gaps(values: Any) -> Any:
    """1 / (v_j - v_i), zero for equal values (their eigenvectors have no derivative)."""
    return _inverse(np.expand_dims(values, -2) - np.expand_dims(values, -1))


def _uneigh(g: Any, ans: Any, a: Any, *r: Any, **k: Any) -> Any:
    values, vectors = ans
    inner = _diagonals(_conj(g[0])) + _gaps(values) * np.matmul(_h(vectors), _conj(g[1]))
    d = np.matmul(vectors, np.matmul(inner, _h(vectors)))
    return _conj((d + _h(d)) / 2)


def _uneigvalsh(g: Any, ans: Any, a: Any, UPLO: str = "L") -> Any:
    _, vectors = np.linalg.eigh(a, UPLO)
    return _conj(np.matmul(vectors * np.expand_dims(_conj(g), -2), _h(vectors)))


_symmetric = cases(
    lambda a: (_hermitian(a),),
    lambda a: (_hermitian(a, 2),),
    lambda a: (_hermitian(a), "U"),
    lambda a: (a(2, 3),),
)
row("linalg.eigh", cost="solve", mxnet=_LAPACK, vjp=(_uneigh,), samples=_symmetric)
row("linalg.eigvalsh", cost="solve", mxnet=_LAPACK, vjp=(_uneigvalsh,), samples=_symmetric)


def _uneig(g: Any, ans: Any, a: Any) -> Any:
    values, vectors = ans
    adjoint = _h(vectors)
    inner = np.matmul(adjoint, _conj(g[1]))
    # The vectors have length 1: the part of the cotangent along them does not count.
    along = np.real(np.diagonal(inner, 0, -2, -1))
    inner = inner - np.matmul(adjoint, vectors) * np.expand_dims(along, -2)
    inner = inner * _conj(_gaps(values)) + _diagonals(_conj(g[0]))
    return _conj(np.linalg.solve(adjoint, np.matmul(inner, adjoint)))


def _uneigvals(g: Any, ans: Any, a: Any) -> Any:
    values, vectors = np.linalg.eig(a)
    return _uneig((g, np.zeros(np.shape(vectors), vectors.dtype)), (values, vectors), a)


_general = cases(lambda a: (a(3, 3),), lambda a: (_square(a),), lambda a: (a(2, 3, 3),), lambda a: (a(2, 3),))
row("linalg.eig", cost="solve", mxnet=_LAPACK, vjp=(_uneig,), samples=_general)
row("linalg.eigvals", cost="solve", mxnet=_LAPACK, vjp=(_uneigvals,), samples=_general)


def _unsvd(
    g: Any, ans: Any, a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    if not compute_uv:
        u, _, vh = np.linalg.svd(a, full_matrices=False)
        return _conj(np.matmul(u * np.expand_dims(g, -2), vh))
    gu, gs, gvh = _conj(g[0]), g[1], _conj(g[2])
    u, s, vh = ans
    m, n = np.shape(a)[-2:]
    k = min(m, n)
    if full_matrices and m != n:
        extra = gu[..., :, k:] if m > n else gvh[..., k:, :]
        if np.any(np.asarray(extra != 0)):
            raise GradientError(
                "the vectors that svd adds for full_matrices=True are arbitrary and have no derivative; use full_matrices=False"
            )
        u, vh, gu, gvh = u[..., :, :k], vh[..., :k, :], gu[..., :, :k], gvh[..., :k, :]
    along_u, along_v = np.matmul(_h(u), gu), np.matmul(vh, _h(gvh))
    skew_u, skew_v = along_u - _h(along_u), along_v - _h(along_v)
    row_s, column_s = np.expand_dims(s, -2), np.expand_dims(s, -1)
    inner = (skew_u * row_s + column_s * skew_v) * _gaps(s * s) + _diagonals(gs)
    if np.iscomplexobj(a):
        inner = inner + skew_u * np.eye(k) * (0.5 * _inverse(row_s))
    d = np.matmul(np.matmul(u, inner), vh)
    if m > k:
        d = d + np.matmul((gu - np.matmul(u, along_u)) * _inverse(row_s), vh)
    if n > k:
        d = d + np.matmul(u, (gvh - np.matmul(_h(along_v), vh)) * _inverse(column_s))
    return _conj(d)


row(
    "linalg.svd",
    cost="solve",
    mxnet=_LAPACK,
    vjp=(_unsvd,),
    samples=cases(
        lambda a: (a(3, 3),),
        lambda a: (a(4, 2), False),
        lambda a: (a(2, 4), False),
        lambda a: [(a(2, 3, 2),), {"compute_uv": False}],
        lambda a: [(_hermitian(a),), {"hermitian": True}],
        lambda a: (a(3),),
    ),
)
row("linalg.svdvals", cost="solve", mxnet=_LAPACK, vjp=(lambda g, ans, x: _unsvd(g, ans, x, False, False),))


def _unqr(g: Any, ans: Any, a: Any, mode: str = "reduced") -> Any:
    m, n = np.shape(a)[-2:]
    if mode in ("reduced", "complete", "r") and m < n:
        return _unqr_wide(g, ans, a, mode)
    if mode == "r":
        # a = q r, and only r was kept.
        q = _t(np.linalg.solve(_t(ans), _t(a)))
        return _conj(_unqr_tall(np.zeros(np.shape(q)), _conj(g), q, ans))
    if mode == "raw" or (mode == "complete" and m != n):
        raise GradientError(f"qr with mode={mode!r} has no derivative rule; use mode='reduced'")
    return _conj(_unqr_tall(_conj(g[0]), _conj(g[1]), *ans))


def _unqr_tall(gq: Any, gr: Any, q: Any, r: Any) -> Any:
    inner = np.triu(np.matmul(gr, _h(r)) - np.matmul(_h(q), gq))
    n = np.shape(r)[-1]
    inner = inner + _h(inner) - np.real(inner) * np.eye(n)
    return _h(np.linalg.solve(r, _h(gq + np.matmul(q, inner))))


def _unqr_wide(g: Any, ans: Any, a: Any, mode: str) -> Any:
    m = np.shape(a)[-2]
    if mode == "r":
        r, gr = ans, _conj(g)
        q = _t(np.linalg.solve(_t(r[..., :, :m]), _t(a[..., :, :m])))
        gq = np.zeros(np.shape(q))
    else:
        q, r = ans
        gq, gr = _conj(g[0]), _conj(g[1])
    gq = gq + np.matmul(a[..., :, m:], _h(gr[..., :, m:]))
    left = _unqr_tall(gq, gr[..., :, :m], q, r[..., :, :m])
    return _conj(np.concatenate((left, np.matmul(q, gr[..., :, m:])), axis=-1))


row(
    "linalg.qr",
    cost="solve",
    mxnet=_LAPACK,
    vjp=(_unqr,),
    samples=cases(
        lambda a: (a(3, 3),),
        lambda a: (a(4, 2),),
        lambda a: (a(2, 4),),
        lambda a: (a(3, 2), "r"),
        lambda a: (a(2, 3), "r"),
        lambda a: (a(2, 3, 2),),
        lambda a: (a(3, 2), "complete"),
    ),
)


def _unpinv(g: Any, ans: Any, a: Any, *r: Any, **k: Any) -> Any:
    g, adjoint = _h(_conj(g)), _h(ans)
    m, n = np.shape(a)[-2:]
    d = -np.matmul(adjoint, np.matmul(_h(g), adjoint))
    left, right = np.eye(m) - np.matmul(a, ans), np.eye(n) - np.matmul(ans, a)
    d = d + np.matmul(np.matmul(left, g), np.matmul(ans, adjoint))
    return _conj(d + np.matmul(np.matmul(adjoint, ans), np.matmul(g, right)))


row(
    "linalg.pinv",
    cost="solve",
    mxnet=_LAPACK,
    vjp=(_unpinv,),
    samples=cases(
        lambda a: (a(3, 2),), lambda a: (a(2, 3),), lambda a: (_square(a),), lambda a: (a(2, 3, 2), 1e-10)
    ),
)


def _unlstsq(which: int) -> Any:
    def rule(g: Any, ans: Any, a: Any, b: Any, *r: Any, **k: Any) -> Any:
        m, n = np.shape(a)
        if int(np.asarray(_host(ans[2]))) < n:
            raise GradientError("the derivative of lstsq exists for a matrix of full column rank; use pinv")
        x = ans[0]
        vector = np.ndim(b) == 1
        gx, bb = (np.reshape(g[0], (n, 1)), np.reshape(b, (m, 1))) if vector else (g[0], b)
        x = np.reshape(x, (n, 1)) if vector else x
        residual = bb - np.matmul(a, x)
        y = np.linalg.solve(np.matmul(_h(a), a), _conj(gx))
        weight = 2 * g[1] if np.size(g[1]) else 0.0
        if which:
            d = np.matmul(a, y) + weight * residual
            return _conj(np.reshape(d, np.shape(b)))
        d = (
            np.matmul(residual, _h(y))
            - np.matmul(np.matmul(a, y), _h(x))
            - np.matmul(weight * residual, _h(x))
        )
        return _conj(d) + _unsvd(g[3], None, a, False, False)

    return rule


def _host(value: Any) -> Any:
    from minpy.runtime.primitives.moves import plain

    return plain(value)


row(
    "linalg.lstsq",
    cost="solve",
    mxnet=_LAPACK,
    vjp=(_unlstsq(0), _unlstsq(1)),
    samples=cases(
        lambda a: [(a(4, 2), a(4)), {"rcond": None}],
        lambda a: (a(4, 2), a(4, 3), 1e-10),
        lambda a: [(_square(a), a(3)), {"rcond": None}],
        lambda a: [(a(3, 2), a(2)), {"rcond": None}],
    ),
)


# ----- norms ------------------------------------------------------------------------------------------------


def _direction(x: Any) -> Any:
    """The derivative of abs: the sign, zero at zero."""
    return _conj(x) * _inverse(np.abs(x)) if np.iscomplexobj(x) else np.sign(x)


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
        return g * _conj(x) * _inverse(ans)
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
    d = _conj(np.matmul(u * np.expand_dims(weights, -2), vh))
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
rows("linalg.vector_norm linalg.matrix_norm", cost="reduce", mxnet="the options are NumPy 2's own")


def _cond(x: Any, p: Any = None) -> Any:
    if p is None or p == 2 or p == -2:
        s = np.linalg.svd(x, compute_uv=False)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return np.linalg.norm(x, p, axis=(-2, -1)) * np.linalg.norm(np.linalg.inv(x), p, axis=(-2, -1))


row(
    "linalg.cond",
    cost="solve",
    mxnet=_LAPACK,
    compose=_cond,
    samples=cases(
        lambda a: (_square(a),),
        lambda a: (a(3, 2),),
        lambda a: (_square(a), "fro"),
        lambda a: (_square(a), -2),
        lambda a: (_square(a), 1),
    ),
)
row(
    "linalg.matrix_rank",
    cost="solve",
    mxnet=_LAPACK,
    flat=True,
    samples=cases(lambda a: (a(3, 2),), lambda a: (a(2, 3, 3),), lambda a: (a(3),)),
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
    return np.reshape(np.linalg.solve(np.reshape(a, (-1, count)), np.ravel(b)), shape)


row(
    "linalg.tensorinv",
    cost="solve",
    mxnet=_LAPACK,
    compose=_tensorinv,
    samples=cases(
        lambda a: ((a(6, 6) + 5 * np.eye(6)).astype(a.dtype).reshape(6, 2, 3), 1), lambda a: (a(2, 3), 1)
    ),
)
row(
    "linalg.tensorsolve",
    cost="solve",
    mxnet=_LAPACK,
    compose=_tensorsolve,
    samples=cases(
        lambda a: ((a(6, 6) + 5 * np.eye(6)).astype(a.dtype).reshape(2, 3, 6), a(2, 3)),
        lambda a: [((a(6, 6) + 5 * np.eye(6)).astype(a.dtype).reshape(2, 6, 3), a(2, 3)), {"axes": (1,)}],
    ),
)
