"""Choices of which all ways are computed: what is not chosen leaves no trace, and what is has Python's errors."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

from minpy.runtime.jit import kernel

SETUP = """
rng = np.random.default_rng(8)
n = 23
a, b = rng.integers(-3, 4, n), rng.integers(-3, 4, n)
T, v = np.zeros((n + 1, n + 1), dtype=int), rng.standard_normal(n)
big = np.array([2**63 - 1, -2**63, 2**62, -2**62, 2**61, 1, 0, -1] * 3)
h, m = rng.integers(0, 100, n).astype(np.int8), rng.random(n) > 0.5
x, y, z, s, w = 3, 0, 2**63 - 5, 0.0, 0
"""

# In a loop of three rounds; `i` is its variable.
BODIES = [
    "for j in range(n): x = x // 2 if x % 2 == 0 else 3 * x + 1",
    "for j in range(90): x = 3 * x + 1 if j < 88 else x",
    "for j in range(n): z = z + 1 if j < 3 else z - 1",
    "for j in range(n): z = z + 1 if j < 9 else z - 1",
    "for j in range(24): y = y + 1 if big[j] + 1 > 0 else y",
    "for j in range(24): y = big[j] + 1 if big[j] < 2**62 else big[j] - 1",
    "for j in range(24): y = 2 * big[j] if abs(j - 4) > 4 else big[j]",
    "for j in range(24): y = -big[j] if j % 8 > 1 else y",
    "for j in range(24): y = abs(big[j]) if j % 8 > 1 else 7",
    "for j in range(n):\n    if a[j] == b[j]: y += 1",
    "for j in range(n):\n    if a[j] == b[j]: y += 1\n    else: y -= a[j]",
    "for j in range(n):\n    if a[j] > b[j]: x = a[j]\n    else: x = b[j]",
    "for j in range(n):\n    if m[j]: h[j] = h[j] + 1\n    else: h[j] = h[j] - 1",
    "for j in range(90):\n    if m[j % 23]: h[3] = h[3] + 1\n    else: h[3] = h[4]",
    "for j in range(n):\n    if v[j] > s: s = v[j]",
    "for j in range(n):\n    if v[j] > 0: s += v[j]",
    "for j in range(n):\n    if v[j] > 0: s = 1.5\n    else: s = v[j]",
    "for j in range(n):\n    if m[j]: q = a[j]\n    y += m[j]",
    "for j in range(n):\n    if m[j]: q = a[j]\n    else: q = 2\n    y += q",
    "for j in range(n):\n    if m[j]: x = 0.5\n    else: x = 2",
    "for j in range(n):\n    if not m[j]: y = min(a[j], b[j], y)",
    "for j in range(n):\n    if a[j] > 0: x = x & 255\n    elif a[j] < -1: x = x ^ j\n    else: x = x | 64",
    "for j in range(n): x = (a[j] if m[j] else b[j]) if j > 4 else (j if m[j] else x)",
    "for j in range(n): x = a[j + i] if m[j] else 0",
    "for j in range(n): y += a[w] if m[j] else 1; w = (w + 5) % 40",
    "for j in range(n):\n    if a[i] == b[j]: T[i + 1, j + 1] = T[i, j] + 1\n"
    "    elif T[i, j + 1] >= T[i + 1, j]: T[i + 1, j + 1] = T[i, j + 1]\n    else: T[i + 1, j + 1] = T[i + 1, j]",
    "for j in range(n):\n    if a[i] == b[j]: T[i + 1, j + 1] = T[i, j] + big[j]\n"
    "    else: T[i + 1, j + 1] = T[i + 1, j]",
    "for j in range(1, n): T[i + 1, j] = min(T[i, j] + 1, T[i + 1, j - 1] + 2, T[i, j - 1] + (a[i] != b[j]))",
    "for j in range(1, 24): T[i + 1, j] = max(T[i, j], T[i + 1, j - 1] + big[j], T[i, j - 1] + 2**61)",
    "while x != 1 and y < 50:\n    x = x // 2 if x % 2 == 0 else 3 * x + 1\n    y += 1",
    "while z > 0 and y < 9:\n    z = z // 4 if y < 3 else 5 * z + 1\n    y += 1",
]


@pytest.mark.parametrize("body", BODIES)
def test_choices_of_numbers(run_both: Any, body: str) -> None:
    run_both(f"{SETUP}\nfor i in range(3):\n  {body}\n", compiled=None)


@pytest.mark.parametrize("body", [BODIES[i] for i in (0, 9, 11, 25)])
def test_both_ways_are_computed(run_both: Any, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """No branch goes either way with the data."""
    texts = []
    lower = kernel.lower
    monkeypatch.setattr(kernel, "lower", lambda *each: texts.append(lower(*each)) or texts[-1])
    run_both(f"{SETUP}\nfor i in range(3):\n  {body}\n")
    assert " = select i1 " in texts[-1].text.split("\nfor")[1].split("\nodd")[0].split("\nnext")[0]
