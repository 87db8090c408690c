"""Small arrays in loops: views, slices, rows, reductions, products, new arrays; compiled and as written."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

SETUP = """
rng = np.random.default_rng(1)
n = 6
a = rng.standard_normal((n, n))
b = rng.standard_normal((n, n))
v = rng.standard_normal(n)
w = rng.standard_normal(n)
k = rng.integers(-4, 5, n)
c = rng.integers(-4, 5, (n, n))
h = rng.random(n).astype(np.float32)
m = v > 0
p = rng.permutation(n)
x, y, z = 1, 0.5, True
V = rng.standard_normal(75)  # so long that several elements are worked on at a time
A = rng.standard_normal((5, 75))
D, E = rng.standard_normal((4, 5, 3)), rng.standard_normal((4, 5, 3))
"""

LOOPS = [
    "for i in range(n): a[i, :] = b[i, :]",
    "for i in range(n): a[i] = b[n - 1 - i]",
    "for i in range(n): a[:, i] -= b[:, i] * v[i]",
    "for i in range(n): a[i, i:] -= y * a[0, i:]",
    "for i in range(1, n): a[i] -= a[i - 1] * 0.5 + v",
    "for i in range(n): v[1:] = v[:-1] + 1",
    "for i in range(n): v[1:] += v[:-1]",
    "for i in range(n): v[:-1] = v[1:] * v[0]",
    "for i in range(n): v[::-1] = v * 2",
    "for i in range(n): V[1:] += V[:-1]; V[:-1] -= V[1:] * 0.5; V[::-1] += V",
    "for i in range(n): V *= 0.5; V += V[::-1]; V[3:] = V[:-3]; V[:-3] = V[3:] + V[:-3]",
    "for i in range(n): A[1:] += A[:-1]; A -= A[::-1]; A += A[0]; A[:, 1:] *= A[:, :-1]; A -= V",
    "for i in range(n): A.T[1:] += A.T[:-1]; V[::2] += V[1::2].sum(); V[2::2] -= V[:-2:2]",
    "for i in range(n): v[::2] = v[1::2] - i",
    "for i in range(n): D = D * 0.5 + E; E -= D ** 2; D[:, 1:] *= E[:, :-1]; D[1:] += E[:-1]; E[::2] = D[::2] + 1",
    "for i in range(n): D = D[:, :, :1] * E + E[0] - E[:, :1]; E = np.sqrt(abs(D)) * D[..., ::-1]",
    "for i in range(n): D = D[:2] * E[:2]; E = E.copy() + D[0]; D = E[:, :4] - E[:, 1:]",
    "for i in range(n): T = A.T * 2; T = T + T; A = T.T - A; A[:, :40] = A[:, 35:]; A = np.triu(A) + np.roll(A, 1, 1)",
    "for i in range(n): T = A > 0.5; T = T & (A < 1); A = np.where(T, A * 2, A) - T; A[T] = i",
    "for i in range(n): D *= 1e200; E += D",
    "for i in range(n): T = D[:, :, :1] * 2; T = T - T * E[:, :, :1]; U = D[:1] * 2; U = U - U * 3; D = D + T + U",
    "for i in range(n): V[::2] = (V[:38] * 2 + i) * V[:38] / 3 - V[37:] * 0.5 + V[1:39] / (i - 4)",
    "for i in range(n): D[:, :, i % 3] = (A[:4, :5] * 2 - i) * A[1:, 5:10] / 3 + A[0, :5] ** 2; A[1:, :5] = D[:, :, 1]",
    "for i in range(n): v[i:] = i",
    "for i in range(n): v[i] += w * 2 if i > 3 else 1",
    "for i in range(n): v[i] = i; a[i, 0] += v[:i] < 2",
    "for i in range(n): v[i:] = k[i:]",
    "for i in range(n): k[i:] = v[i:]",
    "for i in range(n): k += i",
    "for i in range(n): k[1:] //= (k[:-1] ** 2 + 1)",
    "for i in range(n): v[k[i]:] = 0.25; v[:k[i]] += 1; v[k[i]::2] -= 0.5",
    "for i in range(n): v[k[i]:k[-i]] *= 0.25; v[i:k[i]:-1] += 1",
    "for i in range(n): a[1:-1, 1:-1] = 0.25 * (a[:-2, 1:-1] + a[2:, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:])",
    "for i in range(n): a[1:, 1:] -= a[:-1, :-1]",
    "for i in range(n): a = a + b * y",
    "for i in range(n): a = a.T\na = a + 0",
    "for i in range(n): a += a.T",
    "for i in range(n): v = v * 0.5 + w; w = v - w",
    "for i in range(n): u = v * 2; v = u - 1",
    "for i in range(n): u = v; v = w; w = u",
    "for i in range(n):\n  u = v.copy()\n  for j in range(1, n - 1): u[j] = v[j - 1] + v[j + 1]\n  v = u",
    "for i in range(n):\n  u = np.zeros(n)\n  u[i] = 1\n  v, w = w, u",
    "for i in range(n):\n  r = v * 2\n  s = w * 3\n  r, s = s, r\n  r, s = s[1:], r\n  v = r[0] + v",
    "for i in range(n):\n  r = a * 2\n  for e in r:\n    r = e * v\n    v = r - v",
    "for i in range(n):\n  row = a[i]\n  for j in range(n): row[j] += j",
    "for i in range(n):\n  row = a[i]\n  row *= 2\n  other = row[1:]\n  other -= 1",
    "for row in a: row += 1",
    "for i, row in enumerate(a): row[i] = row.sum(); v[i] = row.max()",
    "for row, e in zip(a, v): row *= e",
    "for i in range(n): r = s = a[i]",
    "for i in range(n): r = a[i]; s = r; t = r[:]",
    "for i in range(n): r = np.zeros(4); s = r; t = r[1:]; r[2] = i",
    "for i in range(n): a[i], a[n - 1 - i] = a[n - 1 - i].copy(), a[i].copy()",
    "for i in range(n): a[i], a[n - 1 - i] = a[n - 1 - i], a[i]",
    "for i in range(n): y = v[i:].sum() + a[i].sum() + a[:, i].sum() + (v * w).sum()",
    "for i in range(n): y = v[i:].min() + a[:, i].max(); x = k[i:].min() + k.max()",
    "for i in range(n): x = v[i:].argmin() + a[:, i].argmax() + np.argmax(k) + np.argmin(c[i])",
    "for i in range(n): y = np.sum(v) + np.mean(a[i]) + v.mean() + k.mean()",
    "for i in range(n): y = v[i:].std() + np.var(a[i])",
    "for i in range(n): y = a.sum() + (a * b).sum() + a.mean(); x = c.sum()",
    "for i in range(n): x = k.sum() + m.sum() + c[i].sum()",
    "for i in range(n): z = (v > 0).any(); x = np.all(v < 9); z = m.all()",
    "for i in range(n): v = a.sum(axis=0) * 0.1 + a[i:].sum(0); w = a.sum(axis=1) + b[:, i:].sum(-1)",
    "for i in range(n): v = np.max(a, axis=0) - a.min(axis=1) + np.mean(b, axis=0); a[i] = v",
    "for i in range(n): k = np.argmax(a, axis=0) + b.argmin(axis=1); a[i] = -a[i] * 2",
    "for i in range(n): k = c.sum(axis=1) + c.max(axis=0) - c.argmin(axis=-1); c[i] = k % 7",
    "for i in range(n): s = (a > 0).sum(axis=0) + np.sum(a > b, axis=1); a[i] = -a[i]",
    "for i in range(n): v = (v[:, None] + a).max(axis=0) * 0.5; k = np.argmax(v[:, None] + a, axis=0)",
    "for i in range(n): s = a[:, :1].sum(axis=0); t = a[:1].sum(axis=0) + a[:1].sum(axis=1)",
    "for i in range(n): s = a[:, i:].max(axis=0); t = a.T.sum(axis=0)",
    "for i in range(n): v = np.roll(v, 1) + np.roll(w, -i) - np.roll(v, 100)",
    "for i in range(n): a = np.roll(a, i, axis=0) - np.roll(b, 1, 1) * 0.5",
    "for i in range(n): v = np.round(v * 3) / 2 + np.rint(w); x = round(y * i); y = np.round(y * 1.7)",
    "for i in range(n): k = (v * 9).astype(int); m = k.astype(bool); h = w.astype(np.float32); v = v.astype(float) * 2",
    "for i in range(n): k = np.arange(n) * i - np.arange(i, n + i); v[:i] = np.arange(i)",
    "for i in range(n): a -= a.max(axis=1, keepdims=True); b = b / (a.sum(axis=0, keepdims=True) + 9)",
    "for i in range(n): s = a.sum(axis=1, keepdims=True); t = a.mean(axis=0, keepdims=True); a = a * 0.5",
    "for i in range(n): d = v[:, np.newaxis] - w; v = d.sum(axis=1) * 0.1",
    "for i in range(n): y = float(k[i]).real; x = v[i].astype(int)",
    "for i in range(n): y = np.dot(v, w) + v.dot(w[::-1][::-1]) + v @ a[:, i]",
    "for i in range(n): y = np.dot(v[:i], w[:i]) + v[:i] @ a[:i, i]",
    "for i in range(n): v = a @ v * 0.1",
    "for i in range(n): v = v @ a * 0.1 + a.T @ w",
    "for i in range(n): a = a @ b * 0.1",
    "for i in range(n): v = np.dot(a, v) * 0.1; b = np.dot(a, b) * 0.2",
    "for i in range(n): a -= np.outer(v, w) * 0.1",
    "for i in range(n): a[i:, i:] -= 2.0 * np.outer(v[i:], w[i:]); a[:, i:] += np.outer(w, v[i:]) - a[:, i:]",
    "for i in range(n): a -= np.outer(a[:, 0], a[0]); a[1:] = np.outer(a[1:, i], a[i]); A -= np.outer(A[:, 3], V)",
    "for i in range(n): a[:, :3] = np.outer(v, k[::2]) + np.outer(v * 2, w[:3])",
    "for i in range(n): c -= np.outer(k, k[::-1]); b *= np.outer(m, v)",
    "for i in range(n): a = np.outer(v[:i], w[:1]); b = np.outer(v[:1], w[:i]) + 1; c = np.outer(h, h) > a",
    "for i in range(n): a *= np.outer(v, w) * 1e200",
    "for i in range(n): y = np.linalg.norm(a[i]) + np.linalg.norm(a[:, i])",
    "for i in range(n): v = np.sqrt(np.abs(v)) + abs(w)",
    "for i in range(n): v = np.exp(-v * v) + np.sin(w) * np.cos(v)",
    "for i in range(n): v = np.minimum(v, w) + np.maximum(v, 0.25); k = np.minimum(k, 2)",
    "for i in range(n): v = np.where(v > w, v, w * 0.5); w = np.where(m, w, 0.0)",
    "for i in range(n): v = np.floor(v * 3) + np.ceil(w) - np.trunc(v)",
    "for i in range(n): v = v ** 2 - w ** 0.5 if i > 9 else v ** 2",
    "for i in range(n): m = (v > 0) & (w < 0.5) | ~m",
    "for i in range(n): m = k == 2; x = m.sum()",
    "for i in range(n): v = w[p] - v[k]",
    "for i in range(n): y = (w[p[:i + 1]] * v[:i + 1]).sum()",
    "for i in range(n): b = a[p] + b",
    "for i in range(n): h = h * h + h; y = h.sum()",
    "for i in range(n): h = h * 0.5",
    "for i in range(n): h = h - np.float64(0.1)",
    "for i in range(n): v = v + h",
    "for i in range(n): v = k / 3 + v",
    "for i in range(n): v = k * 0.5 - v; k = k * 2 + x",
    "for i in range(n): v = -v + +w",
    "for i in range(n): e, f, g, *_ = v\n",
    "s = v[:3].copy()\nfor i in range(n):\n  e, f, g = s\n  s = np.array([f, g * 0.5, e - f])",
    "for i in range(n): s = np.array([x, i, 3]); t = np.array([0.5, x, i])",
    "for i in range(n): s = np.zeros((2, 3)); t = np.ones(i + 1, dtype=np.int64); u = np.full(3, 0.5)",
    "for i in range(n): s = np.zeros_like(a); t = np.empty_like(v); t[:] = i; u = np.ones_like(k)",
    "for i in range(n): a[i] = a[:, None][0, 0] + v[None, :][0]",
    "for i in range(n): a = v[:, None] * w + b; b = w[None, :] - b",
    "for i in range(n): a[:, i] = a[..., i] + b[i, ...]",
    "for i in range(n): a[:] = np.minimum(a, a[:, i][:, None] + a[i, :][None, :])",
    "for i in range(n): x = len(a[i]) + a[i:].shape[0] + v[i:].size + (v * w).ndim",
    "for i in range(n):\n  for e in v * w: y += e",
    "for i in range(n):\n  for e in a[i, ::2]: y += e",
    "u = v\nfor i in range(n): u[1:] = v[:-1] * 0.5",
    "u = v[1:]\nfor i in range(n): u[:] = v[:-1] + u",
    "u = v[1:]\nfor i in range(n): u += v[:-1]; v = v.copy()",
    "for i in range(n): y = np.exp(y * 0.1) + np.sin(v[i]) + np.log(i + 1) + np.tanh(y) + np.hypot(y, 2)",
    "for i in range(n):\n  if i == 3: u = v * 2\n  if i > 3: v = u + v",
    "for i in range(n):\n  if i % 2: u = v\n  else: u = v * 2\n  u[0] = i",
    "for i in range(n):\n  while np.dot(v, v) > 0.5: v = v * 0.5\n  v = v + w",
    "def f():\n  q = v\n  for i in range(n):\n    t = q * 2\n    q = t - w\n  return q, t\nr = f()",
    "for i in range(n): a[i, i] = 1 / a[i].sum()",
    "f = np.asfortranarray(a)\nfor i in range(n): g = f + f",
    "f = np.asfortranarray(a)\nfor i in range(n): f[i] += 1; f[:, i] *= 2; g = f[i]",
    "f = a[::2, ::-1]\nfor i in range(3): f[i] = f[i - 1] + 1; g = f[:, i]",
    "for i in range(n): q = a[i, 1:4]; y = q[::-1][0]",
    "for i in range(n): x += 2 ** 40 - 2 ** 62 // 4",
    "r = a.T; a.flags.writeable = False\nfor i in range(1, n): s = r[i]; v[-1] = 2\ns[0] = 7",
    # What warns must be seen, also where the compiler knows the numbers.
    "for i in range(n): s = np.zeros(3); t = s / s",
    "for i in range(n): s = np.zeros(2); t = 1 / s; v[i] = i",
    "for i in range(n): s = np.full(3, 1e308); t = s * s; t = s + s",
    "for i in range(n): t = np.array([1e308, 1.0]) * 10",
    "for i in range(n): v[:2] = np.sqrt(np.array([-1.0, y]))",
    "for i in range(n): s = np.array([np.inf, 1.0]); t = s - s; u = s * 0",
    "for i in range(n): m = np.array([1e200, y]) * 1e200 > 1; z = (np.array([1e200, y]) ** 2 > v[i]).any()",
    "for i in range(n): s = np.array([np.inf, 1.0]); t = s + 1; u = s * s; v[:2] = 1 / s",
    "for i in range(n): s = v.copy(); s[i] = np.nan; t = s * 2; m = s > 0; u = np.where(m, s, v)",
    "for i in range(n): h[:] = v * 1e39; h = h + h",
    "for i in range(n): v = v * (i - 2) / (i - 3)",
    "for i in range(n): a = b / (v[:, None] - v[i])",
]


# What is wrong in one row of several is seen, whichever it is.
LOOPS += [
    f"c = np.ones((4, {n})) * x\nfor i in range(6):\n  t = c - 0.5; s = t.argmax(axis=0); u = t.max(axis=0)\n"
    f"  if i == 3: c[{row}, 2] = {bad}"
    for n, row, bad in [
        (5, 0, "np.nan"),
        (12, 1, "np.nan"),
        (12, 3, "0.5"),
        (33, 2, "-np.inf"),
        (12, 2, "np.nan"),
    ]
]


@pytest.mark.parametrize("text", LOOPS)
def test_same(run_both: Any, text: str) -> None:
    run_both(SETUP + text, compiled=None)


FUNCTIONS = [
    "def f(p): return p * 2\nfor i in range(n): v = f(v) - w",
    "def f(p):\n  q = p * 2\n  q[0] = 1\n  return q\nfor i in range(n): v = f(v[:]) * 0.1",
    "def f(p, i):\n  p[i] = 0\nfor i in range(n): f(v, i)",
    "def f(p, i):\n  if i > 2: return\n  p[i] = 0\nfor i in range(n): f(v, i)",
    "def f(p, i, j): p[i], p[j] = p[j], p[i]\nfor i in range(n): f(v, i, n - 1 - i)",
    "def f(p, q): return p + q, p - q\nfor i in range(n): x, y = f(v[i], 1.0)",
    "def f(p, q): return p + q, p - q, 3\nfor i in range(n): v, w, x = f(v, w * 0.1)",
    "def f(s):\n  e, f, g = s\n  return np.array([10.0 * (f - e), e * (28.0 - g) - f, e * f])\n"
    "s = v[:3]\nfor i in range(n):\n  k1 = f(s)\n  k2 = f(s + 0.005 * k1)\n  s = s + 0.0025 * (k1 + k2)",
    "def f(p):\n  if p[0] > 0: return p\n  return p * 2\nfor i in range(n): v = f(v - 0.5)",
    "def f(p):\n  if p[0] > 0: q = p\n  return q\nfor i in range(n): v = f(v - 0.1)",
    "def f(p):\n  p += 1\n  return p\nfor i in range(n): v = f(v)",
    "def f(p):\n  p = p + 1\n  return p.sum()\nfor i in range(n): y = f(v)",
    "def f(p):\n  if p[0] > 0: return 1\n  return p\nfor i in range(n): t = f(v)",
    "def g(p, i): return p[i]\ndef f(p, i): return g(p, i) @ v\nfor i in range(n): y = f(a, i)",
    # What a called function stores into an operand comes after what was computed from it.
    "def f(p, i):\n  p[i] = i\n  return p[1]\nfor i in range(n): w[:] = v * 2.0 + f(v, i); w += (v - 1) * f(v, 0)",
    "def f(p, i):\n  p += i\n  return p * 3.0\nfor i in range(n):\n  w = w * 0.5 + (v * 0.5 + f(v, i))"
    "\n  m = (v * 2 > f(v, 1))",
    "def f(p, i):\n  p[i] = 9 - i\n  return p\nfor i in range(n): w = np.minimum(v + 0.25, f(v, i)); v = w * 0.5",
    "def g(p):\n  p *= 0.5\ndef f(p):\n  g(p)\n  return p.sum()\nfor i in range(n): w = w + v * 2 - f(v)",
]


@pytest.mark.parametrize("text", FUNCTIONS)
def test_functions_over_arrays(run_both: Any, text: str) -> None:
    run_both(SETUP + text, compiled=None)


# Arrays that only the next statements read are made in the last round only; nothing must show it.
DEFERRED = [
    "t = a * b; a = t + 1",
    "t = a * b; u = t + t * v; a = a * 0.5 + u; b = b - t",
    "t = a - b; a[1:-1] = t[1:-1] * 0.5; t = a + b; b[:] = t * 0.25",
    "t = a * 0.5; u = t - v; t = u * b; a[:] = t; b += u",
    "t = a * 2.0; a[:] = t - b; b -= t",
    "t = a * 2.0; a[1:] = t[:-1]; b = b + t",
    "t = a + 1; w = t; w[0] = i; b = b + t",
    "t = a + 1; b = t * 0.5; t[0] = 3",
    "t = a + 1; t += b; b = t * 0.5; t *= 2; a = a + t",
    "t = a + 1; t += v; t -= a; b = t * 0.5",
    "t = v + 1; t += a[0]; a = a * t",
    "t = v + 1; t += a; a = a * t",
    "t, u = a - b, b - a; a = t * 0.5 + u; b = u * u",
    "a, t = b * 2, a * 0.5; b = t + a; a = b - t",
    "t = a / 0.7; a = np.where(t > 0, t, b); b = np.minimum(t, b)",
    "t = v * w; a += t; b = b * t[:, None] + t",
    "t = np.sqrt(abs(v)) * 3 / 7; a = a * t; b = b - t",
    "if i == 3: continue\n  t = a * 2; b = b + t",
    "t = a * 2; b = b + t\n  if i == 3: continue\n  a = a + t",
    "t = a * 2; b = b + t\n  if i == 3: break\n  t = b * 3; a = a + t",
    "t = a * 2; b = b + t\n  if i == 3: break",
    "t = a * 2\n  if i > 2: b = b + t\n  else: b = b - t\n  u = t + 1; a = u * 0.5",
    "t = a * 2\n  if i > 2: a[0] = 1\n  b = b + t",
    "t = a * 2\n  for j in range(i): u = t * b; b = u * 0.1 - v\n  a = a + t",
    "for j in range(i): t = a[j] * b[j]; v = v + t\n  w = w - v",
    "for j in range(3 - i): t = a[j] * b[j]; v = v + t",
    "t = a * 2; u = np.roll(t, 1, 0); b = b + t - u",
    "t = np.roll(a, 1, 0) - np.roll(a, -1, 1); u = t * t; a = u - b * t",
    "t = k * i; u = k + t; k = np.where(u > t, u - t, k) - i",
    "t = h * h; u = t - h; h = (u * 2 + t).astype(np.float32)",
    "t = a * b; x = t.sum(); a = t * 0.5",
    "t = a * b; x = np.sum(t * a); a = a + t * x",
    "t = a > b; u = t & (a < 0.5); a[u] = i; b = np.where(t, a, b)",
    "t = a.T * 2; a = t + b.T; b = a - t",
    "t = A * 2; A = A[:, ::-1] + t; E[:] = D * i; D = D + E",
    "q = a[1]; t = q * 2; a[1] = i; b = b + t; q = t - v",
    "t = a * b; a += 1; b = b + t",
    "t = a * b; v += 1; b = b + t",
    "t = a; u = t + 1; a = u * 0.5",
    "t = -a; t = -t + t; a = t + b",
    "t = a * 2; t, u = t + 1, t - 1; a = t * u",
    "del_ = a * 2; b = b + del_; del del_",
    "t = a * b; u = t + t; t = i; b = u - t",
    "a = a * 0.5 + b; t = a - b; b = t * t",
    # What is warned of, and what is not a number, in the midst or in the last round alone.
    "t = a / (i - 3.0); b = b + t",
    "t = a / (n - 1.0 - i); b = b + t",
    "t = np.sqrt(a + i); b = np.where(t > 0, t, 0.0)",
    "t = a * F[i]; b = np.where(t > 0, b, 0.0)",
    "t = a * F[i]; u = t > 0; b = b + u",
    "t = a * 10.0 ** (100 * i); b = t * t",
    "t = a * (1e308 * i); b = np.minimum(t, b)",
    "t = a * F[::-1][i]; u = t > 0; b = b + u; v = v + b[i]",
]


# The same of short vectors of numbers.
DEFERRED += [
    "t = np.array([x, y, i]); v[:3] += t; w[3:] -= t * 2",
    "t = np.array([v[0], y]); v[0] = i; w[:2] = t; v[1:3] = t[::-1]",
    "t = np.array([x, i, 2]); y = 0.5; x = x + t[1]; w[:3] = t",
    "t = np.array([i, 2 * i, 3]); k[:3] = t * t; u = t + 1; k[3:] -= u",
    "t = np.array([x, y]); t += v[:2]; t *= 2; w[:2] = t",
    "t = np.array([x, y]); t += v[0]; t[0] = i; w[:2] = t",
    "t = u = np.array([x, y]); t[0] = i; w[:2] = u + t",
    "t = np.array([v[i], w[i], y]); a[:, :3] = a[:, :3] * t + t; b[:3, :2] -= t[:, None]",
    "t = np.array([v[i], y, x]); b[:3] *= t[:, None]; x = (t * t).sum() * 0.1; y = t @ t * 0.1",
    "t, u = np.array([x, y]), np.array([y, x]); x, y = t * 0.5 - u * 0.25",
    "q = v[i + 2]; t = np.array([q, y]); w[:2] += t",
    "t = np.array([x, y, i]); w[:3] = t; q = v[i + 2]",
    "t = np.array([1e308, 1.0]); u = t * 10; w[:2] = u",
    "t = np.array([1.0, i - 3.0]); u = 1 / t; w[:2] = u",
    "t = np.array([F[i], y]); u = t > 0; v[:2] += u",
    "t = np.array([1e-300, y]); u = t * 1e-300 + t; w[:2] = np.sqrt(u - i)",
    "t = np.array([i, 2**62]); u = t + t; k[:2] = u // 4",
    "p = v[:2]; x, y = np.array([p[1], p[0] * 0.5]); v[:2] = np.array([y, x])",
]


@pytest.mark.parametrize(
    "text", ["v[:] = v + 1j", "v[2:] += w[1:-1] * 1j", "k[:] = np.add(v, 1j)", "q = k + 'a'"]
)
def test_what_cannot_be_compiled_in_a_loop_over_elements(run_both: Any, text: str) -> None:
    """Where a condition leads to it, the rest of the loop still asks what it must."""
    for rest in ("k[i] = 10 // (3 - i)", "x = x + w[i + 3]", "v /= w * (2 - i)", "w[i:] = np.sqrt(v[0] - i)"):
        run_both(f"{SETUP}\nfor i in range(n):\n  if i == 5: {text}\n  {rest}", compiled=None)


@pytest.mark.parametrize(
    "loop",
    [
        "v[:3] += ((X - v[:3]) ** 2).sum(axis=0)[:3] * 1e-6; w[:3] = X.max(axis=0)",
        "u = ((X[:, None] - a[:2, :3]) ** 2).sum(axis=2); w[:2] = u[i]; p = np.argmin(u, axis=1)",
        "x = X.sum(); y = (X > v[0]).any(); z = X.min()",
    ],
)
def test_what_is_added_up_may_be_large(run_both: Any, loop: str) -> None:
    """Only arrays that are made or stored into are left to NumPy where they are large."""
    (site,) = run_both(f"{SETUP}\nX = rng.standard_normal((360_000, 3))\nfor i in range(2):\n  {loop}")
    assert site.leaves == 0


def test_large_arrays_are_not_made(run_both: Any) -> None:
    loop = "Y = X * 2; Y[0] = i; X[:] = Y"
    run_both(f"{SETUP}\nX = rng.standard_normal((360_000, 3))\nfor i in range(2): {loop}", compiled=False)


@pytest.mark.parametrize("text", DEFERRED)
def test_arrays_that_are_not_made(run_both: Any, text: str) -> None:
    begin = "F = [1.0, 2.0, 3.0, float('nan'), float('nan'), 1.0]\n"
    run_both(f"{SETUP}\n{begin}for i in range(n):\n  {text}", compiled=None)


@pytest.mark.parametrize("text", DEFERRED[1:12:5])
def test_locals_that_are_not_made(run_both: Any, text: str) -> None:
    text = f"{SETUP}\ndef f(a, b, v):\n  for i in range(n):\n    {text}\n  return a, b, v, t\nr = f(a, b, v)"
    run_both(text, compiled=None)


def test_a_temporary_is_made_in_the_last_round_only(run_both: Any) -> None:
    (site,) = run_both(f"{SETUP}\nfor i in range(n):\n  t = a * b; u = t * t; a = u - b")
    assert site.leaves == 0


@pytest.mark.parametrize(
    "loop",
    [
        "W *= 0.5",
        "W[1:] += W[:-1]; V += 1; W += V[:6]",
        "W.T[1:] += 1",
        "G += 1",
        "G.T[:] = G.T * 0.5",
        "O += 1",
    ],
)
def test_elements_that_share_memory(run_both: Any, loop: str) -> None:
    """NumPy works on a copy of what it reads there: such arrays are left to it."""
    strided = "np.lib.stride_tricks.as_strided"
    setup = f"W, G, O = {strided}(V, (70, 6), (8, 8)), {strided}(V, (3, 4, 5), (32, 80, 16)), {strided}(V, (9,), (0,))"
    run_both(f"{SETUP}\n{setup}\nfor i in range(n):\n  {loop}", None)


@pytest.mark.parametrize(
    "view", ["A", "A.T", "A[:, ::-1]", "A[::-2]", "A[:1]", "A[:, :1].T", "C", "C.T", "C[::-1, :, 2:]"]
)
def test_elements_apart(run_both: Any, view: str) -> None:
    """No view of one array by slices is taken for one whose elements share memory."""
    (site,) = run_both(f"{SETUP}\nC = np.ones((3, 4, 5))\nV = {view}\nfor i in range(n):\n  V *= 0.5")
    assert site.leaves == 0


@pytest.mark.parametrize(
    "loop",
    [
        "s = np.arange(3) * F",
        "s = np.arange(3) * F + a[0, :3]",
        "a[0, :3] = np.arange(3) * F",
        "s = (np.arange(3) + 1.5) * F",
        "s = (np.arange(3) * 2.5 + np.arange(3)) * F * 1.5",
        "s = np.arange(2) * 1e308 * 10.0",
        "s = F / np.arange(3)",
        "s = np.arange(n) * F",
    ],
)
def test_warnings_of_what_could_be_computed_before(run_both: Any, loop: str) -> None:
    """No element of an array goes into it: the compiler might do it before anybody looks at the processor's flags."""
    (site,) = run_both(f"{SETUP}\nF = np.float64(1e308)\nfor i in range(4): {loop}", None)
    assert "refused" not in site.reason
    (site,) = run_both(f"{SETUP}\nF = np.float64(1.5)\nfor i in range(4): {loop.replace('308', '3')}", None)
    assert site.compiled or "/" in loop
