"""SciPy's decompositions of matrices: the rules of NumPy's, for SciPy's forms of the results."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg

from minpy.errors import GradientError
from minpy.runtime.primitives.matrices import adjoint, conj, definite, hermitian, square, transposed
from minpy.runtime.primitives.moves import cases, plain
from minpy.runtime.primitives.rules import derived
from minpy.runtime.primitives.scipy_linalg import add, run, symmetric
from minpy.runtime.primitives.scipy_rules import stands_for
from minpy.runtime.primitives.table import by_name, row


def _numpys(name: str) -> Any:
    return by_name[f"linalg.{name}"].rule(0)


def _refuse(function: str, options: dict, **allowed: Any) -> None:
    """An error for options that change what is computed and that no rule covers."""
    for name, value in options.items():
        if name in allowed and value is not allowed[name] and value != allowed[name]:
            raise GradientError(
                f"scipy.linalg.{function} with {name}={value!r} has no derivative rule: leave {name} out, or use "
                "minpy.stop_gradient on the operand"
            )


# ----- eigenvalues ------------------------------------------------------------------------------------------

_PARTS = {"type": 1, "subset_by_index": None, "subset_by_value": None}


def _whole(a: Any, lower: bool) -> Any:
    half = np.tril(a, -1) if lower else np.triu(a, 1)
    return half + adjoint(half) + a * np.eye(np.shape(a)[-1])


def _general_problem(values: Any, vectors: Any, g_values: Any, g_vectors: Any) -> tuple[Any, Any]:
    """The cotangents of a and b from those of the solutions of ``a v = w b v``."""
    gap = np.expand_dims(values, -2) - np.expand_dims(values, -1)
    equal = gap == 0
    gaps = np.where(equal, 0.0, 1 / np.where(equal, 1.0, gap))
    inner = np.eye(np.shape(values)[-1]) * np.expand_dims(g_values, -1)
    along: Any = 0.0
    if g_vectors is not None:
        product = np.matmul(transposed(vectors), g_vectors)
        inner = inner + gaps * product
        along = 0.5 * np.eye(np.shape(values)[-1]) * product
    by_a = np.matmul(np.matmul(vectors, inner), transposed(vectors))
    # Each column of the inner matrix belongs to its eigenvalue.
    scaled = inner * np.expand_dims(values, -2) + along
    by_b = -np.matmul(np.matmul(vectors, scaled), transposed(vectors))
    return symmetric(by_a), symmetric(by_b)


def _eigh_rules(only_values: bool) -> Any:
    name = "eigvalsh" if only_values else "eigh"

    def column(i: int) -> Any:
        def rule(g: Any, ans: Any, a: Any, b: Any = None, **options: Any) -> Any:
            _refuse(name, options, **_PARTS)
            lower = options.get("lower", True)
            values_only = only_values or options.get("eigvals_only", False)
            if b is None:
                if values_only:
                    return _numpys("eigvalsh")(g, ans, a, "L" if lower else "U")
                return _numpys("eigh")(g, ans, a)
            if np.iscomplexobj(a) or np.iscomplexobj(b):
                raise GradientError(f"scipy.linalg.{name} of two complex matrices has no derivative rule")
            if values_only:
                values, vectors = run("eigh", a, b, lower=lower)
                return _general_problem(values, vectors, g, None)[i]
            return _general_problem(*ans, g[0], g[1])[i]

        return rule if i < 2 else None

    return column


add(
    "eigh",
    _eigh_rules(False),
    lambda a: (hermitian(a),),
    lambda a: [(hermitian(a),), {"eigvals_only": True}],
    lambda a: (hermitian(a), definite(a)),
)
add("eigvalsh", _eigh_rules(True), lambda a: (hermitian(a),), lambda a: (hermitian(a), definite(a)))


def _uneig(
    g: Any,
    ans: Any,
    a: Any,
    b: Any = None,
    left: bool = False,
    right: bool = True,
    *rest: Any,
    **options: Any,
) -> Any:
    _refuse("eig", {"b": b, "left": left, **options}, b=None, left=False, homogeneous_eigvals=False)
    if not right:
        return _numpys("eigvals")(g, ans, a)
    return _numpys("eig")(g, ans, a)


def _uneigvals(g: Any, ans: Any, a: Any, b: Any = None, *rest: Any, **options: Any) -> Any:
    _refuse("eigvals", {"b": b, **options}, b=None, homogeneous_eigvals=False)
    return _numpys("eigvals")(g, ans, a)


add("eig", (_uneig,), lambda a: (hermitian(a) + a(3, 3) / 9,))
add("eigvals", (_uneigvals,), lambda a: (hermitian(a) + a(3, 3) / 9,))

# ----- singular values, QR, Cholesky ------------------------------------------------------------------------


def _unsvd(
    g: Any, ans: Any, a: Any, full_matrices: bool = True, compute_uv: bool = True, *rest: Any, **o: Any
) -> Any:
    return _numpys("svd")(g, ans, a, full_matrices, compute_uv)


add(
    "svd",
    (_unsvd,),
    lambda a: (square(a),),
    lambda a: [(a(4, 2),), {"full_matrices": False}],
    lambda a: [(a(2, 4),), {"compute_uv": False}],
)
add("svdvals", derived(lambda a, *rest, **o: np.linalg.svd(a, compute_uv=False)), lambda a: (a(3, 4),))

_MODES = {"full": "complete", "economic": "reduced", "r": "r", "raw": "raw"}


def _unqr(
    g: Any, ans: Any, a: Any, overwrite_a: Any = False, lwork: Any = None, mode: str = "full", pivoting: bool = False,
    *rest: Any, **options: Any,
) -> Any:  # fmt: skip
    if pivoting:
        order = plain(ans[-1])
        g, ans = g[:-1], ans[:-1]
        a = a[..., order]
    numpys = _MODES[mode]
    if numpys == "r":
        # SciPy gives a tuple of one, and all rows.
        (g,), (ans,) = g, ans
        rows = min(np.shape(a)[-2:])
        g, ans = g[..., :rows, :], ans[..., :rows, :]
    d = _numpys("qr")(g, ans, a, numpys)
    return d[..., np.argsort(order)] if pivoting else d


add(
    "qr",
    (_unqr,),
    lambda a: (square(a),),
    lambda a: [(a(4, 2),), {"mode": "economic"}],
    lambda a: [(square(a),), {"pivoting": True}],
    lambda a: [(a(4, 2),), {"mode": "r"}],
)


def _uncholesky(g: Any, ans: Any, a: Any, lower: bool = False, *rest: Any, **options: Any) -> Any:
    if lower:
        return _numpys("cholesky")(g, ans, a)
    return _numpys("cholesky")(adjoint(g), adjoint(ans), a)


add("cholesky", (_uncholesky,), lambda a: (definite(a),), lambda a: (definite(a), True))


def _factor(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    return linalg.cho_factor(a, lower, False, check_finite)[0]


def _half(c: Any, lower: bool) -> Any:
    return np.tril(c) if lower else np.triu(c)


row(
    "scipy.linalg.cho_factor",
    _factor,
    cost="solve",
    vjp=(lambda g, ans, a, lower=False, *rest: _uncholesky(_half(g, lower), _half(ans, lower), a, lower),),
)


@stands_for(linalg.cho_factor)
def _cho_factor(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    return run("cho_factor", a, lower, overwrite_a, check_finite), lower


def _solve_factored(c: Any, b: Any, lower: bool = False, *rest: Any) -> Any:
    half = _half(c, lower)
    first, second = (half, adjoint(half)) if lower else (adjoint(half), half)
    return np.linalg.solve(second, np.linalg.solve(first, b))


row(
    "scipy.linalg.cho_solve",
    lambda c, b, lower=False, overwrite_b=False, check_finite=True: linalg.cho_solve(
        (c, lower), b, overwrite_b, check_finite
    ),
    cost="solve",
    vjp=derived(_solve_factored, 0, 1),
    samples=cases(
        lambda a: (np.linalg.cholesky(definite(a)), a(3), True),
        lambda a: (np.linalg.cholesky(definite(a)).T.copy(), a(3, 2), False),
    ),
)


@stands_for(linalg.cho_solve)
def _cho_solve(c_and_lower: Any, b: Any, overwrite_b: bool = False, check_finite: bool = True) -> Any:
    c, lower = c_and_lower
    return run("cho_solve", c, b, lower, overwrite_b, check_finite)


# ----- LU ---------------------------------------------------------------------------------------------------


def _permutation(pivots: Any) -> np.ndarray:
    """The order of the rows that a sequence of exchanges makes."""
    order = np.arange(len(pivots))
    for i, p in enumerate(pivots):
        order[[i, p]] = order[[p, i]]
    return order


def _unlu(g_lower: Any, g_upper: Any, lower: Any, upper: Any) -> Any:
    """The cotangent of a regular ``lower @ upper``."""
    left = np.tril(np.matmul(transposed(lower), g_lower), -1)
    right = np.triu(np.matmul(g_upper, transposed(upper)))
    inner = np.linalg.solve(transposed(lower), left + right)
    return transposed(np.linalg.solve(upper, transposed(inner)))


def _square_only(a: Any, name: str) -> int:
    m, n = np.shape(a)[-2:]
    if m != n or np.ndim(a) != 2:
        raise GradientError(
            f"scipy.linalg.{name} has a derivative rule for one square matrix, not for {np.shape(a)}"
        )
    return n


def _unlu_factor(g: Any, ans: Any, a: Any, *rest: Any, **options: Any) -> Any:
    n = _square_only(a, "lu_factor")
    lu, pivots = ans
    d = _unlu(np.tril(g[0], -1), np.triu(g[0]), np.tril(lu, -1) + np.eye(n), np.triu(lu))
    return d[np.argsort(_permutation(plain(pivots)))]


add("lu_factor", (_unlu_factor,), lambda a: (square(a),), lambda a: (a(3, 3),))


def _solve_lu(lu: Any, pivots: Any, b: Any, trans: Any = 0, *rest: Any) -> Any:
    n = np.shape(lu)[-1]
    order = _permutation(plain(pivots))
    lower, upper = np.tril(lu, -1) + np.eye(n), np.triu(lu)
    if trans == 0:
        return np.linalg.solve(upper, np.linalg.solve(lower, b[order]))
    if trans == 2:
        lower, upper = conj(lower), conj(upper)
    return np.linalg.solve(transposed(lower), np.linalg.solve(transposed(upper), b))[np.argsort(order)]


row(
    "scipy.linalg.lu_solve",
    lambda lu, pivots, b, trans=0, overwrite_b=False, check_finite=True: linalg.lu_solve(
        (lu, pivots), b, trans, overwrite_b, check_finite
    ),
    cost="solve",
    vjp=derived(_solve_lu, 0, 2),
    samples=cases(
        lambda a: (*linalg.lu_factor(square(a)), a(3)),
        lambda a: (*linalg.lu_factor(a(3, 3)), a(3, 2), 1),
    ),
)


@stands_for(linalg.lu_solve)
def _lu_solve(
    lu_and_piv: Any, b: Any, trans: int = 0, overwrite_b: bool = False, check_finite: bool = True
) -> Any:
    lu, pivots = lu_and_piv
    return run("lu_solve", lu, pivots, b, trans, overwrite_b, check_finite)


def _unlu_parts(
    g: Any, ans: Any, a: Any, permute_l: bool = False, overwrite_a: bool = False, check_finite: bool = True,
    p_indices: bool = False,
) -> Any:  # fmt: skip
    _square_only(a, "lu")
    order, _, _ = linalg.lu(plain(a), p_indices=True)
    if permute_l:
        # p l u = a, where the first result is p l.
        (g_lower, g_upper), (lower, upper) = g, ans
        g_lower, lower = g_lower[np.argsort(order)], lower[np.argsort(order)]
    else:
        (_, g_lower, g_upper), (_, lower, upper) = g, ans
    return _unlu(g_lower, g_upper, lower, upper)[order]


add(
    "lu",
    (_unlu_parts,),
    lambda a: (square(a),),
    lambda a: (a(3, 3),),
    lambda a: [(a(3, 3),), {"permute_l": True}],
)
