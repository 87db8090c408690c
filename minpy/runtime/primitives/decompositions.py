"""Decompositions of matrices.

They are no holomorphic functions: differentiated with conjugated cotangents, by the formulas for real inner
products, and the result is conjugated again. The operand of `cholesky`, `eigh` and `eigvalsh` is taken as
Hermitian: its gradient is a Hermitian matrix.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.errors import GradientError
from minpy.runtime.primitives.matrices import (
    LAPACK,
    adjoint,
    conj,
    definite,
    diagonals,
    hermitian,
    inverse,
    square,
    transposed,
)
from minpy.runtime.primitives.moves import cases, plain
from minpy.runtime.primitives.table import row


def _uncholesky(g: Any, ans: Any, a: Any, **k: Any) -> Any:
    lower = np.matmul(adjoint(ans), conj(g))
    lower = np.tril(lower) * (1 - 0.5 * np.eye(np.shape(a)[-1]))
    d = np.linalg.solve(adjoint(ans), adjoint(np.linalg.solve(adjoint(ans), adjoint(lower))))
    return conj((d + adjoint(d)) / 2)


row(
    "linalg.cholesky",
    cost="solve",
    mxnet=LAPACK,
    vjp=(_uncholesky,),
    samples=cases(
        lambda a: (definite(a),),
        lambda a: (definite(a, 2),),
        lambda a: (np.diag([1, -1]).astype(a.dtype),),
        lambda a: (a(2, 3),),
    ),
)


def _gaps(values: Any) -> Any:
    """1 / (v_j - v_i), zero for equal values (their eigenvectors have no derivative)."""
    return inverse(np.expand_dims(values, -2) - np.expand_dims(values, -1))


def _uneigh(g: Any, ans: Any, a: Any, *r: Any, **k: Any) -> Any:
    values, vectors = ans
    inner = diagonals(conj(g[0])) + _gaps(values) * np.matmul(adjoint(vectors), conj(g[1]))
    d = np.matmul(vectors, np.matmul(inner, adjoint(vectors)))
    return conj((d + adjoint(d)) / 2)


def _uneigvalsh(g: Any, ans: Any, a: Any, UPLO: str = "L") -> Any:
    _, vectors = np.linalg.eigh(a, UPLO)
    return conj(np.matmul(vectors * np.expand_dims(conj(g), -2), adjoint(vectors)))


_symmetric = cases(
    lambda a: (hermitian(a),),
    lambda a: (hermitian(a, 2),),
    lambda a: (hermitian(a), "U"),
    lambda a: (a(2, 3),),
)
row("linalg.eigh", cost="solve", mxnet=LAPACK, vjp=(_uneigh,), samples=_symmetric)
row("linalg.eigvalsh", cost="solve", mxnet=LAPACK, vjp=(_uneigvalsh,), samples=_symmetric)


def _uneig(g: Any, ans: Any, a: Any) -> Any:
    values, vectors = ans
    conjugated = adjoint(vectors)
    inner = np.matmul(conjugated, conj(g[1]))
    # The vectors have length 1: the part of the cotangent along them does not count.
    along = np.real(np.diagonal(inner, 0, -2, -1))
    inner = inner - np.matmul(conjugated, vectors) * np.expand_dims(along, -2)
    inner = inner * conj(_gaps(values)) + diagonals(conj(g[0]))
    return conj(np.linalg.solve(conjugated, np.matmul(inner, conjugated)))


def _uneigvals(g: Any, ans: Any, a: Any) -> Any:
    values, vectors = np.linalg.eig(a)
    return _uneig((g, np.zeros(np.shape(vectors), vectors.dtype)), (values, vectors), a)


_general = cases(lambda a: (a(3, 3),), lambda a: (square(a),), lambda a: (a(2, 3, 3),), lambda a: (a(2, 3),))
row("linalg.eig", cost="solve", mxnet=LAPACK, vjp=(_uneig,), samples=_general)
row("linalg.eigvals", cost="solve", mxnet=LAPACK, vjp=(_uneigvals,), samples=_general)


def _without_complement(what: str, q: Any, g: Any, k: int) -> tuple[Any, Any]:
    """The first `k` columns of the unitary matrices `q`, and the cotangent of these alone.

    The others are any basis of what is orthogonal to the first, and turn with them. What depends on the choice of the
    basis has no derivative.
    """
    first, rest, g_rest = q[..., :, :k], q[..., :, k:], g[..., :, k:]
    turned = np.matmul(adjoint(rest), g_rest)
    choice = np.abs(plain(turned - adjoint(turned)))
    if np.any(choice > 1e3 * np.finfo(choice.dtype).eps * (1 + np.max(np.abs(plain(g_rest)), initial=0))):
        raise GradientError(
            f"{what} completes the vectors by an arbitrary basis, and the result depends on its choice: there is no "
            "derivative. Use the vectors of the reduced form, or the projection q @ q.conj().T of the others"
        )
    return first, g[..., :, :k] - np.matmul(rest, np.matmul(adjoint(g_rest), first))


def _unsvd(
    g: Any, ans: Any, a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    if not compute_uv:
        u, _, vh = np.linalg.svd(a, full_matrices=False)
        return conj(np.matmul(u * np.expand_dims(g, -2), vh))
    gu, gs, gvh = conj(g[0]), g[1], conj(g[2])
    u, s, vh = ans
    m, n = np.shape(a)[-2:]
    k = min(m, n)
    if full_matrices and m > n:
        u, gu = _without_complement("svd with full_matrices=True", u, gu, k)
    elif full_matrices and m < n:
        v, gv = _without_complement("svd with full_matrices=True", adjoint(vh), adjoint(gvh), k)
        vh, gvh = adjoint(v), adjoint(gv)
    along_u, along_v = np.matmul(adjoint(u), gu), np.matmul(vh, adjoint(gvh))
    skew_u, skew_v = along_u - adjoint(along_u), along_v - adjoint(along_v)
    row_s, column_s = np.expand_dims(s, -2), np.expand_dims(s, -1)
    inner = (skew_u * row_s + column_s * skew_v) * _gaps(s * s) + diagonals(gs)
    if np.iscomplexobj(a):
        inner = inner + skew_u * np.eye(k) * (0.5 * inverse(row_s))
    d = np.matmul(np.matmul(u, inner), vh)
    if m > k:
        d = d + np.matmul((gu - np.matmul(u, along_u)) * inverse(row_s), vh)
    if n > k:
        d = d + np.matmul(u, (gvh - np.matmul(adjoint(along_v), vh)) * inverse(column_s))
    return conj(d)


row(
    "linalg.svd",
    cost="solve",
    mxnet=LAPACK,
    vjp=(_unsvd,),
    samples=cases(
        lambda a: (a(3, 3),),
        lambda a: (a(4, 2), False),
        lambda a: (a(2, 4), False),
        lambda a: (a(4, 2),),
        lambda a: (a(2, 4),),
        lambda a: (a(2, 3, 2),),
        lambda a: [(a(2, 3, 2),), {"compute_uv": False}],
        lambda a: [(hermitian(a),), {"hermitian": True}],
        lambda a: (a(3),),
    ),
)
row(
    "linalg.svdvals",
    cost="solve",
    mxnet=LAPACK,
    vjp=(lambda g, ans, x: _unsvd(g, ans, x, False, False),),
    samples=cases(lambda a: (a(3, 2),), lambda a: (a(2, 2, 3),)),
)


def _unqr(g: Any, ans: Any, a: Any, mode: str = "reduced") -> Any:
    m, n = np.shape(a)[-2:]
    if mode == "raw":
        raise GradientError(
            "qr with mode='raw' gives LAPACK's own vectors, which have no derivative rule; use mode='reduced'"
        )
    if mode in ("reduced", "complete", "r") and m < n:
        return _unqr_wide(g, ans, a, mode)
    if mode == "r":
        # a = q r, and only r was kept.
        q = transposed(np.linalg.solve(transposed(ans), transposed(a)))
        return conj(_unqr_tall(np.zeros(np.shape(q)), conj(g), q, ans))
    q, r = ans
    gq, gr = conj(g[0]), conj(g[1])
    if mode == "complete" and m > n:
        q, gq = _without_complement("qr with mode='complete'", q, gq, n)
        r, gr = r[..., :n, :], gr[..., :n, :]
    return conj(_unqr_tall(gq, gr, q, r))


def _unqr_tall(gq: Any, gr: Any, q: Any, r: Any) -> Any:
    inner = np.triu(np.matmul(gr, adjoint(r)) - np.matmul(adjoint(q), gq))
    n = np.shape(r)[-1]
    inner = inner + adjoint(inner) - np.real(inner) * np.eye(n)
    return adjoint(np.linalg.solve(r, adjoint(gq + np.matmul(q, inner))))


def _unqr_wide(g: Any, ans: Any, a: Any, mode: str) -> Any:
    m = np.shape(a)[-2]
    if mode == "r":
        r, gr = ans, conj(g)
        q = transposed(np.linalg.solve(transposed(r[..., :, :m]), transposed(a[..., :, :m])))
        gq = np.zeros(np.shape(q))
    else:
        q, r = ans
        gq, gr = conj(g[0]), conj(g[1])
    gq = gq + np.matmul(a[..., :, m:], adjoint(gr[..., :, m:]))
    left = _unqr_tall(gq, gr[..., :, :m], q, r[..., :, :m])
    return conj(np.concatenate((left, np.matmul(q, gr[..., :, m:])), axis=-1))


row(
    "linalg.qr",
    cost="solve",
    mxnet=LAPACK,
    vjp=(_unqr,),
    samples=cases(
        lambda a: (a(3, 3),),
        lambda a: (a(4, 2),),
        lambda a: (a(2, 4),),
        lambda a: (a(3, 2), "r"),
        lambda a: (a(2, 3), "r"),
        lambda a: (a(2, 3, 2),),
        lambda a: (a(4, 2), "complete"),
        lambda a: (a(2, 3), "complete"),
        lambda a: (a(2, 3, 2), "complete"),
    ),
)


def _unpinv(g: Any, ans: Any, a: Any, *r: Any, **k: Any) -> Any:
    g, conjugated = adjoint(conj(g)), adjoint(ans)
    m, n = np.shape(a)[-2:]
    d = -np.matmul(conjugated, np.matmul(adjoint(g), conjugated))
    left, right = np.eye(m) - np.matmul(a, ans), np.eye(n) - np.matmul(ans, a)
    d = d + np.matmul(np.matmul(left, g), np.matmul(ans, conjugated))
    return conj(d + np.matmul(np.matmul(conjugated, ans), np.matmul(g, right)))


row(
    "linalg.pinv",
    cost="solve",
    mxnet=LAPACK,
    vjp=(_unpinv,),
    samples=cases(
        lambda a: (a(3, 2),), lambda a: (a(2, 3),), lambda a: (square(a),), lambda a: (a(2, 3, 2), 1e-10)
    ),
)


def _unlstsq(which: int) -> Any:
    def rule(g: Any, ans: Any, a: Any, b: Any, *r: Any, **k: Any) -> Any:
        m, n = np.shape(a)
        rank = int(np.asarray(plain(ans[2])))
        if rank < min(m, n):
            raise GradientError(
                f"the solution of lstsq jumps where the rank of the matrix changes: a matrix of shape {m, n} and rank "
                f"{rank} has neighbours of rank {min(m, n)}. Drop dependent columns, or add a multiple of the identity"
            )
        x = ans[0]
        vector = np.ndim(b) == 1
        gx, bb = (np.reshape(g[0], (n, 1)), np.reshape(b, (m, 1))) if vector else (g[0], b)
        x = np.reshape(x, (n, 1)) if vector else x
        if m < n:  # the shortest of many solutions
            p = np.linalg.pinv(a)
            y = np.matmul(adjoint(p), conj(gx))
            if which:
                return conj(np.reshape(y, np.shape(b)))
            free = conj(gx) - np.matmul(p, np.matmul(a, conj(gx)))
            d = np.matmul(np.matmul(adjoint(p), x), adjoint(free)) - np.matmul(y, adjoint(x))
            return conj(d) + _unsvd(g[3], None, a, False, False)
        residual = bb - np.matmul(a, x)
        y = np.linalg.solve(np.matmul(adjoint(a), a), conj(gx))
        weight = 2 * g[1] if np.size(g[1]) else 0.0
        if which:
            d = np.matmul(a, y) + weight * residual
            return conj(np.reshape(d, np.shape(b)))
        d = (
            np.matmul(residual, adjoint(y))
            - np.matmul(np.matmul(a, y), adjoint(x))
            - np.matmul(weight * residual, adjoint(x))
        )
        return conj(d) + _unsvd(g[3], None, a, False, False)

    return rule


row(
    "linalg.lstsq",
    cost="solve",
    mxnet=LAPACK,
    vjp=(_unlstsq(0), _unlstsq(1)),
    samples=cases(
        lambda a: [(a(4, 2), a(4)), {"rcond": None}],
        lambda a: (a(4, 2), a(4, 3), 1e-10),
        lambda a: [(square(a), a(3)), {"rcond": None}],
        lambda a: [(a(3, 2), a(2)), {"rcond": None}],
        lambda a: [(a(2, 4), a(2)), {"rcond": None}],
        lambda a: [(a(2, 3), a(2, 2)), {"rcond": None}],
    ),
)
