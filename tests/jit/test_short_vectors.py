"""Short vectors that functions take apart: they stay in registers, and what is warned of is as NumPy has it."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

SETUP = """
def slope(s):
    x, y, z = s
    return np.array([{a} * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z])
def first(s):
    return s[0] * 2.0 - s[-1]
def two(s):
    x, y = s
    return x + y
def itself(s):
    return s
def both(s):
    x, y, z = s
    return s * x + y
def changed(s):
    s = s + 1.0
    x, y, z = s
    return x
def stored(s):
    s[0] = 3.0
    x, y, z = s
    return x
def late(s, n):
    return s[n] + s[0]
state, other, n = np.array([1.0, 1.5, -2.0]), np.array([0.5, 3.0, 2.0]), {n}
whole, pair, path, total, old = np.array([3, -4, 5]), np.array([2.0, 3.0]), np.zeros((n + 1, 3)), 0.0, None
"""
ROUNDS = [
    "k = slope(state + 0.01 * slope(state))\n  state = state + 0.005 * k\n  path[i + 1] = state",
    "k = slope(other)\n  state = other + dt / 6.0 * (k + 2 * slope(other + k * dt))",
    "total += first(state * other + i)",
    "total += first(np.array([i * 1.0, total, 2.0]) / other)",
    "total += two(pair * i + total / 8)",
    "total += two(state * i)",  # too many
    "old = itself(state * 2)\n  total += old[1]",
    "old = both(state + i)",
    "total += changed(state * i)",
    "old = state * i\n  total += stored(old)",
    "total += late(state * 3, i % 3)",
    "total += first(whole * i)",
    "total += first(whole * 2**62)",
    "total += first(np.float32(2) * state)",
    "total += first(state[::-1] + state)",
    "total += first(state > other)",
    # Warnings: of a sum, a product, a quotient; of what is not finite before.
    "total += first(state * 1e308 * (i + 1))",
    "total += first(state / (other - 0.5))",
    "total += first((state - 1) / (state - 1))",
    "state[1] = np.inf\n  total += first(state * other)",
    "state[1] = np.nan\n  old = slope(state * other)",
    "state[2] = 1e200\n  old = slope(state * state)",
    "old = np.array([total * 1e300, total / (i - 2.0), total - 1.0])\n  total += old[0] + 1e10",
    "old = np.array([total - 1.0, total * (i - 2), total / (i - 2)])",
]


@pytest.mark.parametrize("number", range(len(ROUNDS)))
def test_same(run_both: Any, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setenv("MINPY_JIT", "force:quick")
    setup = SETUP.format(a=10.0, n=9)
    run_both(f"{setup}dt = 0.01\nfor i in range(n):\n  {ROUNDS[number]}\ntotal += 1", None)


def test_no_array_is_made(run_both: Any) -> None:
    sites = run_both(f"{SETUP.format(a=10.0, n=9)}for i in range(n):\n  {ROUNDS[4]}")
    texts = [each.code.text for site in sites for kernels in site.kernels.values() for each in kernels]
    assert texts and not any("@make(" in text for text in texts)
