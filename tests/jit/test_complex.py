"""Complex numbers in loops, Python's and NumPy's, alone and in arrays: compiled and as written."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

SETUP = """
rng = np.random.default_rng(5)
n = 7
a = rng.standard_normal(n) + 1j * rng.standard_normal(n)
b = rng.standard_normal(n) - 1j * rng.standard_normal(n)
c = (rng.standard_normal((n, n)) + 1j * rng.standard_normal((n, n)))
v = rng.standard_normal(n)
k = rng.integers(-5, 5, n)
m = v > 0
x, y, z, s = 1, 0.5, 1 - 2j, 0j
"""

# Whether a loop of it is compiled, and the text.
PROGRAMS = [
    (True, "for i in range(n): z = z * (0.3 + 0.4j) + i"),
    (True, "for i in range(n): z = (z - y) / (1.5 - 2j) - x / z; s = -z + +s"),
    (True, "for i in range(n): s = s + z / (2 + i) + (i + 1) / z + y / (2j - i)"),
    (True, "for i in range(n): s = z / (0.5 + 3j); z = s / (3 - 0.5j) + 1"),
    (True, "for i in range(n): x = abs(z); y = z.real * z.imag; z = complex(y, x) * 0.5"),
    (True, "for i in range(n): z = complex(i); s = complex(z); t = complex(i, y)"),
    (
        True,
        "for i in range(n):\n  if z == 1 - 2j: x += 1\n  if z != s: x += 2\n  if z: x += 4\n  if not s: x += 8",
    ),
    (True, "for i in range(n): z *= 1j; z += v[i]; z -= 0.5; s = -0.0 * z"),
    (True, "for i in range(40):\n  z = z * z * 0.1 + (0.2 + 0.1j)\n  if abs(z) > 2: break"),
    (True, "def f(p, q): return p * q + 1j, abs(p)\nfor i in range(n): z, y = f(z, 0.5j)"),
    (True, "for i in range(n): z = a[i] * b[i] + c[i, 0]; s = a[i] - b[-i - 1]"),
    (True, "for i in range(n): a[i] = z; c[i, i] = x; b[i] = v[i]; c[0, i] += 2; a[i] -= 1j"),
    (True, "for i in range(n): y = a[i].real + a[i].imag * 2"),
    (True, "for i in range(n): a = a + b; b = a - v; a = a + k; b = b + 1j; a = a - y"),
    (True, "for i in range(n): a = a * b * 0.5"),
    (True, "for i in range(n): a = a * 0.5j + v * 1j; b = k * 2j + b / 3; a = a / (1 + 2j)"),
    (True, "for i in range(n): a = a / b; b = 1 / b + v / b"),
    (True, "for i in range(n): a = np.exp(a * 0.1); b = a ** 2 * 0.1"),
    (True, "for i in range(n): v = abs(a) + np.abs(b); a = a * v"),
    (True, "for i in range(n): a[1:] = a[:-1]; a[::2] += 1; c[:, i] *= 2j; c[i] = a * b"),
    (True, "for i in range(n): e = a[i:].copy(); f = e * b[i:]; a[i:] = e + f; b[i:] = e - f"),
    (True, "for i in range(n): a[m] = b[m] * 2; b[abs(b) > 1] = 0; a[k] = 1j"),
    (
        True,
        "d = c.real > 0\nfor i in range(n): c[d] = c[d] ** 2 * 0.3 + c[d]; a[m] = a[m] * b[m] - a[m]; d = abs(c) < 2",
    ),
    (
        True,
        "for i in range(n): a = a * b * (0.3 - 0.5j) + a * v; b = np.square(b) * 0.3 - 1j; c = c * c * 0.2",
    ),
    (True, "for i in range(n): a[::2] *= b[::2]; b *= 0.9j; c[i] = c[i] * a * 0.5; a[1:] = a[1:] * a[:-1]"),
    (None, "for i in range(n): a = a * 1e200 * b"),
    # Inside a circle, on it, so near that rounding decides; radii that are no such.
    (
        True,
        "for i in range(n): w = abs(c) < 1.5; k[0] += w.sum(); m = np.greater_equal(np.abs(a), y); k[1] += m.sum()",
    ),
    (
        True,
        "for i in range(n): a[i] = 3 - 4j; a[2] = 5j; m = np.less(abs(a), 5); w = abs(a) <= 5.0; u = 5.0 > abs(a[::2])",
    ),
    (
        True,
        "for i in range(n): e = 0 < np.absolute(c[:, ::2]); w = np.less_equal(-1.0, abs(a)); u = abs(c) > 1e-200",
    ),
    (
        True,
        "for i in range(n): e = abs(c) < abs(c * 1j); w = np.greater(abs(a), v); u = abs(a * 1e120) < 1e140 + y",
    ),
    (True, "for i in range(n): w = abs(v) < 1; u = np.less(abs(k), 2)"),
    (None, "for i in range(n): e = abs(c.T) < 1.5"),
    (None, "a[0] = np.inf\nfor i in range(n): m = abs(a) < 2"),
    (None, "a[0] = np.nan\nfor i in range(n): m = abs(a) < 2; w = abs(b) < np.nan; u = abs(b) > np.inf"),
    (None, "a[0] = 1e200 + 1e200j\nfor i in range(n): m = abs(a) < 2; w = abs(a * 1e150) > 2"),
    (True, "for i in range(n): v = a.real - b.imag; a.real[i] = 3; b = a.conj() + np.conj(b)"),
    (
        True,
        "for i in range(n): s = np.zeros(4, dtype=complex); s[1:] = z; t = np.zeros((2, 2), dtype=np.complex128)",
    ),
    (True, "for i in range(n): c = c * 0.5j + c; e = c.T + 1; e[0] = i"),
    (True, "for i in range(n): a = np.where(m, a, b) + v.astype(complex); m = a == b"),
    (True, "half = 4\nfor i in range(n): e = np.exp(-2j * np.pi * np.arange(half) / (i + 8)); a[:4] = e"),
    (True, "for i in range(n): e = a * 1; e *= b; c *= 0.3j; c[1:, 2] *= b[1:]; a[m] *= b[m]; a[k] *= b[k]"),
    # One alone is rounded differently where it is multiplied in place.
    (None, "e = a[:1].copy()\nfor i in range(n): e *= b[:1]"),
    (None, "e = a[:1] * 1\nfor i in range(n): f = e * 1; f *= b[:1]; e = f + 0.1"),
    (None, "for i in range(n): m = np.arange(n) == i; a[m] *= b[m]; b[m] *= c[i, m]"),
    (None, "for i in range(n): p = np.array([i]); a[p] *= b[p]; c[p, i] *= b[p]"),
    # What overflows, divides by zero, or is left to Python.
    (None, "for i in range(n): z = z * 1e200"),
    (None, "for i in range(n): z = z / (i - 3)"),
    (None, "for i in range(n): z = a[i] / 0"),
    (None, "for i in range(n): a = a * 1e200"),
    (None, "for i in range(n): a[i] = np.inf; b = a + 1; b = a * 2"),
    (None, "for i in range(n): a = a / (i - 3)"),
    (None, "for i in range(n): v[i] = a[i]"),
    (None, "for i in range(n): v = v + a"),
    (None, "for i in range(n): v += a"),
    (None, "for i in range(n): y = z < s"),
    (None, "for i in range(n): y = a.sum(); z = a.max(); s = a @ b"),
    (None, "for i in range(n): z = z ** 2; s = z ** 0.5; t = a ** 3"),
    (None, "for i in range(n): z = z // 2"),
    (None, "for i in range(n): x = int(z)"),
    (None, "for i in range(n): z = a[i] * 2 if i % 2 else 1.0"),
    (None, "found = []\nfor i in range(n): found.append(z)"),
    (None, "for i in range(n): z = complex('1j') * z"),
]


@pytest.mark.parametrize(("compiled", "text"), PROGRAMS)
def test_same(run_both: Any, compiled: bool | None, text: str) -> None:
    run_both(SETUP + text, compiled=compiled)
