"""Loops along an axis that lies innermost in memory, some columns after the other, and when that must not be done."""

from __future__ import annotations

import ast
from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

from column_programs import ColumnMaker

from minpy.runtime.jit import columns

SETUP = """
rng = np.random.default_rng(8)
n, m, l = 13, 11, 6
a, b, c, d = (rng.standard_normal((n, m, l)) + 3 for _ in range(4))
u, v, w = (rng.standard_normal((150, 9)) for _ in range(3))
f, g = u.astype(np.float32), v.astype(np.float32)
i, j = rng.integers(-9, 9, (150, 9)), rng.integers(-99, 99, (150, 9)).astype(np.int16)
t, z = u > 0, u + 1j * v
row, column, x, y = rng.standard_normal(m), rng.standard_normal((n, 1)), 3, 0.5
p, q, numbers = np.arange(9), rng.standard_normal(9), [1.5, -0.5, 2.0] * 3
k = r = s = -7
"""
AFTER = "\nx += 1 + k"

ROUNDS = [
    "for k in range(1, l):\n  s = 1 / (a[:, :, k] - b[:, :, k] * c[:, :, k - 1])\n"
    "  c[:, :, k] = b[:, :, k] * s\n  d[:, :, k] = (a[:, :, k] - b[:, :, k] * d[:, :, k - 1]) * s",
    "for k in range(l - 2, -1, -1): c[:, :, k] = d[:, :, k] - a[:, :, k] * c[:, :, k + 1]",
    "for k in range(9): u[:, k] = v[:, k - 1] * q[k] + p[k]",
    "for k in range(9): f[:, k] = f[:, k] * g[:, k] + 0.5",
    "for k in range(9): i[:, k] += i[:, k - 1] * j[:, 3]",
    "for k in range(9): j[:, k] += j[:, k - 1]",
    "for k in range(9): t[:, k] = u[:, k] > v[:, k - 1]",
    "for k in range(9):\n  s = u[:, k] > 0\n  u[:, k] = np.where(s, v[:, k], u[:, k - 1])",
    # Whole numbers: with gaps, NumPy rounds products now so and now so, as its temporary happens to lie in memory.
    "z = 1j * i + i[::-1]\nfor k in range(9): z[:, k] = z[:, k] * z[:, k - 1] + i[:, k]",
    "for k in range(9): u[:, k] = np.sqrt(np.abs(v[:, k])) + np.minimum(u[:, k], w[:, 0])",
    "for k in range(9): u[:, k] = abs(v[:, k]) - (-w[:, k]) ** 2",
    "for k in range(l): c[:, :, k] = row * a[:, :, k]",
    "for k in range(l): c[:, 1:, k] = c[:, 1:, k - 1] + a[:, :-1, k]",
    "for k in range(l): c[1:-1, ::2, k] *= c[1:-1, ::2, 0]",
    "for k in range(m): c[:, k] = a[:, k] + c[:, k - 1]",
    # Names: several, one set twice, one of the round before, what the loop was to read before it is set.
    "for k in range(9):\n  r = u[:, k] + v[:, k]\n  s = r * w[:, k]\n  u[:, k] = s - r\n  v[:, k] = s",
    "for k in range(9):\n  r = u[:, k] * 2\n  u[:, k] = 0\n  r = r + u[:, k]\n  v[:, k] = r",
    "for k in range(9):\n  r = u[:, k] * 2\n  u[:, k] = v[:, k] + 1\n  v[:, k] = r",
    "r = u[:, 0] * 2\nfor k in range(9):\n  u[:, k] = r\n  r = u[:, k] + v[:, k]",
    "for k in range(9):\n  r = q * 2\n  u[:, k] = v[:, k] * r[k]",
    # No rounds, or few; no columns, one.
    "for k in range(0): u[:, k] = v[:, k] * 2",
    "for k in range(1):\n  r = v[:, k] * 2\n  u[:, k] = r",
    "u = u[:0]\nfor k in range(9): u[:, k] = u[:, k - 1] * 2",
    "for k in range(9): u[:, k] = v[:1, k] * 2",
    # Other layouts.
    "u, v = np.asfortranarray(u), np.asfortranarray(v)\nfor k in range(1, 9): u[:, k] = v[:, k] + u[:, k - 1]",
    "v = np.asfortranarray(v)\nfor k in range(1, 9):\n  r = v[:, k] * 2\n  u[:, k] = r + u[:, k - 1]",
    "c, a = c.transpose(1, 0, 2), a[::-1]\na, c = a[:11], c[:, :11]\n"
    "for k in range(1, l):\n  r = c[:, :, k] + 1\n  c[:, :, k] = a[:, :, k] + c[:, :, k - 1] * r",
    "u = u[::-1, ::-1]\nfor k in range(1, 9): u[:, k] = v[:, k] + u[:, k - 1]",
    # Other columns are looked at, or memory is shared.
    "for k in range(l): c[1:, :, k] = c[:-1, :, k - 1] + a[1:, :, k]",
    "for k in range(9): u[:, k] = u[::-1, k - 1] * 2",
    "for k in range(9): u[:, k] = v[:, k] * u[0, 0]",
    "for k in range(9): u[:, k] = v[:, k] * u[3:4, 0]",
    "for k in range(9): u[:, k] = v[:, k] - v[:, k].mean()",
    "for k in range(9): u[:, k] = u[:, p[k]] + u[:, p][:, k]",
    "v = u[::-1]\nfor k in range(1, 9): u[:, k] = v[:, k - 1] * 2",
    "v = u[1:]\nfor k in range(1, 9): u[:-1, k] = v[:, k - 1] * 2",
    "u = np.lib.stride_tricks.as_strided(u, (150, 9), (8, 8))\nfor k in range(9): u[:, k] = v[:, k] * 2",
    "u = np.lib.stride_tricks.as_strided(u, (150, 9), (0, 8))\nfor k in range(9): u[:, k] += v[:, k] * 2",
    # What goes wrong, in the middle of columns and rounds.
    "v[70, 3] = 0\nfor k in range(9): u[:, k] = 1 / v[:, k] + u[:, k - 1]",
    "v[70, 5], v[140, 2] = 0, 0\nfor k in range(9):\n  r = 1 / v[:, k]\n  u[:, k] = r + u[:, k - 1]",
    "v[70, 3] = 1e300\nfor k in range(9): u[:, k] = v[:, k] * v[:, k]",
    "v[70, 3] = np.nan\nfor k in range(9): u[:, k] = v[:, k] + u[:, k - 1]",
    "v[70, 3], v[3, 4] = np.inf, -np.inf\nfor k in range(9): u[:, k] = v[:, k] + u[:, k - 1]",
    "v[70, 3] = -1\nfor k in range(9): u[:, k] = np.sqrt(v[:, k] ** 2 + v[:, k])",
    "for k in range(12): u[:, k] = v[:, k % 9] * 2",
    "for k in range(12): u[:, k % 9] = v[:, k] * 2",
    "for k in range(9): u[:, k] = v[:140, k] * 2",
    "for k in range(9): j[:, k] = i[:, k] * 5000",
    "for k in range(9): u[:, k] = z[:, k]",
    "for k in range(9): u[-1][k] = v[3][k] * 2",
    "u.flags.writeable = False\nfor k in range(9): u[:, k] = v[:, k] * 2",
]


@pytest.mark.parametrize(("number", "text"), list(enumerate(ROUNDS)))
def test_same(run_both: Any, monkeypatch: pytest.MonkeyPatch, number: int, text: str) -> None:
    """As the outermost loop, or in another one, where it is come to several times."""
    monkeypatch.setenv("MINPY_JIT", "force:quick")
    if number % 2:
        before, _, loop = text.partition("for k")
        loop = f"for k{loop}".replace("\n", "\n  ")
        text = f"{before}for o in range(3):\n  x += o\n  {loop}"
    run_both(f"{SETUP}\n{text}{AFTER}", None)


def test_random_programs(run_both: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "_AT_ONCE", 4)
    monkeypatch.setattr(columns, "WORTH", 2)
    monkeypatch.setenv("MINPY_JIT", "force:quick")
    found = 0
    for seed in range(12):
        sites = run_both(ColumnMaker(seed).program(), None)
        codes = [each.code for site in sites for kernels in site.kernels.values() for each in kernels]
        found += any("columnwise" in code.text for code in codes)
    assert found > 1  # else nothing was tested


@pytest.mark.parametrize("number", [0, 1, 6, 17])
@pytest.mark.parametrize("around", ["", "for o in range(3):\n  x += o\n  "])
def test_column_by_column(run_both: Any, number: int, around: str) -> None:
    loop = ROUNDS[number].replace("\n", "\n  ") if around else ROUNDS[number]
    sites = run_both(f"{SETUP}\n{around}{loop}")
    codes = [each.code for site in sites for kernels in site.kernels.values() for each in kernels]
    assert any("columnwise" in code.text for code in codes)
    assert any(code.columns for code in codes) == (not around)


def test_in_a_function(run_both: Any) -> None:
    function = "def change(u, v):\n  for k in range(9):\n    s = u[:, k] + 1\n    u[:, k] = s * v[:, k]\n  return s\n"
    run_both(f"{SETUP}{function}for o in range(4): w[:, o] = change(u, v)\n")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("for k in range(n): a[:, k] = b[:, k]", True),
        ("for k in range(n): a[:, k] = a[:, k - 1] * 2; c[k] = a[:, 0]", True),
        ("for k in range(n): a[:, k] = a[1:, k - 1] * 2", False),
        ("for k in range(n): a[:, k] = a", False),
        ("for k in range(n): a[:, k] = a[k, k]", False),
        ("for k in range(n): a[:k] = b[:k]", False),
        ("for k in range(n): a[:, 0] = b[:, k]", False),
        ("for k in range(n): s += a[:, k]; a[:, k] = s", False),
        ("for k in range(n): a[:, k] = s; s = a[:, k] * 2", False),
        ("for k in range(n): a.b[:, k] = c[:, k]", False),
        ("for k in range(n): a[k][1:] = c[k][1:]; c[:, k] = d[:, k]", False),
        ("for k in range(n): a[:, k] = c[:, k].T", False),
        ("for k in range(n): a[:, k] = c[:, k] @ b", False),
        ("for k in range(n): a[:, k] = c[:, k]; k = 1", False),
        ("for k in range(n):\n  if b: a[:, k] = c[:, k]", False),
        ("for k in range(n): a[:, k] = c[:, k]\nelse: pass", False),
        ("for k, l in range(n): a[:, k] = c[:, k]", False),
    ],
)
def test_columns_of(text: str, found: bool) -> None:
    (node,) = ast.parse(text).body
    assert isinstance(node, ast.For)
    assert (columns.columns_of(node) is not None) == found
