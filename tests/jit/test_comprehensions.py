"""``sum``, ``any`` and ``all`` of generator expressions in loops: compiled and as written."""

from __future__ import annotations

import sys
from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

SETUP = """
rng = np.random.default_rng(7)
n = 6
a = rng.standard_normal((n, n))
c = rng.integers(0, 2, (n, n))
v = rng.standard_normal(n)
k = rng.integers(-5, 5, n)
q = [1, 2, 3]
x, y = 1, 0.5
"""
PROGRAMS = [
    "for i in range(n): y = sum(v[j] * a[i, j] for j in range(n)) * 0.1",
    "for i in range(n): x = sum(j * i for j in range(i)) % 1000",
    "for i in range(n): x = sum(k[j] for j in range(n) if j != i)",
    "for i in range(n): x = sum(1 for e in k if e > i) + sum(c[i, j] for j in range(n))",
    "for i in range(n): y = sum(e * f for e, f in zip(v, a[i])); v[i] = y",
    "for i in range(n): y = sum(a[j, m] for j in range(i) for m in range(n) if j < m)",
    "for i in range(n): y = sum(v) + sum(a[i]); x = sum(k); x += sum(q)",
    "for i in range(n): y = sum([v[j] ** 2 for j in range(n)])",
    "for i in range(n): z = any(e > 1 for e in v); w = all(v[j] < i for j in range(n)); x += z",
    "for i in range(n): z = any(c[i, j] == c[j, i] and i != j for j in range(i)); x = x * 2 + z",
    "for i in range(n): z = all(e for e in k); w = any(1 / (e + 7) > 0 for e in k)",
    "for i in range(n): s = sum(a[j] for j in (0, 1, 2)); v = s * 0.5",
    "for i in range(n): s = sum(np.roll(v, d) for d in (-1, 1)) - 2 * v; v = v + 0.1 * s",
    "for _ in range(4):\n"
    "  s = sum(np.roll(np.roll(c, e, 0), d, 1) for e in (-1, 0, 1) for d in (-1, 0, 1) if (e, d) != (0, 0))\n"
    "  c = ((s == 3) | ((c == 1) & (s == 2))).astype(c.dtype)",
    "def f(c, steps):\n  for _ in range(steps):\n    s = sum(np.roll(c, d, 0) for d in (-1, 0, 1) if d != 0)\n"
    "    c = (s == 1).astype(c.dtype)\n  return c\nc = f(c, 5)",
    "def f(v, n):\n  j = 'mine'\n"
    "  for i in range(n): v[i] = sum(v[j] * i for j in range(n)) * 0.1\n  return v, j\nr = f(v, n)",
    "def f(v, n):\n  y = 0.0\n  g = lambda: y\n  for i in range(n): y = y + v[i]\n  return g(), y\nr = f(v, n)",
    "def f(v, n):\n  y = 0.0\n  def g():\n    nonlocal y\n"
    "    for i in range(n): y = y + v[i]\n  g()\n  return y\nr = f(v, n)",
    "j = 5\nfor i in range(n): x = sum(j for j in range(i)) + j",
    "for i in range(n): x = sum(x * 2 for x in k) + i",
    "for i in range(n): x = sum(j for j in range(3) if x)",
    # Left to Python.
    "for i in range(n): x = sum(v[j] for j in range(n + 1))",
    "for i in range(n): y = sum(1 / (j - 3) for j in range(i))",
    "for i in range(n): z = any(1 / e > 9 for e in k)",
    "for i in range(n): x = sum((1, 2, i))",
    "for i in range(n): x = sum(str(j) == '1' for j in range(i))",
    "for i in range(n): x = sum((j for j in range(i)), 5)",
    "for i in range(n): x = max(j * i for j in range(1, 4))",
    "for i in range(n): y = sum(a[i])\nfor i in range(2): y = sum(a)",
    "for i in range(n): x = sum(e for e in [1.5, 2.5]) + sum(e + 1 for e in (1, 2))",
]


@pytest.mark.parametrize("text", PROGRAMS)
def test_same(run_both: Any, text: str) -> None:
    run_both(SETUP + text, compiled=None)


@pytest.mark.parametrize("text", [PROGRAMS[i] for i in (1, 2, 3, 8, 9, 10, 12, 13, 14, 16)])
def test_is_compiled(run_both: Any, text: str) -> None:
    run_both(SETUP + text)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python 3.12 adds up floats with a correction")
def test_floats_are_added_one_after_the_other(run_both: Any) -> None:
    run_both(SETUP + "w = v.tolist()\nfor i in range(n): y = sum(w[j] * i for j in range(n))")
