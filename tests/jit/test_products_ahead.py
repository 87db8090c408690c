"""Products of a column and those behind it, made for several rounds at a time, and when that must not be done."""

from __future__ import annotations

import ast
from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

from minpy.runtime.jit import ahead, numpy_loops

SETUP = """
rng = np.random.default_rng(3)
n, m, x, k = {rows}, 53, 2, 0
a, b = rng.standard_normal((n, m)), rng.standard_normal((n, m))
c, t, u = np.eye(m), np.zeros(m), np.zeros((m, m))
"""
# A program, and whether products are made ahead.
PROGRAMS = [
    ("for i in range(m - 1): c[i + 1 : m, i] = c[i, i + 1 : m] = a[:, i] @ a[:, i + 1 : m]", True),
    ("for i in range(m - 1): c[i, i + 1 :] = a[:, i] @ a[:, i + 1 :]", True),
    (
        "for i in range(7, m - 9):\n  v = a[:, i] @ a[:, i + 1 : m]\n  c[i, i + 1 :] = v * 2 + x\n  t[i] += x",
        True,
    ),
    ("for i in range(m - 1):\n  v = a[:, i] @ a[:, i + 1 :]\n  w = v", True),
    ("for i in range(m - 20): c[i, i + 1 : 40] = a[:, i] @ a[:, i + 1 : 40]", True),
    ("for i in range(m - 1):\n  if i % 4 != 1:\n    c[i, i + 1 :] = a[:, i] @ a[:, i + 1 :]", True),
    ("for i in range(0, m - 1, 2): c[i, i + 1 :] = a[:, i] @ a[:, i + 1 :]", True),
    ("for i in range(m - 2, -1, -1): c[i, i + 1 :] = a[:, i] @ a[:, i + 1 :]", True),
    ("for i in range(-3, m - 1): t[i] = 1; c[i, i + 1 :] = a[:, i] @ a[:, i + 1 :]", True),
    ("for i in range(m):\n  if i == 30:\n    break\n  c[i, i + 1 :] = a[:, i] @ a[:, i + 1 :]", True),
    # Numbers that are not finite, of zero, products that overflow; layouts; other types; memory that is shared.
    ("a[2, 33] = np.nan\nfor i in range(m - 1): c[i, i + 1 :] = a[:, i] @ a[:, i + 1 :]", True),
    ("a[2, 9] = np.inf\nfor i in range(m - 1): c[i, i + 1 :] = a[:, i] @ a[:, i + 1 :]", True),
    ("a[2, 9:15] = 1e200\nfor i in range(m - 1): c[i, i + 1 :] = a[:, i] @ a[:, i + 1 :]", True),
    ("a[:] = -0.0\nfor i in range(m - 1): c[i, i + 1 :] = a[:, i] @ a[:, i + 1 :]", True),
    ("a = np.asfortranarray(a)\nfor i in range(m - 1): c[i, i + 1 :] = a[:, i] @ a[:, i + 1 :]", None),
    ("a = a[::-2]\nfor i in range(m - 1): c[i, i + 1 :] = a[:, i] @ a[:, i + 1 :]", True),
    ("a = a[:, ::2]\nfor i in range(9): c[i, i + 1 : 27] = a[:, i] @ a[:, i + 1 :]", None),
    ("a = a.astype(np.float32)\nfor i in range(m - 1): c[i, i + 1 :] = a[:, i] @ a[:, i + 1 :]", False),
    (
        "c = a[:m, :m] if n > m else a.copy()[:1]\nc = c.T\nfor i in range(m - 1): c[i, 0] = 1; "
        "t[i + 1 :] = a[:, i] @ a[:, i + 1 :]",
        None,
    ),
    ("t = a[3]\nfor i in range(m - 1): t[i + 1 :] = a[:, i] @ a[:, i + 1 :]", True),
    # The matrix changes, or something else than that is multiplied.
    ("for i in range(m - 1):\n  c[i, i + 1 :] = a[:, i] @ a[:, i + 1 :]\n  a[3, i + 2 :] += x", False),
    ("for i in range(m - 1):\n  c[i, i + 1 :] = a[:, i] @ a[:, i + 1 :]\n  a, b = b, a", None),
    ("for i in range(m - 1):\n  a += 0.1\n  c[i, i + 1 :] = a[:, i] @ a[:, i + 1 :]", False),
    ("for i in range(m - 1): c[i, i + 1 :] = a[:, i] @ b[:, i + 1 :]", False),
    ("for i in range(m - 1): c[i, i:] = a[:, i] @ a[:, i:]", False),
    ("for i in range(m - 1):\n  k = m - i % 2\n  c[i, i + 1 : k] = a[:, i] @ a[:, i + 1 : k]", False),
]


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_same(run_both: Any, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setenv("MINPY_JIT", "force:quick")
    program, made_ahead = PROGRAMS[number]
    rows = [70, 5, 33][number % 3]
    sites = run_both(f"{SETUP.format(rows=rows)}{program}\nx += 1", None)
    if made_ahead is not None and numpy_loops.adds_rows():
        texts = [each.code.text for site in sites for kernels in site.kernels.values() for each in kernels]
        assert any("\nahead" in text for text in texts) == made_ahead


@pytest.mark.parametrize(
    ("product", "found"),
    [
        ("a[:, i] @ a[:, i + 1 : m]", True),
        ("a[:, i] @ a[:, i + 1 :]", True),
        ("a[:, i] @ a[:, i + 2 :]", False),
        ("a[:, i] @ a[:, i + 1 : m + i]", False),
        ("a[1:, i] @ a[1:, i + 1 :]", False),
        ("a[:, i] @ b[:, i + 1 :]", False),
        ("a[:, i + 1] @ a[:, i + 1 :]", False),
        ("a[:, i] @ a[:, i + 1 : k]", False),
    ],
)
def test_product_of(product: str, found: bool) -> None:
    loop = ast.parse(f"for i in range(m):\n  k = m\n  c[i] = {product}").body[0]
    assert isinstance(loop, ast.For)
    (node,) = (
        each for each in ast.walk(loop) if isinstance(each, ast.BinOp) and isinstance(each.op, ast.MatMult)
    )
    assert (ahead.product_of(node, loop) is not None) == found
