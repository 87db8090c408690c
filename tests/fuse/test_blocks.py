"""Blocks of all forms with every engine: the same bits, dtypes, layouts, warnings, errors, and what they leave behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

rng = np.random.default_rng(7)
A = rng.normal(size=(37, 53))
B = np.abs(rng.normal(size=(37, 53))) + 0.1
NAMES: dict[str, Any] = {
    "a": A,
    "b": B,
    "c": A[:, 3].copy(),
    "row": B[0].copy(),
    "f": A.astype(np.float32),
    "g": B.astype(np.float32),
    "h": A.astype(np.float16),
    "i": rng.integers(-9, 9, (37, 53)),
    "u": rng.integers(0, 250, (37, 53)).astype(np.uint8),
    "z": A + 1j * B,
    "m": A > 0,
    "v": rng.normal(size=1000),
    "w": rng.normal(size=1000),
    "t": rng.normal(size=(5, 6, 7, 8)),
    "s": 0.25,
    "k": 3,
    "d": np.float64(0.3),
    "e": np.float32(0.3),
}

FUSED = [
    "x = np.where(np.tanh(a) > 0, np.tanh(a), b)",
    "x = np.where((a > 0) == (b > 1), (a > 0) | (b > 2), m)",
    "x = np.where(a * b > 0, a * b, np.where(a > b, a - b, b))",
    "x = np.tanh(a * b + a) - np.exp(-b)",
    "x = 0.2 * (a[1:-1, 1:-1] + a[:-2, 1:-1] + a[2:, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:])",
    "b[1:-1, 1:-1] = 0.2 * (a[1:-1, 1:-1] + a[:-2, 1:-1] + a[2:, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:])",
    "a[1:-1, 1:-1] = 0.2 * (a[1:-1, 1:-1] + a[:-2, 1:-1] + a[2:, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:])",
    "v[1:] = v[:-1] + 1 * w[1:]",
    "v[:-1] = v[1:] * 2 + v[:-1]",
    "v[:] = v * 2 + w",
    "v[::2] = w[::2] * 2 + w[1::2]",
    "x = v[::2] * w[1::2] + v[1::2]",
    "v[::2] = w[:500] * 2 + w[500:]",
    "a[:, ::2] = b[:, :27] * 2 + b[:, 26:]",
    "a[::3] = b[:13] * 2 + b[13:26]",
    "v[::2] = i[0, 0] * w[:500] + w[500:]",
    "x = c[:, None] * 2 + c[:, None]",
    "x = np.broadcast_to(s * row, b.shape); y = x * 2 + b",
    "x = v[:-1:3] * 2 + w[:333]",
    "x = f * 0.1 + g",
    "x = f * s + g * d - e",
    "x = h * 0.1 + h",
    "x = f + a * 2",
    "f[:] = a * 2 + b",
    "i[:] = i * 2 + 1",
    "x = i * 2 + 1",
    "x = i / 3 + i",
    "x = i * a - b",
    "x = i // 4 + i % 5",
    "x = u + u * 2",
    "x = z * z + 1j * z",
    "x = np.abs(z * z) - a",
    "x = (i & 7) | (i ^ 3)",
    "x = ~m & (a < b) | (b > 3)",
    "x = (a < 0) & (b > 3)",
    "x = np.where(a > 0, a * b, -b)",
    "x = np.where(m, a, 0.0) + b",
    "x = np.where(m, i, 2) + i",
    "x = np.maximum(v * w, 0) + 1",
    "x = np.sqrt(np.abs(a)) / b",
    "x = a ** 2 + b ** 0.5 - b ** -1 + b ** 3 + abs(a)",
    "x = b ** a + a * 1",
    "x = 2.0 ** a - 1",
    "x = np.power(b, 2) - a",
    "x = -a * +b",
    "x = a * b + row",
    "x = a * c[:, None] + row[None, :]",
    "x = np.exp(-c[:, None]) * row + row * row[None, :]",
    "x = a * s ** 2 / (1 + k) + b * (k - 1)",
    "x = a * d / (1 + k) + b",
    "x = t * t + 1.5",
    "x = t[1:-1, :, 2:, 1:] * t[2:, :, :-2, :-1] + 1.5",
    "x = t[:, 2] * t[:, k] + 1.5",
    "x = a.T.T * b + 1",
    "b.flags.writeable = False\nb[:] = a * 2 + 1",
    "a += b * s + a",
    "a[1:-1] += s * (a[2:] - a[:-2])",
    "a *= b - 1\na -= np.exp(-b)\na /= b * b + 1",
    "n = len(c) - 1\nx = a[1:n, 1:n - 1] - a[0:n - 1, 0:n - 2] * 2",
    "def f2(p, q):\n    r = p * q\n    r[:, 1:] = r[:, :-1] - p[:, 1:] * 2\n    return r * p - q\nx = f2(a, b)",
    "x = [p * 2 + a for p in (a, b)]",
    "x = (lambda p, q: p[:] * q + p)(a, b)",
    "x = (a\n     * b +\n     a)\ny = np.sin(a) \\\n  + b",
    "class C:\n    def __init__(self): self.u = np.zeros(9) + np.arange(9.0); self.dt = 0.1\n"
    "    def step(self):\n        self.u = self.u + self.dt * self.u ** 2\n        self.u[1:] = self.dt * self.u[:-1] + 1\n"
    "        self.u += self.dt * self.u - 1\no = C()\nfor _ in range(3): o.step()",
    "class S:\n    __slots__ = ('u',)\no = S(); o.u = a.copy()\nx = o.u * o.u[:] + b\ndel o",
    "x = np.isnan(a / b) | np.signbit(a)",
    "x = a == b * 1.0",
    "x = np.hypot(a, b) * np.arctan2(a, b)",
    "x = np.logical_and(a > 0, b > 0)\ny = np.logical_not(m) ^ m",
    "with np.errstate(all='ignore'):\n    x = a / 0 + np.log(-b)",
    "with np.errstate(divide='ignore'):\n    x = a / (b * 0.0)",
]


@pytest.mark.parametrize("text", FUSED)
def test_blocks(text: str, run_all) -> None:
    run_all(text, **NAMES)


COMPILED = [
    "x = a * b + a",
    "b[1:-1, 1:-1] = 0.2 * (a[1:-1, 1:-1] + a[:-2, 1:-1] + a[2:, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:])",
    "x = f * 0.1 + abs(g)",
    "x = np.where((a > 0) & ~(b < 1), -a, np.sqrt(b)) / b",
    "x = a * row + c[:, None] * d",
    "x = t[1:-1, :, 2:, 1:] ** 2 * t[2:, :, :-2, :-1] + 1.5 / k",
]


@pytest.mark.parametrize("text", COMPILED)
def test_what_must_be_compiled(text: str, run_all) -> None:
    run_all(text, compiled=True, **NAMES)


def test_a_choice_that_depends_on_the_place_is_noticed(monkeypatch) -> None:
    from minpy.runtime.fuse import plan

    def uneven(a: Any, b: Any) -> Any:
        return np.where(np.arange(len(a)) % 4 == 3, a, b)

    monkeypatch.setitem(plan.FUNCTIONS, "maximum", uneven)
    plan._is_even.cache_clear()
    assert not plan._is_even("maximum", "d") and plan._is_even("maximum", "l")
    plan._is_even.cache_clear()


# Errors or warnings under NumPy 2, and another dtype under NumPy 1.
DIFFERENT = [
    "x = f * 1e300 + g",
    "x = u * 300 + u",
    "x = i * 2**70 + i",
    "x = f * np.float64(0.1) + f",
    "x = u - 1 * u",
]


@pytest.mark.parametrize("text", DIFFERENT)
def test_what_numpys_releases_see_differently(text: str, run_all) -> None:
    run_all(text, fused=None, **NAMES)


AS_WRITTEN = [
    "x = a[0, 0] * a[1:1, 1] + 1",  # nothing in it
    "x = np.zeros(0) * 2 + 1",
    "x = a.T * b.T + 1",
    "x = a[::-1] * b + 1",
    "x = a.astype(object) ; y = x * 2 + x",
    "x = np.ma.masked_array(v, v > 0)\ny = x * 2 + x[:]",
    "x = np.matrix(b[:, :37]); y = x * x + x[:]",
    "class N(np.ndarray): pass\nx = v.view(N); y = x * 2 + x[:]",
    "x = a.astype('>f8'); y = x * 2 + x[:]",
    "x = np.array('2020', 'M8[D]'); y = x + v.astype(int)[:] * np.timedelta64(1, 'D')",
    "x = np.array(2.5); y = np.exp(x * 2) + x",
    "x = a / (b * 0.0)",
    "x = np.log(a[:] * 1)",
    "x = np.sqrt(a - 100)\ny = 1",
    "x = np.exp(b * 1e5) - 1",
    "b[1:] = a[1:] / (0 * a[1:])",
    "v[1:] = v[:-1] / (0 * v[1:])",
    "x = i // (i * 0)",
    "x = f * 3e38 * 10 + g",
    "x = np.float32(3e38) * f[:] * 10",
    "try:\n    x = a * b + v\nexcept ValueError as e: q = str(e)",
    "x = a * b[:, :4] + 1",
    "x = a[1:, 60] * 2 + b[1:, 3]",
    "x = a[:, :, 1:] * 2 + b",
    "x = -m * 1",
    "x = i ** -2 + i",
    "x = a * s / (k - 3) + b",
    "x = a * d / (d - d) + b",
    "with np.errstate(all='raise'):\n    x = a / (b * 0) + 1",
    "with np.errstate(under='warn'):\n    x = np.exp(a * 1e-300) * 1e-300",
    "x = a * 'no' + b[:]",
    "x = a[:] * [1, 2] + b",
    "x = [1, 2] * k\ny = x * 2 + x[:]",
    "x = 'ab'[:] * 2 + 'c'",
    "x = a[s:] * 2 + b",
    "x = a[True:] * 2 + b",
    "class P:\n    count = 0\n    @property\n    def u(self): P.count += 1; return a\np = P()\nx = p.u[:] * 2 + p.u\ny = P.count",
    "class P:\n    seen = []\n    def __getattr__(self, n): P.seen.append(n); return a\np = P()\nx = p.u[:] * 2 + p.v\ny = P.seen",
    "class I:\n    n = 0\n    def __index__(self): I.n += 1; return 2\ni0 = I()\nx = a[i0:] * 2 + b[2:]\ny = I.n",
    "class K:\n    n = 0\n    def __radd__(self, o): K.n += 1; return 'x'\n    __array_ufunc__ = None\nx = a[:] * 2 + K()\ny = K.n",
    "x = a[:] * 2 + nothing",
    "def q():\n    x = a[:] * 2 + y\n    y = 1\nq()",
    "np2 = np\ntanh = np.tanh\ntry:\n    np.tanh = lambda v: v * 0\n    x = np.tanh(a * 2) + b\nfinally:\n    np.tanh = tanh\nprint",
]


@pytest.mark.parametrize("text", AS_WRITTEN)
def test_as_written(text: str, run_all) -> None:
    run_all(text, fused=False, **NAMES)
