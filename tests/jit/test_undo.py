"""Rounds that are left after they have stored: what they stored over is put back, from a log or from copies."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

from minpy.runtime.jit import kernel, undo

SETUP = """
import math
n, m = 7, 40
a, b, t = np.arange(n * m).reshape(n, m) * 1.0, np.arange(n * m).reshape(n, m) % 11, np.zeros((n, m, 3))
f, z, s = a.astype(np.float32), a * (1 + 2j), b.astype(np.int8)
v, w, far = np.arange(12.0), np.arange(12) + 3, 2**62
turned, every, back = np.zeros((m, n)).T, np.zeros((n, 2 * m))[:, ::2], np.zeros(m)[::-1]
x = y = np.zeros(5)
q = 0
def put(c, i, j, d):
  c[i, j] = d
  return math.sqrt(4 - i)
"""

# Of a loop over `i` from 0 to 6; they are left when `i` is 5, if not before.
LOGGED = [
    "v[i] = i; v[i] = math.sqrt(4 - i)",
    "v[i] += 1\nw[i] = 3 // (w[i] - 8)",
    "v[i] += 1\nif i % 2: v[i + 1] = 7\nv[i + 2] -= 1\nw[i] = 3 // (i - 5)",
    "s[i, 3] = 7; z[i, 2] *= 2; f[i, 1] = 0.1\nq = 1 // (5 - i)",
    "for j in range(m): a[i, j] = b[i, j] * 2\nq = 1 // (5 - i)",
    "for j in range(m): b[i, j] = b[i - 1, j] + b[i, j - 1] if i else j\nq = 1 // (5 - i)",
    "for j in range(m): b[i, j] = b[i, j - 1] + (far if i == 5 else 1)",
    "for j in range(m):\n  a[i, j] = a[i, j - 1] + 1\n  if j == 17: q = 1 // (5 - i)",
    "for j in range(m - 1, -1, -2): s[i, j] = i; z[i, j] = j + 0j\nq = 1 // (5 - i)",
    "for j in range(m): turned[i, j] = i + j; every[i, j] = i; f[i, j] /= 3\nq = 1 // (5 - i)",
    "for j in range(m):\n  for k in range(3): t[i, j, k] = i + j * k\nq = 1 // (5 - i)",
    "for j in range(m):\n  for k in range(3):\n    if j % 3: t[i, j, k] += 2\n  q = 1 // (5 - i)",
    "for j in range(m): q = put(a, i, j, 2.5)",
    "for j in range(m):\n  a[i, j] = j\n  if j > 9 + i: break\nelse: q = 7\nv[i] = 1 // (5 - i)",
    "a[i] = b[i] * 2; q = 1 // (5 - i)",
    "a[i, 2:9] += 1; turned[i] = 3; every[i] = v[i]; t[i] = 2; q = 1 // (5 - i)",
    "a[i : i + 2] *= 2; t[i : i + 2, :, i // 3] = 4; q = 1 // (5 - i)",
    "a[i] = a[i] * 1e300; v[i] = np.exp(a[i, 1] * (1e300 if i == 5 else 0))",
    "x = a[i].copy(); y = np.roll(x, 2); b[i] = y; x = y; v[i] = 1 // (5 - i)",
    "x = a[i].copy(); b[i] = 3; y = x; q = y[3] + x[1]; v[i] = 1 // (5 - i)",
    "for j in range(3): x = a[i] + j; b[i, j] = x.argmax(); y = x\nq = 1 // (5 - i)",
]
# Each round stores into the same elements, or into what it makes.
COPIED = [
    "for j in range(m): a[3, j] += i\nq = 1 // (5 - i)",
    "for j in range(m): back[j] = i; b[j % 7, j] = i\nq = 1 // (5 - i)",
    "a[1:] += 1; q = 1 // (5 - i)",
    "a[b > 4] = i; q = 1 // (5 - i)",
    "x = a[i] + 1; y = x * 2; b[i] = 3; v[i] = x[1] + y.sum(); x[2] = 0; q = 1 // (5 - i)",
    "x = np.zeros(4); x[1] = i; v[i] = 2; q = 1 // (5 - i)",
    "j = 0\nwhile j < m: a[i, j] = i; j += 1\nq = 1 // (5 - i)",
]


@pytest.fixture
def codes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The codes that are made while a log pays for any array."""
    monkeypatch.setattr(undo, "LEAST", 0)
    found, lower = [], kernel.lower
    monkeypatch.setattr(kernel, "lower", lambda *each: found.append(lower(*each)) or found[-1])
    return found


def program(body: str) -> str:
    return f"{SETUP}\nfor i in range(n):\n  " + body.replace("\n", "\n  ") + "\n"


@pytest.mark.parametrize("body", LOGGED)
def test_from_a_log(run_both: Any, codes: list[Any], body: str) -> None:
    run_both(program(body))
    assert codes[-1].clean and "@put_back" in codes[-1].text


@pytest.mark.parametrize("body", COPIED)
def test_from_copies(run_both: Any, codes: list[Any], body: str) -> None:
    run_both(program(body))
    assert not codes[-1].clean and "@put_back" not in codes[-1].text


def test_a_log_that_grows(run_both: Any, codes: list[Any]) -> None:
    text = "a = np.zeros((4, 9000))\nfor i in range(4):\n  for j in range(9000): a[i, j] = i + j\n"
    run_both(f"{text}  a[i, 7] = 1 // (3 - i)\n")
    assert codes[-1].clean and "@put_back" in codes[-1].text


def test_little_is_copied(run_both: Any, codes: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undo, "LEAST", 1 << 16)
    run_both(program(LOGGED[4]))
    assert "@put_back" not in codes[-1].text
