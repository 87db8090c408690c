"""Where nothing but a truth is wanted of a number, the compiler may know it without the number: warnings come all the same."""

from __future__ import annotations

import textwrap

import pytest

EXPRESSIONS = [
    "np.isnan(np.sqrt(x))",
    "np.isinf(np.sqrt(x) + 0)",
    "np.isfinite(np.abs(x * y))",
    "np.sqrt(x) < 0",
    "np.sqrt(x) >= 0",
    "0 > np.sqrt(x)",
    "np.square(x) < 0",
    "x * x >= 0",
    "abs(x * y) < 0",
    "np.logical_not(np.sqrt(x))",
    "np.logical_and(np.sqrt(x) < 0, y > 1)",
    "np.where(np.sqrt(x) < 0, x, y)",
    "np.maximum(np.sqrt(x), 0.0) < 0",
    "np.isnan(y / x) & (y > 3)",
    "np.sum(np.sqrt(x) < 0, axis=0)",
    "np.sum(x * x >= 0)",
    "np.any(np.isnan(np.sqrt(x)), axis=1)",
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_warnings_come(run_all, dtype: str) -> None:
    text = f"""
    rng = np.random.default_rng(0)
    fine = (rng.random((9, 130)) + 0.1).astype("{dtype}")
    negative, large, zero = fine.copy(), fine.copy(), fine.copy()
    negative[4, 77], large[3, 99], zero[2, 2] = -1, np.finfo("{dtype}").max, 0
    out = []
    """
    for number, expression in enumerate(EXPRESSIONS):
        text += f"""
    def f{number}(x, y):
        return {expression}
    for x in (fine, fine, negative, large, zero, fine, negative, large):
        out.append(f{number}(x, fine + 2))
    """
    run_all(textwrap.dedent(text), compiled=True)
