"""Numbers that a condition chooses, and elements that are stored into whichever way it goes."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

from minpy.runtime.jit import choices, lower

SETUP = """
rng = np.random.default_rng(6)
n = 23
a, b, c = rng.standard_normal(n), rng.standard_normal(n), np.zeros(n)
k, w, m = rng.integers(-9, 9, n), rng.integers(0, 9, n).astype(np.int32), rng.random(n) > 0.5
d, x, y, z, u = np.zeros((n, n), int), 3, 0.5, 2**62, 2**63 - 1
big = np.full(n, 2**62)
"""

BODIES = [
    "for j in range(n):\n    if m[j]: k[j] = k[j] + 1\n    else: k[j] = 3 * k[j]",
    "for j in range(1, n):\n    if k[j] == w[j]: d[i, j] = d[i - 1, j - 1] + 1\n"
    "    elif d[i - 1, j] >= d[i, j - 1]: d[i, j] = d[i - 1, j]\n    else: d[i, j] = d[i, j - 1]",
    "for j in range(n):\n    if m[j]: k[j] = 1\n    else: k[j] = 2.5",
    "for j in range(n):\n    if m[j]: k[j] = True\n    else: k[j] = j",
    "for j in range(n):\n    if m[j]: c[j] = a[j] / b[j]\n    else: c[j] = -a[j]",
    "for j in range(n):\n    if m[j]: c[j] = a[j]\n    else: c[j + 0] = b[j]",
    "for j in range(n):\n    if m[j]: c[j] = a[j]\n    elif a[j] > 0: pass\n    else: c[j] = b[j]",
    "for j in range(n):\n    if m[j]: c[j] = a[j]; x = j\n    else: c[j] = b[j]",
    "for j in range(n):\n    if m[j]: m[j] = False\n    else: m[j] = k[j] > 0",
    # Overflows where the other number is chosen, and where it is not.
    "for j in range(n): x = z * 3 if j == 7 + 9 * i else j - 1",
    "for j in range(n): x = z + z if m[j] and not m[j] else j - 1",
    "for j in range(n): x = (u + 1 if j > 90 else j) if j % 2 == 0 else 3 * j + 1",
    "for j in range(n): x = u + 1 if j > 19 else j",
    "for j in range(n): k[j] = big[j] * 3 if k[j] > 20 else big[j] - k[j]",
    "for j in range(n):\n    if k[j] > 20: k[j] = big[j] * 3\n    else: k[j] = big[j] - k[j]",
    "for j in range(n):\n    if k[j] > 5: k[j] = big[j] * 3\n    else: k[j] = big[j] - k[j]",
    "for j in range(n): x = 1 if u + k[j] > 0 else 2",
    "big[7] = 5\n  for j in range(n): x = 2 if big[j] * 4 > 19 else big[j] * 3",
    "w[9] = 2**31 - 5\n  for j in range(n): w[j] = w[j] + 9 if j != 9 else w[j] - 9",
    "w[9] = 2**31 - 5\n  for j in range(n): w[j] = w[j] + 9 if j == 9 else w[j] - 9",
    # What may not be there, or must not be computed.
    "for j in range(n): x = k[j + 1] if j < n - 1 else k[0]",
    "for j in range(n): x = k[w[j] * 3] if w[j] < 7 else k[j]",
    "for j in range(n): x = 7 // k[j] if k[j] != 0 else 9",
    "for j in range(n): x = 7 // k[j] if k[j] != 1 else 9",
    "for j in range(n): x = x // 2 if x % 2 == 0 else 3 * x + 1",
    "x = 27\n  while x != 1: x = x // 2 if x % 2 == 0 else 3 * x + 1",
    "x = 2**60 + 1\n  while x != 1: x = x // 2 if x % 2 == 0 else 3 * x + 1",
    "for j in range(n): x = j if m[j] else y",
    "for j in range(n): x = missing + 1 if j == 5 else j",
    # Extrema of what the round before stored.
    "for j in range(1, n): d[i, j] = min(d[i - 1, j] + 1, d[i, j - 1] + 1, d[i - 1, j - 1] + k[j])",
    "for j in range(1, n): d[i, j] = max(d[i, j - 1] - 2, x, j); x = min(k[j], x, True)",
    "for j in range(n - 1, 0, -1): d[i, j - 1] = min(d[i, j] + w[j], d[i - 1, j], 5)",
]


@pytest.mark.parametrize("body", BODIES)
def test_same(run_both: Any, body: str) -> None:
    run_both(f"{SETUP}\nfor i in range(1, 4):\n  {body}", None)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("if x: a[i] = 1\nelse: a[i] = 2", "a[i]"),
        ("if x: a[i, j] = 1\nelif y: a[i, j] = 2\nelse: a[i, j] = 3", "a[i, j]"),
        ("if x: a[i] = 1", None),
        ("if x: a[i] = 1\nelse: a[j] = 2", None),
        ("if x: a[i] = 1\nelse: a[i] += 2", None),
        ("if x: a[i] = b = 1\nelse: a[i] = 2", None),
        ("if x: a[i] = 1\nelse:\n  a[i] = 2\n  b = 1", None),
        ("if x: b = 1\nelse: b = 2", None),
    ],
)
def test_stored_by_all(text: str, found: str | None) -> None:
    (node,) = lower.ast.parse(text).body
    target = choices.stored_by_all(node)
    assert (target and lower.ast.unparse(target)) == found
