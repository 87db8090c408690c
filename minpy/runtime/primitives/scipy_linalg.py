"""SciPy's linear algebra: solving, and functions of matrices.

The value is SciPy's own. Where NumPy has the same function, its rule is used with SciPy's result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import linalg

from minpy.errors import GradientError
from minpy.runtime import dispatch
from minpy.runtime.primitives.matrices import conj, definite, square, transposed
from minpy.runtime.primitives.moves import cases, plain
from minpy.runtime.primitives.rules import derived, pull
from minpy.runtime.primitives.scipy_rules import stands_for
from minpy.runtime.primitives.table import by_name, row


def add(names: str, vjp: Any, *makers: Callable[..., Any], **columns: Any) -> None:
    """Rows of functions of ``scipy.linalg`` with their rules and samples."""
    for name in names.split():
        row(f"scipy.linalg.{name}", cost="solve", vjp=vjp, samples=cases(*makers), **columns)


def run(name: str, *args: Any, **kwargs: Any) -> Any:
    """A function of ``scipy.linalg``, on the tape if one records."""
    return dispatch.call(by_name[f"scipy.linalg.{name}"], args, kwargs)


def outer(left: Any, right: Any) -> Any:
    """``left right^T`` of two vectors, or of two (stacks of) matrices of columns."""
    if np.ndim(left) == 1:
        return np.expand_dims(left, -1) * np.expand_dims(right, -2)
    return np.matmul(left, transposed(right))


def symmetric(d: Any) -> Any:
    """The gradient by a matrix that is taken as Hermitian."""
    return (d + conj(transposed(d))) / 2


# ----- solving ----------------------------------------------------------------------------------------------

_HERMITIAN = ("sym", "symmetric", "her", "hermitian", "pos", "positive definite")


def _masked(d: Any, structure: Any) -> Any:
    """The part of the gradient that belongs to elements a solver looks at."""
    if structure in _HERMITIAN:
        if structure.startswith("sym"):
            return (d + transposed(d)) / 2
        return symmetric(d)
    if structure == "diagonal":
        return d * np.eye(np.shape(d)[-1])
    if structure in ("upper triangular", "tridiagonal"):
        d = np.triu(d, -1 if structure == "tridiagonal" else 0)
    if structure in ("lower triangular", "tridiagonal"):
        d = np.tril(d, 1 if structure == "tridiagonal" else 0)
    return d


def _solve_rules(i: int) -> Any:
    def rule(
        g: Any, ans: Any, a: Any, b: Any, lower: Any = False, overwrite_a: Any = False, overwrite_b: Any = False,
        check_finite: Any = True, assume_a: Any = None, transposed: Any = False,
    ) -> Any:  # fmt: skip
        options = {"assume_a": assume_a, "lower": lower}
        if assume_a in ("upper triangular", "lower triangular", "tridiagonal", "banded") or np.iscomplexobj(
            a
        ):
            options = {}
            matrix = _masked(a, assume_a)
            if assume_a in ("her", "hermitian", "pos", "positive definite"):
                matrix = _whole(a, lower)
            d = run("solve", np.swapaxes(matrix, -1, -2) if not transposed else matrix, g)
        else:
            d = run("solve", a, g, transposed=not transposed, **options)
        if i == 1:
            return d
        gradient = -(outer(ans, d) if transposed else outer(d, ans))
        return _masked(gradient, assume_a)

    return rule if i < 2 else None


def _whole(a: Any, lower: Any) -> Any:
    """The Hermitian matrix of which one triangle is stored."""
    half = np.tril(a, -1) if lower else np.triu(a, 1)
    return half + conj(transposed(half)) + a * np.eye(np.shape(a)[-1])


add(
    "solve",
    _solve_rules,
    lambda a: (square(a), a(3)),
    lambda a: (square(a), a(3, 2)),
    lambda a: [(square(a), a(3)), {"transposed": True}],
    lambda a: [(definite(a), a(3, 2)), {"assume_a": "pos"}],
    lambda a: [(definite(a), a(3)), {"assume_a": "sym", "lower": True}],
    lambda a: [(square(a), a(3)), {"assume_a": "upper triangular"}],
)


def _triangle(a: Any, lower: Any, unit: Any) -> Any:
    if unit:
        return (np.tril(a, -1) if lower else np.triu(a, 1)) + np.eye(np.shape(a)[-1])
    return np.tril(a) if lower else np.triu(a)


def _triangular_rules(i: int) -> Any:
    def rule(
        g: Any, ans: Any, a: Any, b: Any, trans: Any = 0, lower: Any = False, unit_diagonal: Any = False,
        overwrite_b: Any = False, check_finite: Any = True,
    ) -> Any:  # fmt: skip
        kind = {"N": 0, "T": 1, "C": 2}.get(trans, trans)
        options = {"lower": lower, "unit_diagonal": unit_diagonal}
        if kind == 2 and np.iscomplexobj(a):
            # x = conj(a)^-T b
            d = conj(run("solve_triangular", a, conj(g), **options))
            gradient = conj(-outer(ans, d))
        else:
            d = run("solve_triangular", a, g, trans=0 if kind else 1, **options)
            gradient = -(outer(ans, d) if kind else outer(d, ans))
        if i == 1:
            return d
        k = 1 if unit_diagonal else 0
        return np.tril(gradient, -k) if lower else np.triu(gradient, k)

    return rule if i < 2 else None


add(
    "solve_triangular",
    _triangular_rules,
    lambda a: (square(a), a(3)),
    lambda a: (square(a), a(3, 2)),
    lambda a: [(square(a), a(3)), {"lower": True, "trans": 1}],
    lambda a: [(square(a), a(3)), {"trans": "T", "unit_diagonal": True}],
    lambda a: [(square(a), a(3)), {"trans": 2}],
)


def _uninverse(g: Any, ans: Any, a: Any, *rest: Any, assume_a: Any = None, **options: Any) -> Any:
    d = -np.matmul(transposed(ans), np.matmul(g, transposed(ans)))
    return _masked(d, assume_a)


add("inv", (_uninverse,), lambda a: (square(a),))
add(
    "det",
    derived(lambda a, *rest, **options: np.linalg.det(a)),
    lambda a: (square(a),),
    lambda a: (np.stack([square(a), square(a)]),),
)
add(
    "norm",
    derived(
        lambda a, ord=None, axis=None, keepdims=False, *rest, **options: np.linalg.norm(
            a, ord, axis, keepdims
        )
    ),
    lambda a: (a(4),),
    lambda a: (a(2, 3), 1),
    lambda a: (a(2, 3), "nuc"),
    lambda a: [(a(2, 3),), {"axis": 1, "keepdims": True}],
)


def _pinv_rule(g: Any, ans: Any, a: Any, *rest: Any, return_rank: bool = False, **options: Any) -> Any:
    if return_rank:
        g, ans = g[0], ans[0]
    return by_name["linalg.pinv"].rule(0)(g, ans, a)  # type: ignore[misc]


add("pinv", (_pinv_rule,), lambda a: (a(4, 2),), lambda a: (a(2, 3),))
add("pinvh", (lambda *args, **options: symmetric(_pinv_rule(*args, **options)),), lambda a: (definite(a),))


def _lstsq(a: Any, b: Any, cond: Any = None, *rest: Any, **options: Any) -> Any:
    x, _, _, s = np.linalg.lstsq(a, b, rcond=cond)
    return x, np.sum(np.abs(b - np.matmul(a, x)) ** 2, axis=0), s


def _lstsq_rules(i: int) -> Any:
    def rule(g: Any, ans: Any, *args: Any, **options: Any) -> Any:
        # SciPy gives no residues where there are as many unknowns as equations.
        expression = _lstsq
        if np.size(ans[1]) != np.size(ans[0][0]):
            expression, g = lambda *a, **o: _lstsq(*a, **o)[::2], (g[0], g[2])
        return pull(expression, i, g, args, options)

    return rule if i < 2 else None


row(
    "scipy.linalg.lstsq",
    lambda *args, **options: (lambda x, r, _, s: (x, r, s))(*linalg.lstsq(*args, **options)),
    cost="solve",
    vjp=_lstsq_rules,
    samples=cases(lambda a: (a(4, 2), a(4)), lambda a: (a(4, 2), a(4, 3)), lambda a: (square(a), a(3))),
)


@stands_for(linalg.lstsq)
def _lstsq_with_rank(a: Any, b: Any, *rest: Any, **options: Any) -> Any:
    x, residues, s = run("lstsq", a, b, *rest, **options)
    return x, residues, linalg.lstsq(plain(a), plain(b), *rest, **options)[2], s


def _banded_transposed(widths: Any, ab: Any) -> Any:
    """The diagonals of the transpose of a banded matrix."""
    low, high = widths
    n = np.shape(ab)[1]
    rows = []
    for r in range(low + high + 1):
        shift = r - low
        part = ab[high + low - r]
        zeros = np.zeros(min(abs(shift), n))
        kept = part[max(shift, 0) : n + min(shift, 0)]
        rows.append(np.concatenate([kept, zeros] if shift > 0 else [zeros, kept]))
    return np.stack(rows)


def _banded_rules(i: int) -> Any:
    def rule(g: Any, ans: Any, l_and_u: Any, ab: Any, b: Any, *rest: Any, **options: Any) -> Any:
        low, high = plain(l_and_u)
        d = run("solve_banded", (high, low), _banded_transposed((low, high), ab), g)
        if i == 2:
            return d
        n = np.shape(ab)[1]
        left, right = (np.reshape(v, (n, -1)) for v in (d, ans))
        rows = []
        for r in range(low + high + 1):
            shift = r - high  # the row of an element of column j is j + shift
            product = np.sum(
                left[max(shift, 0) : n + min(shift, 0)] * right[max(-shift, 0) : n - max(shift, 0)], axis=-1
            )
            zeros = np.zeros(min(abs(shift), n))
            rows.append(-np.concatenate([product, zeros] if shift > 0 else [zeros, product]))
        return np.stack(rows)

    return rule if i in (1, 2) else None


add(
    "solve_banded",
    _banded_rules,
    lambda a: ((1, 1), np.stack([a(5), 5 + np.abs(a(5)), a(5)]).astype(a.dtype), a(5)),
    lambda a: ((2, 0), np.stack([5 + np.abs(a(5)), a(5), a(5)]).astype(a.dtype), a(5, 2)),
    lambda a: ((0, 1), np.stack([a(4), 5 + np.abs(a(4))]).astype(a.dtype), a(4)),
)

# ----- matrix equations -------------------------------------------------------------------------------------


def _sylvester_rules(i: int) -> Any:
    def rule(g: Any, ans: Any, a: Any, b: Any, q: Any) -> Any:
        y = run("solve_sylvester", transposed(a), transposed(b), g)
        if i == 2:
            return y
        return -np.matmul(y, transposed(ans)) if i == 0 else -np.matmul(transposed(ans), y)

    return rule if i < 3 else None


add("solve_sylvester", _sylvester_rules, lambda a: (square(a), definite(a), a(3, 3)))


def _lyapunov_rules(name: str) -> Callable[[int], Any]:
    def column(i: int) -> Any:
        def rule(g: Any, ans: Any, a: Any, q: Any, *rest: Any, **options: Any) -> Any:
            if np.iscomplexobj(a):
                raise GradientError(
                    f"the derivative of scipy.linalg.{name} of a complex matrix is not available"
                )
            y = run(name, transposed(a), g)
            if i == 1:
                return y
            if name == "solve_discrete_lyapunov":
                return np.matmul(np.matmul(y, a), transposed(ans)) + np.matmul(
                    np.matmul(transposed(y), a), ans
                )
            return -(np.matmul(y, transposed(ans)) + np.matmul(transposed(y), ans))

        return rule if i < 2 else None

    return column


add(
    "solve_continuous_lyapunov",
    _lyapunov_rules("solve_continuous_lyapunov"),
    lambda a: (definite(a), a(3, 3)),
)
add(
    "solve_discrete_lyapunov",
    _lyapunov_rules("solve_discrete_lyapunov"),
    lambda a: ((0.1 * a(3, 3)).astype(a.dtype), a(3, 3)),
)

# ----- functions of matrices --------------------------------------------------------------------------------


def _block(a: Any, e: Any) -> Any:
    top = np.concatenate([a, e], axis=-1)
    return np.concatenate([top, np.concatenate([np.zeros(np.shape(a)), a], axis=-1)], axis=-2)


def _primary(name: str) -> tuple[Any, Any]:
    """The rules of a function of a matrix: f([[a, e], [0, a]]) holds the derivative in the direction e."""

    def along(a: Any, e: Any, rest: tuple, options: dict) -> Any:
        n = np.shape(a)[-1]
        return run(name, _block(a, e), *rest, **options)[..., :n, n:]

    def vjp(g: Any, ans: Any, a: Any, *rest: Any, **options: Any) -> Any:
        return along(transposed(a), g, rest, options)

    def jvp(tangents: tuple, ans: Any, a: Any, *rest: Any, **options: Any) -> Any:
        if type(tangents[0]) is list or any(t is not None for t in tangents[1:]):
            return NotImplemented
        return along(a, tangents[0], rest, options)

    return vjp, jvp


for _name in "expm sinm cosm tanm sinhm coshm tanhm logm sqrtm".split():
    _vjp, _jvp = _primary(_name)
    if _name in ("logm", "sqrtm"):
        add(_name, (_vjp,), lambda a: (definite(a),), lambda a: (square(a) + 3 * np.eye(3),), jvp=_jvp)
    else:
        add(_name, (_vjp,), lambda a: (a(3, 3) / 3,), lambda a: (np.zeros((2, 2)),), jvp=_jvp)
_vjp, _jvp = _primary("fractional_matrix_power")
add("fractional_matrix_power", (_vjp,), lambda a: (definite(a), 0.5), lambda a: (definite(a), 1.5), jvp=_jvp)


def _polar(a: Any, side: str = "right") -> Any:
    w, s, vh = np.linalg.svd(a, full_matrices=False)
    s = np.expand_dims(s, -1)
    if side == "right":
        return np.matmul(w, vh), np.matmul(conj(transposed(vh)), s * vh)
    return np.matmul(w, vh), np.matmul(w, s * conj(transposed(w)))


add("polar", derived(_polar, 0), lambda a: (square(a),), lambda a: (a(4, 2),), lambda a: (a(2, 4), "left"))


def _procrustes(a: Any, b: Any, *rest: Any, **options: Any) -> Any:
    u, w, vt = np.linalg.svd(np.matmul(transposed(a), b))
    return np.matmul(u, vt), np.sum(w)


add("orthogonal_procrustes", derived(_procrustes, 0, 1), lambda a: (a(4, 2), a(4, 2)))

for _name in ("bandwidth", "ishermitian", "issymmetric"):
    row(f"scipy.linalg.{_name}", cost="reduce", flat=True)


NO_RULE: dict[str, str] = {
    **dict.fromkeys("LinAlgError LinAlgWarning test".split(), "exceptions and tests"),
    **dict.fromkeys(
        "dft hadamard helmert hilbert invhilbert invpascal pascal find_best_blas_type get_blas_funcs get_lapack_funcs "
        "clarkson_woodruff_transform".split(),
        "takes no values to differentiate, or is random",
    ),
    **dict.fromkeys(
        "schur hessenberg qz ordqz cdf2rdf rsf2csf ldl cossin null_space orth subspace_angles matrix_balance qr_delete "
        "qr_insert qr_multiply qr_update rq".split(),
        "a decomposition that is not unique, or not smooth; qr, svd, eig, eigh, cholesky and lu have rules",
    ),
    **dict.fromkeys(
        "cho_solve_banded cholesky_banded eig_banded eigvals_banded eigh_tridiagonal eigvalsh_tridiagonal "
        "solveh_banded".split(),
        "banded storage; use the function of dense matrices, or solve_banded",
    ),
    **dict.fromkeys("solve_continuous_are solve_discrete_are".split(), "a matrix equation without a rule"),
    **dict.fromkeys(
        "expm_cond expm_frechet funm signm diagsvd leslie fiedler_companion".split(),
        "not written in functions that have rules; expm, and matrices made by indexing, have them",
    ),
}
"""The public names of ``scipy.linalg`` that have no row, and why."""
