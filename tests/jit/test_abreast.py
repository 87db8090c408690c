"""Loops over columns, several of which are worked on at a time; products of vectors with gaps, in BLAS' order."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

from minpy.runtime.jit import abreast, lower, numpy_loops

SETUP = """
rng = np.random.default_rng(8)
n, m, p = 3, 7, 21
a, b, c = rng.standard_normal((m, p)), rng.standard_normal((m, p)), rng.standard_normal((m, p))
q, r, v, w = rng.standard_normal((m, m)), rng.standard_normal((p, p)), rng.standard_normal(m), np.zeros(p)
f, g, t = a.astype(np.float32), np.arange(m * p).reshape(m, p), rng.standard_normal((n, m, p))
x, y, s, j = 0.5, 3, 0.0, -7
"""
AFTER = "\n  y = j"

BODIES = [
    "for j in range(i, p):\n    r[i, j] = np.dot(q[:, i], a[:, j])\n    a[:, j] -= q[:, i] * r[i, j]",
    "for j in range(p):\n    r[i, j] = q[:, i] @ a[:, j]; a[:, j] = a[:, j] - r[i, j] * q[:, i]",
    "for j in range(i, p): r[i, j] -= r[i, :i] @ r[:i, j]",
    "for j in range(i + 4, p): r[i + 4, j] -= r[i + 4, :i + 4] @ r[:i + 4, j]",
    "for j in range(p): w[j] = v @ a[:, j]",
    "for j in range(p): w[j] += np.dot(a[:, j], v) * x - y",
    "for j in range(p): w[j] = v.dot(a[:, j])",
    "for j in range(p): w[j] = np.dot(a[:, j], a[:, j])",
    "for j in range(p): s = v @ a[:, j]; a[:, j] -= s * v; w[j] = s",
    "for j in range(p): s = v @ a[:, j]; s *= 2; w[j] = -s",
    "for j in range(p): a[:, j] /= w[j] + 2.5",
    "for j in range(p): a[:, j] = b[:, j] * x + c[:, j] / (1 + i)",
    "for j in range(p): a[1:, j] -= b[:-1, j] * v[1:]; a[0, j] = x",
    "for j in range(p): a[:, j] -= a[i, j] * v",
    "for j in range(p): a[:, j] -= (v @ a[:, j]) * v",
    "for j in range(p): a[:, j] = x",
    "for j in range(p): a[::2, j] -= b[::2, j] * q[::2, i]",
    "for j in range(p): t[i, :, j] -= t[i, 2, j] * v; w[j] = t[i, :, j] @ v",
    "for j in range(i + 1, p): a[:, j] -= a[:, i] * x",
    "for j in range(i): a[:, j] -= a[:, i] * (a[:, i] @ a[:, j])",
    "for j in range(i + 1, p): a[:, j] -= a[:, i] * (b[i, i] / b[i, j])",
    # What a column needs of the one before; columns that are none; rows; indices from the end.
    "for j in range(1, p): a[:, j] -= a[:, j - 1] * x",
    "for j in range(p): s = s + v @ a[:, j]; w[j] = s",
    "for j in range(p): w[j] = s; s = v @ a[:, j]",
    "for j in range(i, p): a[:, j] -= a[:, i] * x",
    "for j in range(p): w[j] = w[0] + v @ a[:, j]",
    "for j in range(m): w[j] = v @ q[j, :]",
    "for j in range(-2, 5): w[j] = v @ a[:, j]",
    "for j in range(p, 0, -1): w[j - 1] = v @ a[:, j - 1]",
    "for j in range(0, p, 2): w[j] = v @ a[:, j]",
    "for j in range(p): a[1:, j] = a[:-1, j] * x",
    "for j in range(p): a[:, j] = a[::-1, j] * x",
    "for j in range(p): w[j] = j * (v @ a[:, j])",
    # Few columns, or none; few rows, or none.
    "for j in range(i): w[j] = v @ a[:, j]",
    "for j in range(p): w[j] = v[:i] @ a[:i, j]; a[:i, j] *= 2",
    "for j in range(p): w[j] = np.dot(v[:i], a[:i, j])",
    "v[:] = 0; a[:1] = -1\n  for j in range(p): w[j] = np.dot(v[:1], a[:1, j]); c[0, j] = v[:1] @ a[:1, j]",
    # Other types, layouts and shapes.
    "for j in range(p): f[:, j] -= f[i, j] * x",
    "for j in range(p): w[j] = v @ g[:, j]",
    "for j in range(m): w[j] = v @ q.T[:, j]",
    "e = np.asfortranarray(a)\n  for j in range(p): w[j] = v @ e[:, j]",
    "for j in range(p): w[j] = v[::-1] @ a[:, j]",
    "e = a[:, ::2]\n  for j in range(9): w[j] = v @ e[:, j]",
    "e = a[:, 3:]\n  for j in range(p - 3): w[j] = v @ e[:, j]; e[:, j] -= v * w[j]",
    "for j in range(p): a[:, j] = v[2:3]",
    # Out of bounds, and shapes that do not fit.
    "for j in range(p + i): w[j] = v @ a[:, j]",
    "for j in range(p): w[j] = v @ a[:m - i, j]",
    "for j in range(p): a[:, j] -= v[i:] * x",
    "for j in range(p): w[j] = v[y + 9 * i] * (v @ a[:, j])",
    # Memory that is shared.
    "e = a[:, 1:]\n  for j in range(p - 1): e[:, j] -= a[:, j] * x",
    "e = a[:]\n  for j in range(1, p): a[:, j] -= e[i, 0] * v; w[j] = e[:, 2] @ a[:, j]",
    "e = r[0]\n  for j in range(p): e[j] = q[:, i] @ r[:m, j]",
    "e = np.lib.stride_tricks.as_strided(w, (m, p), (0, 8))\n  for j in range(p): e[:, j] += a[:, j]",
    "for j in range(p): v[:] = 2; w[j] = v @ a[:, j]",
    "for j in range(p): r[:, j] = r[:, j] - x; r[j, j] = 1",
    # What is warned of, and what is not.
    "b[3, 5] = np.nan\n  for j in range(p): w[j] = v @ b[:, j]",
    "b[3, 5] = np.inf\n  for j in range(p): w[j] = v @ b[:, j]; b[:, j] = b[:, j] / (w[j] + 1)",
    "b[3, 5] = 1e300; v[3] = 1e300\n  for j in range(p): w[j] = v @ b[:, j]",
    "b[3, 5] = 1e300; v[3] = 1e300\n  for j in range(p): c[:, j] = v / (b[3, j] * 1e300)",
    "b[3, 5] = 0\n  for j in range(p): c[:, j] = v / b[3, j]",
    "b[:] = 0; v[:] = 0\n  for j in range(p): c[:, j] = v / b[3, j]",
    "b[3, 5] = np.inf\n  for j in range(p): c[:, j] = b[:, j]",
    "for j in range(p): c[:, j] = v * (x / (i - 1))",
]


@pytest.mark.parametrize("body", BODIES)
def test_same(run_both: Any, body: str) -> None:
    run_both(f"{SETUP}\nfor i in range(n):\n  {body}{AFTER}", None)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("for j in range(9): r[k, j] = q[:, k] @ a[:, j]", True),
        ("for j in range(9): a[k, j] -= a[k, :k] @ a[:k, j]", True),
        ("for j in range(9): s = q[:, k] @ a[:, j]; a[:, j] -= q[:, k] * s", True),
        ("for j in range(9): a[j, j] -= a[j, :k] @ a[:k, j]", True),
        ("for j in range(9): a[j, :] -= a[k, j] * a[:, j]", False),
        ("for j in range(9): w[j] = a[k, j]", False),
        ("for j in range(9): a[:, j] @= b", False),
        ("for j in range(9):\n  if k: a[:, j] = 0", False),
        ("for j in range(9): a[:, j] = 0\nelse: pass", False),
        ("for j, k in z: a[:, j] = 0", False),
    ],
)
def test_which_loops(text: str, found: bool) -> None:
    assert abreast.is_over_columns(ast.parse(text).body[0]) is found


@pytest.mark.parametrize(
    ("text", "several"),
    [
        (BODIES[0], True),
        (BODIES[3], True),
        (BODIES[8], True),
        ("for j in range(1, p): a[:, j] -= a[:, j - 1] * x", False),
        ("for j in range(p): a[1:, j] = a[:-1, j] * x", False),
    ],
)
def test_several_at_a_time(run_both: Any, monkeypatch: pytest.MonkeyPatch, text: str, several: bool) -> None:
    found = []
    plain = lower.lower

    def lowered(*arguments: Any) -> Any:
        code = plain(*arguments)
        found.append("llvm.masked.store" in code.text)
        return code

    monkeypatch.setattr(lower, "lower", lowered)
    monkeypatch.setattr("minpy.runtime.jit.kernel.lower", lowered, raising=False)
    run_both(f"{SETUP}\nfor i in range(n):\n  {text}{AFTER}")
    assert found and all(each is several for each in found)


PROGRAM = """
import numpy as np
from minpy.runtime.jit import numpy_loops
rng = np.random.default_rng(0)
order = numpy_loops.spread_order()
assert order, "BLAS adds in another order"
sums = {"four": numpy_loops.spread_product, "pairs": numpy_loops.spread_product}
for count in range(2, 40):
    for one, other in ((1, 4), (3, 1), (5, 2)):
        x, y = rng.standard_normal(count * one)[::one], rng.standard_normal(count * other)[::other]
        if order == "fused":
            found = numpy_loops._fused_spread_product(x.tolist(), y.tolist())
        else:
            found = numpy_loops.spread_product(x.tolist(), y.tolist(), order)
        assert found == x @ y == np.dot(x, y), (order, count)
print(order)
"""


@pytest.mark.skipif(
    "openblas" not in str(np.__config__.CONFIG["Build Dependencies"]["blas"].get("name", "")).lower(),
    reason="NumPy uses another BLAS here",
)
def test_orders_of_blas() -> None:
    """OpenBLAS has three, by the processor: whichever it is told to take is found."""
    if not numpy_loops.spread_order():
        pytest.skip("BLAS adds in an order of its own here: products are calls then")
    environment = {**os.environ, "OPENBLAS_CORETYPE": "Haswell"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() in ("four", "pairs", "fused")
