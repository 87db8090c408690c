"""Innermost loops in two versions: what is told before the first round, and what must still be looked at in each."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

from minpy.runtime.jit import lower, stepping

SETUP = """
import math
rng = np.random.default_rng(5)
n = 37  # so long that several rounds are done at a time, and some are left
a, b, c = rng.standard_normal(n), rng.standard_normal(n), np.zeros(n)
A, B = rng.standard_normal((n, n)), rng.standard_normal((n, n))
k, w = rng.integers(-9, 9, n), rng.integers(0, 100, n).astype(np.int32)
h, m = rng.random(n).astype(np.float32), rng.random(n) > 0.5
q, t, x, y, z = [1, 2, 3, 4] * 12, "acgt" * 12, 3, 0.5, 0.0
class Holder: pass
o = Holder()
o.n, o.v = 5, rng.random(n)
Z = a + 1j
big, F = np.full(n, 1e200), np.float64(1e200)
"""

# In a loop of three rounds; `i` is its variable.
BODIES = [
    # Bounds: all of them, none, one that is met late, such as count from the end.
    "for j in range(n): c[j] = a[j] * 2 + b[n - 1 - j]",
    "for j in range(1, n - 1): c[j] = a[j] + y * (a[j - 1] - 2.0 * a[j] + a[j + 1])",
    "for j in range(n): c[j] = a[j - 1] + a[j - n]",
    "for j in range(-n, n): c[j] += a[j]",
    "for j in range(n + i): c[j] = a[j]",
    "for j in range(n): c[j] = a[j + i]",
    "for j in range(n - 1, -1, -1): c[j] = a[j] - a[n - 1 - j]",
    "for j in range(n - 1, -3, -1): c[j] = a[j] - b[j]",
    "for j in range(0, n, 3): c[j] = a[j]; c[j + 1] = b[j]",
    "for j in range(0): c[j] = a[j + 99]",
    "for j in range(i): A[j, i] = B[i, j] + A[-1, j]",
    "for j in range(n): A[i, j] = B[j, i] - A[i + 1, j] * B[-2, j]",
    "for j in range(n): A[i][j] = B[j][i]; x = A[j][-1]",
    "for j in range(5): z += A[2 * j + i, 3 * j]",
    "for j in range(n): z += a[(j - 1) * 2 - j + 1]",
    "for j in range(n): z += a[j * 2**62]",
    "for j in range(2**62, 2**62 + 3): z += a[j - 2**62]",
    "for j in range(3): z += a[j + 2**63 - 1]",
    "for j in range(n): z += o.v[j] + a[o.n]; c[j - o.n] = o.v[j]",
    "for j in range(n): a[x] = j; x = j - 1",
    "for j in range(n): c[k[j]] += a[j]; c[j] -= a[k[j]]",
    "for j in range(n): z += q[j] + (t[j] == 'c'); x += (t[j] == t[j - 1])",
    "for j in range(n + 9): z += q[j]",
    "for j in range(n): k = a[j]",
    "for j in range(n):\n    if j > 0: c[j] = a[j - 1] + c[j - 1]\n    else: c[j] = 1",
    "for j in range(n):\n    if a[j] > 0.9: break\n    c[j] = a[j + i]",
    "for j in range(n):\n    if a[j] > 1: continue\n    c[j] = a[j]",
    "for j in range(n):\n    c[j] = a[j]\n  else:\n    x += 1",
    "for j in range(n): j = j + 1; c[j - 1] = j",
    "for j in range(n): c[j] = j * y; a[j] += j; z = c[j] * a[j]",
    "for j in range(i - 1): x = j\n  x += 1",
    # Indices that variables hold.
    "for j in range(1, n - 1):\n    l, r = j - 1, j + 1\n    c[j] = a[l] + a[r]",
    "for j in range(1, n - 1):\n    l = j - 1\n    r = l + 2\n    c[l] = a[j] - b[r]; x = r",
    "for j in range(n):\n    r = j + i\n    c[r] = a[j]",
    "r = 5\n  for j in range(n):\n    c[r] = a[j]\n    r = j",
    "for j in range(n):\n    if m[j]: r = n - 1 - j\n    else: r = j\n    c[r] = a[j]",
    "for j in range(n - 1):\n    r = j\n    c[r] = a[j]\n    r += 1\n    c[r] = b[j]",
    "for j in range(3):\n    r = j + 2**63 - 3\n    c[r - 2**63 + 3] = a[j]",
    "for j in range(3):\n    r = j * 2**62\n    c[r] = a[j]",
    "for j in range(n):\n    r = j + y\n    c[j] = a[j] + r",
    "for j in range(n):\n    r = j * 2.0\n    c[int(r) % n] = a[j]",
    "for j in range(n):\n    r = j - k[i]\n    c[j] = a[r] * b[j]; b[j] = a[j] + r",
    "for j in range(9, 20):\n    r = j - k[i]\n    k[j] = r; c[r] += 1",
    "for j in range(n):\n    continue\n    r = j\n    c[r] = a[j]",
    "for j in range(n // 2):\n    r = 2 * j\n    if r > i: c[r] = a[r + 1] + r\n  z += r",
    # Indices that are made of elements.
    "for j in range(n - 1, k[i], -1): c[j] = a[j - k[i]]; m[j] = a[j] > c[j]",
    "for j in range(9, 20):\n    if a[j] > b[j - k[i]]: c[j] += a[w[i] - j]; m[j] = True",
    "for j in range(9, 20): c[j - k[2 * i]] = a[j - k[i + 1] + q[1]]; b[j] = c[j] + A[w[i] % 9, j]",
    "for j in range(9, 20): k[j] = k[j - k[i]] + 1",
    "k[i] = 3\n  for j in range(1, 20): k[j] = k[j - k[i]] + j",
    "d = k[1:]\n  for j in range(9, 20): d[j] = k[j - k[i]] - j",
    "d, k[:3] = k[:], 2\n  for j in range(2, 20): d[j - k[i]] = d[j] - j * 2 + k[i]",
    "d, k[:3] = k.view(np.uint64), 2\n  for j in range(2, 20): d[j - k[i]] = j % 3",
    "w[i] = 30\n  for j in range(20): c[j] = a[j + w[i]]",
    "def f(x): k[1] = 5; return x\n  for j in range(9, 20): c[j] = a[j - k[1]] + f(y)",
    "for j in range(9, 20): c[j] = a[j - b[i]]",
    # What cannot be compiled after all, in a branch: what comes after it is looked at as ever.
    "if i > 7:\n    for j in range(n): c[j] = (a + 1j)[0].real * o.v[j] * Z[j]\n  c[i] = big[i] * F",
    "if i > 7:\n    for j in range(n): c[j] = Z[j] * a[j]\n  c[i] = big[i] * F",
    "if i > 7:\n    for j in range(n):\n      r = j + 1\n      c[r] = Z[j] * a[r]\n  r = 2**62 * (i + 1)",
    # Memory that is shared.
    "d = a\n  for j in range(n - 1): d[j + 1] = a[j] + 1",
    "d = a[1:]\n  for j in range(n - 1): d[j] = a[j] * 1.5",
    "d, e = a[::2], a[1::2]\n  for j in range(18): d[j] = e[j] - d[j]",
    "d, e = A[i], A[i + 1]\n  for j in range(n - 1): d[j] = e[j] - d[j + 1] + A[i, j + 1]",
    "for j in range(n - 1): a[j + 1] = a[j] + b[j]",
    "for j in range(n - 1): a[j] = a[j + 1] + b[j]",
    "for j in range(n): c[0] = c[0] + a[j]; c[1] += a[j] * c[0]",
    "for j in range(n): c[j] = a[j]; a[j] = b[j]; b[j] = c[j]",
    # What raises and warns.
    "for j in range(n): c[j] = a[j] * (F * F)",
    "for j in range(n): c[j] = F * F",
    "for j in range(n): c[j] = a[j] + j * F",
    "for j in range(3): c[j] = (j + 1) * F * 1e107",
    "for j in range(3): c[j] = F * F * a[j]; a[j] = -F * F",
    "for j in range(n): d = F * 1e200; c[j] = d * a[j]",
    "for j in range(n): d = F; c[j] = d * a[j] + d * F",
    "for j in range(n): c[j] = a[j] + np.sqrt(-F)",
    "for j in range(n): h[j] = 1e300",
    "for j in range(n): h[j] = F",
    "for j in range(n): h[j] = float(F)",
    "for j in range(n): h[j] = -3.5; c[j] = 0; k[j] = 7 - 2 * j; m[j] = 0.5",
    "for j in range(n): c[j] = a[j] / b[j] + 1 / a[j]",
    "big[30] *= 1e99\n  for j in range(n): c[j] = big[j] * 1e20 - big[j]",
    "big[7 * i] = np.inf\n  for j in range(n): c[j] = big[j] * 2 + a[j]",
    "big[7 * i] = np.nan\n  for j in range(n): c[j] = big[j] * 2 + a[j]",
    "b[20] = 0\n  for j in range(n): c[j] = a[j] / b[j]",
    "b[20] = 0\n  for j in range(n): c[j] = j / float(b[j])",
    "a[9] = -1; a[:9] = 4\n  for j in range(n): c[j] = np.sqrt(a[j])",
    "a[:] = 4; a[9] = -i\n  for j in range(n): c[j] = math.sqrt(a[j]) + abs(b[j])",
    "for j in range(n): z = 1e200 * a[j]; c[j] = z * big[j]",
    "for j in range(n): z = big[j] * big[j]",
    "for j in range(n): z = big[j] * big[j]; c[j] = a[j]",
    "for j in range(n): c[j] = float(big[j]) * float(big[j]) * 0.5",
    "for j in range(n): z += float(big[j]) * 1e108",
    "big[3] = np.inf; big[4] = -np.inf\n  for j in range(n): z += big[j]",
    "k[8] = 2**62\n  for j in range(n): k[j] = k[j] + k[j] + i",
    "k[8] = -2**62\n  for j in range(n): k[j] = k[j] - 2**62 - i",
    "k[8] = 2**62\n  for j in range(n): k[j] *= 3",
    "for j in range(n): w[j] = w[j] + 2**31 - 60",
    "for j in range(n): w[j] += w[j - 1]; k[j] -= w[j]",
    "for j in range(n): h[j] = h[j] * a[j] + h[j]; c[j] = h[j]",
    "for j in range(n): h[j] *= 1e20",
    "for j in range(n): m[j] = a[j]; c[j] = m[j] + 1",
    "for j in range(n): k[j] = a[j] * 10",
    "for j in range(n): c[j] = w[j] * y + k[j]",
    # What is looked at after the loop: what it stores in each round, with conditions, and integers that it may leave.
    "for j in range(1, n): k[j] = min(k[j - 1] + 1, k[j] + x, k[j - 1] * 2)",
    "k[9] = 2**63 - 3\n  for j in range(1, n): k[j] = k[j - 1] + (1 if m[j] else 2)",
    "k[9] = 2**62 + 5\n  for j in range(n):\n    x = k[j] * 2 if j > 3 else 0\n    k[j] = x - 1",
    "for j in range(n): k[j] = k[j] // (j - 30) + k[j] % (j - 31)",
    "for j in range(n):\n    if m[j]: c[j] = a[j] / (j - 20)\n    else: c[j] = b[j]",
    "for j in range(n): k[j] = int(a[j] * 1e18 * j)\n",
    "for j in range(n): k[j] = k[j] << (40 + j)",
    "for j in range(n): c[j] = int(big[j] * a[j] * 1e-185) + x",
    "for j in range(n): c[j] = max(z, abs(a[j])) if m[j] and j > 2 else -z; z = c[j] / 2",
    "for j in range(n):\n    if j == 30: big[j] = big[j] * 1e200\n    c[j] = big[j]",
    "for j in range(n):\n    if j == 30: print(j)\n    c[j] = a[j] + 1",
    "for j in range(n):\n    if j == 30: break\n    k[j] += 1",
    "for j in range(n): c[j] = math.log(abs(a[j]) - 0.001 * i)",
    # What runs once more, from its beginning, where it would leave: sums, and stores into the same elements.
    "for j in range(n): z += a[j] * b[j]",
    "for j in range(n): z = z - a[j] * b[j]; x += 1",
    "for j in range(n): z += big[j] * big[j]\n  z = 1.0",
    "big[5] = np.inf\n  for j in range(n): z += big[j] * a[j]\n  z = 1.0",
    "big[5] = np.inf; big[9] = -np.inf\n  for j in range(n): z -= big[j]\n  z = 1.0",
    "big[5] = np.inf\n  for j in range(n): z += a[j] / big[j] + a[j] * 2 / (big[j] + 1)",
    "for j in range(n): z += a[j] / (big[j] * big[j])",
    "for j in range(n): z += float(big[j]) * 1e107 * (1 if j < 36 else i)",
    "for j in range(n): y *= a[j]; z += y",
    "for j in range(n): x += k[j] * 2**60",
    "for j in range(n):\n    if a[j] > 0: z += a[j]\n    else: x = j; y = -a[j]",
    "for j in range(n):\n    if j == 30: x = 'a'\n    z += a[j]",
    "for j in range(n):\n    if z > 4: break\n    z += abs(a[j])",
    "for j in range(n): z += a[j] if z < 9 else big[j] * big[j]",
    "for j in range(n): c[i] += a[j] * b[j]",
    "for j in range(n): c[i] -= big[j] * big[j] * (j - 20)",
    "big[3] = np.inf\n  for j in range(n): c[i] += big[j]; c[i + 1] += c[i]",
    "for j in range(n): A[i, i] = A[i, i] + B[i, j]; A[i, 0] -= A[i, i]",
    "for j in range(n): h[i] += h[j] * 1e37",
    "for j in range(n): k[i] += k[j] * 2**58; z += 1",
    "for j in range(n): w[i] += w[j] * 2**20",
    "d = c[i:]\n  for j in range(n): c[i] += a[j]; d[0] = d[0] * 0.5; d[1] -= big[j] * 1e108",
    "for j in range(n): z += a[k[j]] + t.count('a')",
    "for j in range(n): z += rng.random()",
    "for j in range(n): z += a[j]; q.append(j)",
    # Roots and squares, some of which the C library's pow does not round to the nearest.
    "for j in range(n): z += abs(a[j]) ** 0.5 + float(b[j]) ** 2; c[j] = float(abs(a[j] * 1e3)) ** 0.5",
    "c[:3] = 0.0, -0.0, 5e-324\n  for j in range(n): a[j] = float(c[j]) ** 0.5; b[j] = c[j] ** 2 + float(c[j]) ** 2.0",
    "a[9] = -1\n  for j in range(9, n): c[j] = float(a[j]) ** 2\n  for j in range(n): c[j] = math.pow(a[j], 0.5)",
    "for j in range(n): c[j] = big[j] ** 2",
    # Short loops that the text decides.
    "for j in range(n - 1):\n    for d in range(2):\n      for e in range(2): z = max(z, A[i + d, e])\n    c[j] = z",
    "for j in range(n):\n    for d in range(3): c[j] += a[j - d] * d\n    x = d",
    "for j in range(n):\n    for d in range(3): c[j] = a[j + d]",
    "for j in range(n):\n    for d in range(3):\n      if a[j] > d - 1: break\n      x += d",
    "for j in range(n):\n    for d in range(3): d += 1; x += d",
    "for j in range(n):\n    for d in range(3, 0, -2): x += d\n    else: x -= 1",
    "for j in range(3):\n    for d in range(2): z += sum(a[d] for d in range(2))",
    "for d in range(2): c[d] = a[d + i]; x = d * x",
]


@pytest.mark.parametrize("body", BODIES)
def test_same(run_both: Any, body: str) -> None:
    run_both(f"{SETUP}\nfor i in range(3):\n  {body}", None)


@pytest.mark.parametrize("what", ["raise", "ignore", "warn"])
def test_what_numpy_is_to_say(run_both: Any, what: str) -> None:
    loops = "for i in range(3):\n    for j in range(n): c[j] = big[j] * big[j]"
    run_both(f"{SETUP}\nwith np.errstate(over={what!r}):\n  {loops}", None)


def test_in_a_function(run_both: Any) -> None:
    """Functions that become part of a loop have loops in two versions, too."""
    run_both(
        SETUP
        + """
def step(old, new, y):
    for j in range(1, len(old) - 1):
        new[j] = old[j] + y * (old[j - 1] + old[j + 1])
    return new[1]
for i in range(5):
    z += step(a, c, y) + step(c, a, y) + step(b, b, y)
"""
    )


@pytest.mark.parametrize(
    ("body", "flat"),
    [
        ("c[j] = a[j] + y * b[j]", True),
        ("d = a[j] * 2\n  c[j] = d - a[j + 1]", True),
        ("c[j] += np.sqrt(a[j])", True),
        ("d = a[j] * 2\n  c[j] = a[j]", False),  # nobody would see whether it overflows
        ("d += a[j]\n  c[j] = d", False),
        ("c[j] = d\n  d = a[j]", False),
        ("c[j] = 2 * j + 1\n  a[j] = 0.0\n  b[j] = -2.5", True),
        ("d = y\n  c[j] = d * a[j]", True),
        (
            "c[j] = a[j] * (y * z)",
            False,
        ),  # this product might be moved to where nobody looks whether it overflows
        ("c[j] = j * y", False),
        ("c[j] = y", False),
        ("if a[j] > 0: c[j] = 1 / a[j]", False),
        ("c[j] = a[k[j]]", False),
        ("c[j] = math.exp(a[j])", False),
    ],
)
def test_flat(body: str, flat: bool) -> None:
    """What may be done for several rounds at a time is what a round stores, and nothing else."""
    (loop,) = lower.ast.parse(f"for j in range(n):\n  {body}").body
    plan = stepping.plan_of(loop)
    assert plan is not None and plan.flat == (flat and stepping.HAS_FLAGS)
