"""Integers that are known to be small are not asked whether they need more than 64 bits; others are."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

from minpy.runtime.jit import kernel

SETUP = """
rng = np.random.default_rng(4)
n, big = 9, 2**29
x, y, c = rng.random(n), rng.random(n), rng.integers(-9, 9, n)
h, w = np.array([127, -128, 5] * 3, np.int8), np.array([2**31 - 1, -2**31, 7] * 3, np.int32)
far = np.zeros((2, 0)).shape[0] * 2**61
t, s, k = 0.0, 0, 3
def entry(i, j):
  return 1.0 / ((i + j) * (i + j + 1) // 2 + i + 1)
def clamped(a, b):
  if a > b: a = b
  b = a * b
  return a + b
def swapped(a, b):
  a, b = b, a
  a = a * 4
  return a - b
"""

# In a loop of three rounds; `i` is its variable.
BODIES = [
    "for j in range(n): t += entry(i, j) * x[j]",
    "for j in range(n): t += entry(j, i) * x[j]; s += i * j",
    "for j in range(n): t += x[j] / ((i - j) * (j - i) * 2 + (i * j) % 7 + 90)",
    "for j in range(n): c[j] = clamped(i, j) * clamped(j, j + 1)",
    "for j in range(n): c[j] = swapped(i, j) + swapped(j * j, i); s = c[j]",
    "for j in range(n): t += x[j] * (i * j * j * j); s -= i * j",
    "for j in range(big - 2, big + 2): t += x[j - big + 2]; s = j * j + j",
    "for j in range(big - 2, big + 2): t += x[j - big + 2]; s = j * j * j",
    "for j in range(far, far + 4): t += x[j - far]; s = j + far",
    "for j in range(far, far + 4): t += x[j - far]; s = j + j - 1",
    "for j in range(far, far + 4): t += x[j - far]; s = j * 2",
    "for j in range(n): c[j] = h[j] * h[j] + w[j] - i",
    "for j in range(n): s = int(h[j]) * int(w[j]) + j * i; c[j] = s",
    "for j in range(n): s = w[j] * w[j]; c[j] = s",
    "for j in range(n): s = int(w[j]) * int(w[j]) * j; c[j] = s",
    "for j in range(n): s = int(w[j]) * int(w[j]) * 2 * i; c[j] = s",
    "for j in range(n):\n    q = j * i\n    if j % 2: q = 2**62 + j\n    c[j] = q + q // 2 if j < 1 else q",
    "for j in range(n):\n    q = j\n    for _ in range(3): q = q * q + 1\n    c[j] = q % 7 + x[j] * 0",
    "for j in range(n):\n    q = j\n    while q < 2**62: q = q * 3 + i + 1\n    c[j] = q",
    "for j in range(n):\n    q = 2**40 * (j if j < 8 else 2**22)\n    c[j] = q + i; s = q * 2",
    "for j in range(n): q = j; q = q * 2**30; q = q * 2**30; c[j] = q - i",
    "i = 2**61\n  for j in range(n): c[j] = i + j; s = i * j; t += x[j]",
    "for j in range(n): k = k * 5 + j; c[j] = k + i",
]


@pytest.mark.parametrize("body", BODIES)
def test_same(run_both: Any, body: str) -> None:
    run_both(f"{SETUP}\nfor i in range(3):\n  {body}\n", compiled=None)
    body = body.replace("\n", "\n  ")
    run_both(f"{SETUP}\nfor i in range(2):\n  for o in range(3):\n    {body}\n", compiled=None)


@pytest.mark.parametrize("body", BODIES[:2])
def test_nothing_is_asked_of_small_numbers(run_both: Any, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    texts = []
    lower = kernel.lower
    monkeypatch.setattr(kernel, "lower", lambda *each: texts.append(lower(*each)) or texts[-1])
    run_both(f"{SETUP}\nfor i in range(3):\n  {body}\n")
    fast = texts[-1].text.split("\nfast")[1].split("\nslow")[0]
    assert "smul.with.overflow" not in fast and " = mul nsw i64 " in fast
