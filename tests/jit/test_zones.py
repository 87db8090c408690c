"""Masks that limits tell: by what is known of each 32 elements of an array, and when that must not be used."""

from __future__ import annotations

import random
from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

SETUP = """
rng = np.random.default_rng(8)
n, k = {n}, {k}
y, x = np.indices((n, k)) - 3.0
r = np.hypot(x / 16, y)
d, q = rng.random((n, k)), rng.random(n * k)
p = np.arange(n * k) * 0.5
z = 0.45 * n * k
top = float(r.max())
found = np.zeros(20)
count = 0
"""
# (Zones are given up where most must be looked into: bands are narrow.)
HEAD = "low, high = top * i / 19, top * (i + 1) / 19"
SIZES = [(40, 67), (32, 32), (17, 128), (1, 2000), (2000, 1), (33, 41), (31, 33)]
STATEMENTS = [
    "m = np.logical_and(low <= r, r < high); v = d[m]; found[i] = v.sum() if v.size else -1",
    "m = (r > low) & (high >= r); v = d[m]; found[i] = v.size",
    "m = r < low; v = r[m]; found[i] = v.sum()",
    "m = np.less_equal(p, 40 * i); v = q[m]; found[i] = v.sum(); count += v.size",
    "v = d[(low <= r) & (r < high)]; found[i] = v.sum()",
    # The mask is wanted for other things as well, or twice.
    "m = r >= high + top / 3; v = d[m]; w = r[m]; found[i] = v.sum() + w.sum()",
    "m = r >= high + top / 3; v = d[m]; count += m.sum()",
    "m = r >= high + top / 3; d[m] += 1",
    # Layouts.
    "m = (r > low) & (r < high); v = d.T[m.T]; found[i] = v.sum()",
    "a = r[:, ::2]; b = d[:, ::2]; m = (a > low) & (a < high); v = b[m]; found[i] = v.sum()",
    "a = d[:, ::-1]; m = (r > low) & (r < high); v = a[m]; found[i] = v.sum()",
    "a = r[1:]; b = d[1:]; m = (a > low) & (a < high); v = b[m]; found[i] = v.sum()",
    "m = p > z - 9 * i; a = d[m.reshape(n, k)]; found[i] = a.sum()",
    # What is compared changes, or shares memory with what does.
    "m = (r > low) & (r < high); v = d[m]; r[20, i % k] = high + 0.01; found[i] = v.sum()",
    "m = p > z - 9 * i; v = q[m]; p[:] = p[::-1] + i; found[i] = v.sum()",
    "m = s > z - 9 * i; v = q[m]; p[32 * i + 5] = 1e4; found[i] = v.sum()",
    "m = p > z - 9 * i; v = q[m]; p = p + 1; found[i] = v.sum()",
    "m = (p > z - 9 * i) & (q < 0.5); v = q[m]; found[i] = v.sum()",
    # Limits that are no numbers, and elements.
    "r[3, 5] = np.nan; m = r < high; v = d[m]; found[i] = v.size",
    "m = e < i; v = q[m]; found[i] = v.size",
    "m = (e > -np.inf) & (e <= i * 30); v = q[m]; found[i] = v.size",
    "low = np.nan if i == 7 else low; m = r > low; v = d[m]; found[i] = v.size",
    "low = np.inf if i == 7 else low; m = r >= -low; v = d[m]; found[i] = v.size",
    "m = q < i / 20; v = p[m]; found[i] = v.size",
    # Leaving the loop.
    "m = r < low; v = d[m]; found[i] = 1 / v.size if v.size else 0; found[i + (i > 12) * 30] = 2",
    "m = r < low; v = d[m]; count += v.size\n  if i == 13: break",
]
MORE = "\ns = p[:]\ne = p.copy(); e[100:400] = np.nan; e[900] = np.inf; e[901] = -np.inf; e[:40] = -0.0\n"


@pytest.mark.parametrize("number", range(len(STATEMENTS)))
def test_same(run_both: Any, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setenv("MINPY_JIT", "force:quick")
    n, k = SIZES[0] if number % 3 else SIZES[number // 3 % len(SIZES)]
    text = f"{SETUP.format(n=n, k=k)}{MORE}for i in range(16):\n  {HEAD}; {STATEMENTS[number]}\ncount += 1"
    run_both(text, None)


def test_used(run_both: Any) -> None:
    sites = run_both(f"{SETUP.format(n=40, k=67)}for i in range(16):\n  {HEAD}; {STATEMENTS[0]}\n")
    texts = [each.code.text for site in sites for kernels in site.kernels.values() for each in kernels]
    assert any("\nzone" in text for text in texts)


def random_program(seed: int) -> str:
    """Masks of one array with limits of its own each round, and now and then a store into it."""
    r = random.Random(seed)
    n, k = r.choice(SIZES)
    array = r.choice(["r", "d", "p", "q", "s", "e", "r[1:]", "p[3:]"])
    taken = r.choice(["r", "d"]) if array in ("r", "d") else "p"
    if array not in ("r", "d"):
        taken = f"({'d' if '1' in array else 'q'}){array[1:]}" if "[" in array else "q"
    limits = [
        r.choice(["a > {}", "{} <= a", "a < {}", "np.greater_equal(a, {})"]).format(
            r.choice(["low", "high", "i", "0.5", "np.float64(i)", "i * 40.0", "z - 8 * i"])
        )
        for _ in range(r.choice([1, 2, 2, 3]))
    ]
    mask = f"({limits[0]})"
    for each in limits[1:]:
        mask = r.choice([f"{mask} & ({each})", f"np.logical_and({mask}, {each})"])
    use = r.choice(["v = b[m]; found[i] = v.size + v.sum()", "v = b[m]", "found[i] = m.sum(); v = b[m]"])
    store = r.choice(["", "", "; r[0, 0] += i", "; p[32 * i + 5] = z", "; d[i % n, 0] = i", "; m[0] = True"])
    guard = r.choice(["", "", f"; i = i + ({r.randrange(30)} == i) * 99"])
    lines = f"{HEAD}{guard}; a = {array}; b = {taken}; m = {mask}; {use}{store}"
    return f"{SETUP.format(n=n, k=k)}{MORE}for i in range(16):\n  {lines}\ncount += 1"


@pytest.mark.parametrize("seed", range(24))
def test_random_programs(run_both: Any, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setenv("MINPY_JIT", "force:quick")
    run_both(random_program(seed), None)
