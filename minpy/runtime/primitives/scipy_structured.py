"""SciPy's structured matrices: made of vectors (Toeplitz, circulant, block diagonal …), and solving with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import linalg

from minpy.errors import GradientError
from minpy.runtime.primitives.moves import apply, gathers, plain
from minpy.runtime.primitives.rules import derived
from minpy.runtime.primitives.scipy_linalg import add, run


def _block_of(i: int) -> Any:
    def rule(g: Any, ans: Any, *arrays: Any) -> Any:
        shapes = [np.shape(np.atleast_2d(plain(a))) for a in arrays]
        r, c = (sum(s[k] for s in shapes[:i]) for k in (0, 1))
        m, n = shapes[i]
        return np.reshape(g[..., r : r + m, c : c + n], np.shape(arrays[i]))

    return rule


add(
    "block_diag",
    _block_of,
    lambda a: (a(2, 2), a(1, 3)),
    lambda a: (a(2), a()[()], a(2, 2)),
)
for _name in ("circulant", "companion", "convolution_matrix"):
    if _name != "companion":
        _sample = (lambda a: (a(4),)) if _name == "circulant" else (lambda a: (a(3), 5))
        add(_name, (gathers(getattr(linalg, _name), fills=True),), _sample)
add(
    "companion",
    derived(
        lambda a: np.concatenate([np.reshape(-a[1:] / a[0], (1, -1)), np.eye(np.size(a) - 2, np.size(a) - 1)])
    ),
    lambda a: (a(4) + 3,),
)


def _toeplitz_rules(function: Callable[..., Any]) -> Callable[[int], Any]:
    def column(i: int) -> Any:
        def rule(g: Any, ans: Any, c: Any, r: Any = None) -> Any:
            if r is None:
                if np.iscomplexobj(c):
                    raise GradientError(
                        f"scipy.linalg.{function.__name__} of a complex column alone has no complex derivative: give "
                        "the row too"
                    )
                return gathers(function, fills=True)(g, ans, c)
            zeros = [np.zeros(np.shape(plain(v)), int) for v in (c, r)]

            def numbered(own: Any) -> Any:
                parts = [own, zeros[1]] if i == 0 else [zeros[0], own]
                return function(*parts)

            return gathers(numbered, fills=True)(g, ans, c if i == 0 else r)

        return rule if i < 2 else None

    return column


add("toeplitz", _toeplitz_rules(linalg.toeplitz), lambda a: (a(3),), lambda a: (a(3), a(4)))


def _hankel_rules(i: int) -> Any:
    def rule(g: Any, ans: Any, c: Any, r: Any = None) -> Any:
        if r is None:
            return gathers(linalg.hankel, fills=True)(g, ans, c)
        zeros = [np.zeros(np.shape(plain(v)), int) for v in (c, r)]
        parts = lambda own: (own, zeros[1]) if i == 0 else (zeros[0], own)
        return gathers(lambda own: linalg.hankel(*parts(own)), fills=True)(g, ans, c if i == 0 else r)

    return rule if i < 2 else None


add("hankel", _hankel_rules, lambda a: (a(3),), lambda a: (a(3), a(4)))


def _khatri_rao(a: Any, b: Any) -> Any:
    product = np.expand_dims(a, -2) * np.expand_dims(b, -3)
    return np.reshape(product, (*np.shape(product)[:-3], -1, np.shape(product)[-1]))


add("kron", derived(np.kron), lambda a: (a(2, 3), a(3, 2)))  # up to SciPy 1.16
add("khatri_rao", derived(_khatri_rao), lambda a: (a(2, 3), a(4, 3)))
add("fiedler", derived(lambda a: np.abs(np.expand_dims(a, -1) - np.expand_dims(a, -2))), lambda a: (a(4),))


def _dense(c_or_cr: Any) -> Any:
    if type(c_or_cr) in (list, tuple) and len(c_or_cr) == 2 and np.ndim(plain(c_or_cr[0])):
        return run("toeplitz", *c_or_cr)
    return run("toeplitz", apply("array", c_or_cr) if type(c_or_cr) in (list, tuple) else c_or_cr)


add(
    "solve_toeplitz",
    derived(lambda c, b, *rest, **options: np.linalg.solve(_dense(c), b), 0, 1),
    lambda a: (a(3) + np.array([5, 0, 0]), a(3)),
    lambda a: ((a(3) + np.array([5, 0, 0]), a(3)), a(3, 2)),
)
add(
    "matmul_toeplitz",
    derived(lambda c, x, *rest, **options: np.matmul(_dense(c), x), 0, 1),
    lambda a: (a(3), a(3)),
    lambda a: ((a(3), a(4)), a(4, 2)),
)


def _solve_circulant(
    c: Any, b: Any, singular: Any = "raise", tol: Any = None, *axes: Any, **named: Any
) -> Any:
    if axes or named or np.ndim(c) != 1:
        raise GradientError(
            "scipy.linalg.solve_circulant with axes, or of several matrices, has no derivative rule"
        )
    return np.linalg.solve(run("circulant", c), b)


add(
    "solve_circulant",
    derived(_solve_circulant, 0, 1),
    lambda a: (a(3) + np.array([5, 0, 0]), a(3)),
    lambda a: (a(3) + np.array([5, 0, 0]), a(3, 2)),
)
