"""Loops whose order is changed: sums of products, for several elements at a time, and when that must not be done."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

from minpy.runtime.jit import interchange, lower

SETUP = """
import math
rng = np.random.default_rng(8)
n, m, p = 3, 7, 21
a, b, c, d = rng.standard_normal((n, m)), rng.standard_normal((m, p)), np.zeros((n, p)), rng.standard_normal((p, m))
f, g, h = a.astype(np.float32), b.astype(np.float32), c.astype(np.float32)
k, l, s = rng.integers(-9, 9, (n, m)), rng.integers(-9, 9, (m, p)), np.zeros((n, p), int)
u, v, w, x, y = rng.standard_normal(40), rng.standard_normal(40), np.zeros(40), 3, 0.5
z = a + 1j
j = q = -7
"""
AFTER = "\n  x += j + q"

BODIES = [
    "for j in range(p):\n    for q in range(m): c[i, j] += a[i, q] * b[q, j]",
    "for j in range(p):\n    for q in range(m): c[i, j] -= a[i, q] * b[q, j] * y + a[i, q]",
    "for j in range(p):\n    for q in range(m): h[i, j] += f[i, q] * g[q, j]",
    "for j in range(p):\n    for q in range(m): s[i, j] += k[i, q] * l[q, j]",
    "for j in range(p):\n    for q in range(m): c[i, j] += a[i, q] * d[j, q]",
    "for j in range(p):\n    for q in range(m): w[j + 2] += v[j + 1] * a[i, q]",
    "for j in range(p):\n    for q in range(m): w[j] += q * a[i, q]; x += 1",
    "for j in range(p):\n    for q in range(m): w[j] += q * a[i, q] * u[j]",
    "for j in range(p - 1, -1, -1):\n    for q in range(m - 1, 0, -2): c[i, j] += a[i, q] * b[q, j]",
    "for j in range(1, p, 2):\n    for q in range(2, m): c[i, j] += a[i, q - 2] * b[q, j - 1]",
    # Rounds that there are few of, or none; or how many depends on the other loop.
    "for j in range(i):\n    for q in range(m): c[i, j] += a[i, q] * b[q, j]",
    "for j in range(p):\n    for q in range(m - 7 + i): c[i, j] += a[i, q] * b[q, j]",
    "for j in range(0):\n    for q in range(m): c[i, j] += a[i, q] * b[q, j]",
    "for j in range(p):\n    for q in range(j % 3): c[i, j] += a[i, q] * b[q, j]",
    "for j in range(p):\n    for q in range(a.shape[1]): c[i, j] += a[i, q] * b[q, j]",
    "for j in range(p):\n    for q in range(k[i, 0] + 9): w[j] += a[i, 1] * b[q % 3, j]",
    # Indices out of bounds: of a part of the rounds, in the middle alone.
    "for j in range(p + i):\n    for q in range(m): c[i, j] += a[i, q] * b[q, j]",
    "for j in range(p):\n    for q in range(m + i): c[i, j] += a[i, q] * b[q, j]",
    "for j in range(p):\n    for q in range(-3, m): c[i, j] += a[i, q] * b[q, j]",
    "for j in range(p):\n    for q in range(m): c[i, j] += a[i, q] * v[q * (6 - q) * 9]",
    "for j in range(p):\n    for q in range(m): w[j] += v[q - j] * u[j]",
    # Memory that is shared.
    "for j in range(p):\n    for q in range(m): c[i, j] += a[i, q] * c[i - 1, j]",
    "e = w[1:]\n  for j in range(p):\n    for q in range(m): e[j] += a[i, q] * w[j]",
    "e, r = w[:30], w[30 - 9 * i:]\n  for j in range(10):\n    for q in range(m): e[j] += a[i, q] * r[j]",
    "e = np.lib.stride_tricks.as_strided(w, (40,), (0,))\n"
    "  for j in range(p):\n    for q in range(m): e[j] += a[i, q] * v[j]",
    "e = w[::2]\n  for j in range(p - 2):\n    for q in range(m): e[j] += a[i, q] * v[j]",
    # What is warned of, and what is not.
    "b[3, 5] = np.nan\n  for j in range(p):\n    for q in range(m): c[i, j] += a[i, q] * b[q, j]",
    "b[3, 5] = np.inf\n  for j in range(p):\n    for q in range(m): c[i, j] += a[i, q] * b[q, j]",
    "b[3, 5] = np.inf; b[4, 5] = -np.inf; a[:] = 1\n"
    "  for j in range(p):\n    for q in range(m): c[i, j] += a[i, q] * b[q, j]",
    "b[3, 5] = 1e300; a[1] = 1e300\n  for j in range(p):\n    for q in range(m): c[i, j] += a[i, q] * b[q, j]",
    "g[3, 5] = 1e30; f[1] = 1e30\n  for j in range(p):\n    for q in range(m): h[i, j] += f[i, q] * g[q, j]",
    "l[3, 5] = 2**62; k[1, 3] = 9\n  for j in range(p):\n    for q in range(m): s[i, j] += k[i, q] * l[q, j]",
    "c[1, 4] = np.nan\n  for j in range(p):\n    for q in range(m): c[i, j] += a[i, q] * b[q, j]",
    "for j in range(p):\n    for q in range(m): z[i, j % 7] += a[i, q] * b[q, j]",
]


@pytest.mark.parametrize("body", BODIES)
def test_same(run_both: Any, body: str) -> None:
    run_both(f"{SETUP}\nfor i in range(n):\n  {body}{AFTER}", None)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("for j in range(p):\n  for k in range(m): c[i, j] += a[i, k] * b[k, j]", True),
        ("for j in range(p):\n  for k in range(m): c[i, j] -= a[i, 2 * k - 1]", True),
        ("for j in range(p):\n  for k in range(m): c[i, j] *= a[i, k]", False),
        ("for j in range(p):\n  for k in range(m): c[i, j] = a[i, k]", False),
        ("for j in range(p):\n  for k in range(m): c[i, k] += a[i, j]", False),
        ("for j in range(p):\n  for k in range(m): c[i, j] += c[i, k]", False),
        ("for j in range(p):\n  for k in range(j): c[i, j] += a[i, k]", False),
        ("for j in range(p):\n  for k in range(m): c[i, j] += a[i, k + j]", False),
        ("for j in range(p):\n  for k in range(m): c[i, j] += a[i, k * k]", False),
        ("for j in range(p):\n  for k in range(e[0]): c[i, j] += a[i, k]", False),
        ("for j in range(p):\n  for k in range(m): c[i, j] += a[i, k]\n  x = 1", False),
        ("for j in range(p):\n  for k in range(m): c[i, j] += a[i, k]\n  else: x = 1", False),
        ("for j in range(p):\n  for k in a: c[i, j] += k", False),
    ],
)
def test_turned_inside(text: str, found: bool) -> None:
    (node,) = lower.ast.parse(text).body
    assert (interchange.turned_inside(node) is not None) == found


@pytest.mark.parametrize(
    ("number", "found"), [(0, True), (1, True), (2, True), (3, True), (4, False), (5, True)]
)
def test_in_the_other_order(run_both: Any, number: int, found: bool) -> None:
    """Where the elements that are added to, or those that are read, lie apart nothing would be gained."""
    sites = run_both(f"{SETUP}\nfor i in range(n):\n  {BODIES[number]}")
    texts = [each.code.text for site in sites for kernels in site.kernels.values() for each in kernels]
    assert any("swapped" in text for text in texts) == found
