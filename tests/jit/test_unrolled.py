"""Loops over a number of rounds that is a variable, small when the code is made: written out for this number."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

from minpy.runtime.jit import lower, unroll

SETUP = """
rng = np.random.default_rng(9)
n, d, e = 19, 3, 2
x, w, out, a = rng.random((n, d)), rng.random((d, e)), np.zeros((n, n)), rng.random((n + 4, n + 4))
v = rng.integers(0, 9, (n, d))
total, count, k, q = 0.0, 0, -5, -6
"""

BODIES = [
    "for j in range(n):\n    total = 0.0\n    for k in range(d):\n      y = x[i, k] - x[j, k]\n      total += y * y\n"
    "    out[i, j] = np.sqrt(total)",
    "for j in range(n):\n    total = 0.0\n    for k in range(d):\n"
    "      for q in range(e): total += a[i + k, j + q] * w[k, q]\n"
    "    out[i, j] = total",
    "for j in range(n):\n    for k in range(d): out[i, j] += x[j, k] * x[i, k]",
    "for j in range(n):\n    for k in range(1, d): count += v[j, k] * v[i, k - 1]\n    if count > 900: count -= 900",
    "for j in range(n):\n    for k in range(d + 0): count += v[j, k]",
    "for j in range(n):\n    for k in range(d): count += v[j, k]\n    if j == 9: d = 2",
    "for j in range(n):\n    for k in range(d): count += v[j, k]\n    if j == 9: break",
    "for j in range(n):\n    for k in range(d):\n      if v[j, k] == 5: break\n      count += 1",
    "for j in range(n):\n    for k in range(d): count += v[j, k]\n    else: count += 1",
    "for j in range(n):\n    for k in range(d): k = k + 1; count += k",
    "for j in range(n):\n    for d in range(d): count += d",
    "for j in range(n):\n    for k in range(d): total += x[j, k + i]",
    "for j in range(n):\n    for k in range(d): total += 1e200 * x[j, k] * np.float64(1e200)",
    "x[7, 1] = np.nan\n  for j in range(n):\n    total = 0.0\n    for k in range(d): total += x[j, k]\n"
    "    out[i, j] = total",
    "x[7, 1] = -5.0\n  for j in range(n):\n    total = 0.0\n    for k in range(d): total += x[j, k]\n"
    "    out[i, j] = np.sqrt(total)",
]


@pytest.mark.parametrize("body", BODIES)
def test_same(run_both: Any, body: str) -> None:
    run_both(f"{SETUP}\nfor i in range(3):\n  {body}\n  count += k + q", None)


def test_other_numbers(run_both: Any) -> None:
    """The code takes any number, the one that it was made for and others."""
    sites = run_both(
        f"""{SETUP}
def distances(x, d, out):
    for i in range(len(x)):
        for j in range(len(x)):
            total = 0.0
            for k in range(d): total += (x[i, k] - x[j, k]) ** 2
            out[i, j] += total
for number in (3, 3, 1, 2, 0, 3, -1, 3):
    distances(x, number, out)
distances(x, 4, out)
"""
    )
    assert any(
        "special" in each.code.text for site in sites for some in site.kernels.values() for each in some
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("for j in x:\n  for k in range(d): s += k", {"d"}),
        ("for j in x:\n  for k in range(e, d):\n    for q in range(2): s += k", {"d", "e"}),
        ("for j in x:\n  for k in range(3): s += k", None),
        ("for j in x:\n  for k in range(d): d += k", None),
        ("for d in x:\n  for k in range(d): s += k", None),
        ("for j in x:\n  for k in range(m): s += k", None),
        ("for j in x:\n  for k in range(d): s += k\n  while s: s -= 1", None),
        ("for j in x:\n  for k in range(d):\n    if s: break", None),
        ("for j in x:\n  for k in y: s += k", None),
    ],
)
def test_written_out_for(text: str, found: set[str] | None) -> None:
    (node,) = lower.ast.parse(text).body
    given = unroll.written_out_for(node, (("d", 3), ("e", 1)))
    assert (given and given[1]) == found
    if given:
        assert not any(
            isinstance(each, lower.ast.For) for part in given[0].body for each in lower.ast.walk(part)
        )
