"""Arrays in loops: what arrays select, reductions along axes, joined and reshaped arrays, linear algebra."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

SETUP = """
rng = np.random.default_rng(3)
n = 6
a = rng.standard_normal((n, n))
b = rng.standard_normal((n, n))
t = rng.standard_normal((n, 4, 9))
v = rng.standard_normal(n)
w = rng.standard_normal(n)
k = rng.integers(-n, n, n)
c = rng.integers(-4, 5, (n, n))
u = rng.integers(0, 200, n).astype(np.uint8)
h = rng.random((n, 5)).astype(np.float32)
m = v > 0
p, q = rng.permutation(n), rng.permutation(n)
turn = [2, 0, 1, 3]
x, y, z = 1, 0.5, True
long, wide = rng.random((3, 43)), rng.random(100)
"""

# Sums of so many elements as are added up in place, and of more; products of vectors of such lengths.
SUMS = """
w = rng.standard_normal(300)
c = rng.standard_normal((3, 200))
d = np.full(140, -0.0)
s = np.zeros(140)
t = np.zeros((140, 3))
e, f = rng.standard_normal((13, 9, 3)), rng.standard_normal((13, 9))
"""
SUMMED = [
    "for i in range(1, 140): s[i] = w[:i].sum(); y = w[i:2 * i].mean() + d[:i].sum()",
    "for i in range(1, 140): s[i] = w[i:2 * i].std() + w[3:i + 3].var()",
    "for i in range(1, 140): t[i] = c[:, :i].sum(1); t[i - 1] += c[:, i:].mean(axis=1) * c[:, 3:i + 3].var(axis=1)",
    "for i in range(1, 140): s[i] = c.T[i:2 * i, 1].sum() + w[:2 * i:2].std() + (w[:i] * 2).sum()",
    "for i in range(1, 140): s[i] = w[:i] @ w[i:2 * i] + np.dot(w[i:2 * i], w[3:i + 3]); y = d[:i] @ w[:i]",
    # Along a middle axis, for several rows at once: of expressions, of no rows, with negative zeros, and too large.
    "for i in range(20): r = e.sum(axis=1); u = (f[:, :, None] * e).sum(axis=1, keepdims=True); e[i % 13] *= -0.5",
    "for i in range(20): r = e[i % 14:, i % 10:].sum(axis=1); u = np.sum(e[:, :, :2] * 2.0, axis=1) + r.sum()",
    "for i in range(20):\n  e[3] = -0.0\n  r = e.sum(axis=1); u = (e[::2] - e[i % 13]).sum(axis=1)",
    "for i in range(20):\n  e[i % 13, 2, 1] = 1e308 if i > 9 else 1.5\n  r = (e * e).sum(axis=1) + e.sum(axis=1)",
    "for i in range(20):\n  e[12, 2, 1] = np.nan if i > 9 else 1.5\n  r = e.sum(axis=1)",
    "for i in range(1, 20):\n  w[2 * i] = 1e200 if i > 9 else 1.5\n  s[i] = w[:33].std()",
    "for i in range(1, 20):\n  w[i] = np.nan if i > 14 else np.inf if i > 9 else 2.5\n  s[i] = w[:33].sum()",
    "for i in range(1, 20):\n  c[1, i] = np.inf if i > 9 else 2.5\n  t[i] = c[:, :33].sum(axis=1) + c[:, :20].var(1)",
    "for i in range(1, 20):\n  w[2 * i] = 1e300 if i > 9 else 1.5\n  s[i] = w[:33] @ w[1:34]",
]

# Bytes that are computed and select bytes: all are looked at before the first one is taken.
BYTES = """
f = rng.integers(0, 2, 150).astype(np.uint8)
e = rng.integers(0, 2, 8).astype(np.uint8)
g = rng.integers(0, 99, (8, 8)).astype(np.int16)
d = e > 0
"""
TABLES = [
    "for i in range(n): f[:] = e[4 * np.roll(f, 1) + 2 * f + np.roll(f, -1)]",
    "for i in range(n): f = e[4 * np.roll(f, 1) + f] + f[0]",
    "for i in range(n): f[:] = f[f * 2 + 3]; f[2:] = f[f[:-2] * 7]",
    "for i in range(n): d[f[:8] + i] = i > 2; e[f[:8] * 3 + f[1:9]] += 1; e &= 1",
    "for i in range(n): r = g[:, f[:9] + i]; s = g[f[:9] * 2, f[1:10] * 3]; g[f[:8] + i] = r[0, :8] + i",
    "for i in range(n): r = g[f[:150].reshape(15, 10)[:, :4] + i, 1] * 2; s = r.sum(axis=0)",
    "for i in range(n): r = e[f[:0] + i]; s = e[:0][f[:0] * 2]; x = x + len(r) + len(s)",
    # Out of bounds: in some round, by the last byte alone, of two indices by the second.
    "for i in range(9): f[3] = i; r = e[f + 1]",
    "for i in range(9): f[-1] = i + 1; r = d[f * 1 + 0]; e[f[140:] * 1] = i",
    "for i in range(9): f[7] = i; s = g[f[:4] * 1, f[4:8] + 2]",
    "for i in range(9): f[0] = 250 + i; f[:] = e[(f + 6) * 1]",
]

# The least and the greatest of each row, several at a time: NaNs, infinities and zeros of both signs among them.
ROWS = """
c = rng.standard_normal((6, 21))
d = rng.standard_normal((2, 3, 16))
f = np.maximum(c, 0.0)
g = np.array([0.0, -0.0] * 10)[None, :] * np.ones((4, 1))
"""
EXTREMA = [
    "for i in range(n): s = c.max(axis=1); r = c.min(axis=-1, keepdims=True); c *= 1.5",
    "for i in range(n): s = d.max(axis=2); r = d.min(2) + d[:, :, i:].max(axis=2)",
    "for i in range(n): s = f.max(axis=1); r = f.min(axis=1); f[:3] = 0.0",
    "for i in range(n): s = g.max(axis=1); r = g.min(axis=1); g[:, i] = -0.0",
    "for i in range(n): c[i % 6, 2 * i % 21] = np.nan if i > 3 else np.inf; s = c.max(axis=1)",
    "for i in range(n): s = c.T.max(axis=1); r = c[:, ::2].min(axis=1); e = c[:, i:i + 1].max(axis=1)",
    "for i in range(n): s = c[:, :4 - i].max(axis=1)",
]

SELECTIONS = [
    "for i in range(n): x = len(v[m]); y = v[m].sum(); v = v * 0.9; m = v > 0.1",
    "for i in range(n): v[v > 0.5] = 0.25; w[m] = -1",
    "for i in range(n): v[m] += 1; w[v > w] *= 0.5; m = v < w",
    "for i in range(n): v[m] = w[m] * 2; w[~m] = v[~m]",
    # Changed where they are: what is selected once, by a mask or along a diagonal; what is selected twice is not.
    "e = np.arange(n) % 3\nfor i in range(n): a[e, np.arange(n)] += 1; v[e] += 1; c[np.arange(n), e] -= c[0, 0]",
    "e = np.arange(n) % 3\nfor i in range(n): a[e, np.arange(n)] *= v; b[np.arange(n), e] += a[e, np.arange(n)]",
    "e = np.arange(n) % 3\nfor i in range(n): a[e, np.arange(n)] += v[:i + 5]",
    "e = np.arange(n) - 2\nfor i in range(n): a[e, np.arange(n)] += 1; e[i] = 9 * i",
    "f = a.T\nfor i in range(n): a[m] += f[m]; v[np.arange(3)] += v[i]; v[np.arange(2, 5)] *= 2",
    "for i in range(n): v[m] = w[:m.sum()]",
    # One mask for several arrays in a statement; of two axes, as well as of one; what is stored into is read.
    "for i in range(n): v[m] = v[m] * 0.5 + w[m]; w[m] = v[m] - w[m] * v[m]; v[~m] = -w[~m]; m = v > w",
    "f = a.T\nd = c > 0\nfor i in range(n): a[d] = a[d] * 0.5 - c[d]; c[d] = i; c[d] += a[d]; d = a > c; f[d] = c[d]",
    "d = c > 0\nfor i in range(n): s = c[d] + a[d]; a[d] = s; c[d] = c[d] if i > 3 else a[d]; d[i, 1:] = False",
    "r = v[::-1]\nfor i in range(n): v[m] = r[m] * 0.5 + v[m]; r[m] = v[m] - r[m]",
    "g = np.zeros(2 * n); r = g[::2]; s = g[1::2]\nfor i in range(n): r[m] = s[m] + v[m]; s[m] = r[m] * 0.5",
    "for i in range(n): v[m] = np.roll(v, 1)[m] + v[m]; v[m] = v[m] + v[m][::-1]; v[m] = v[m] * v[m].sum()",
    "for i in range(n): b[:, m] = b[:, m] + w[m]; b[m] = b[m] * 0.5 + a[m]; a[i, m] = a[i, m] + a[m, i]",
    "def h(x, y):\n  y[:] = ~y\n  return x[y] * 2\nfor i in range(n): v[:] = v + h(w, m).sum(); v[m] += w[m]",
    "d = c > 0\nfor i in range(n):\n  if i > 2: c[d] = c[d] * 0.5\n  else: d = ~d\n  a[d] = a[d] + c[d]",
    "for i in range(n): v[m] = w",
    "for i in range(n): a[a > 0] *= 0.5; b[m] = v; b[:, m] += 1",
    "for i in range(n): a[m, i] = 7; b[i, m] = v[m]; a[i][m] -= 1",
    "for i in range(n): a[c > i] = b[c > i]; x = (c > i).sum()",
    "for i in range(n): s = t[c > 0] if i > 9 else t[m]; y = s.sum(); t[m] = s * 0.5",
    "for i in range(n): s = t[:, c[:4, 0] > 0]; t[:, :, t[0, 0] > 0] += 1",
    "for i in range(n): s = long[long > 0.2 * i]; y = s.sum(); long[long < 0.1] = 2.0; wide[:17][wide[:17] > 0.5] = y",
    "for i in range(n): s = wide[wide > 0.97]; e = np.nonzero(wide > 0.9)[0]; f, g = np.nonzero(long > 0.95)",
    "for i in range(n): s = long[:, wide[:43] > 0.8]; y = wide[::2][wide[::2] > 0.3].sum(); long.T[long.T > 0.9] = i",
    # Sixty-four at a time: none, one, eight, nine, all of them, and rows that end in between.
    "for i in range(n):\n  e = np.nonzero(wide[:64] > 0.17 * i)[0]\n  x = x * 3 + e.sum() + len(e)\n"
    "  y = y + wide[wide > 1 - 0.2 * i].sum()",
    "many = rng.random((5, 150))\nq = np.array([0, 1e-3, 0.1, 0.15, 0.5, 1])\nfor i in range(n):\n"
    "  s = many[many < q[i]]\n  y = y + s.sum()\n  x = x + len(s)\n"
    "  e = many[:, i:] < 0.3 * i\n  f, g = np.nonzero(e)\n  x = x * 3 + f.sum() * 5 + g.sum()",
    "many = np.zeros(640, bool)\nr = np.arange(640.0)\nfor i in range(n):\n  many[7 * i * i :: 64] = True\n"
    "  many[64 * i : 64 * i + 9 * i] = True\n  s = r[many]\n  y = y + s.sum() + (r[~many] * 3).sum()\n  x = x + len(s)",
    "for i in range(n): v[p] = w[q]; w[k] += v[k]; a[p] = b; b[p[:3]] = a[p[3:]]",
    "for i in range(n): v[k] += 1; c[p, q] -= 1; c[k, i] = x; c[i, k] *= 2",
    "for i in range(n): c[p, q] += c[q, p]; a[p, 0] = v; y = a[p, q].sum() + a[p, i].sum()",
    "for i in range(n): s = a[:, p]; a = s[q]; b[:, p] = a; b[1:, p] += 0.5",
    "for i in range(n): s = t[:, turn]; t[:, turn] = s * 0.5; e = t[i, turn, 2]; "
    "f = t[turn, i % 4, [1, 2, 3, 4]]",
    "for i in range(n): s = t[:, turn, :3]; f = a[[0, 2], 1:]; a[[0, -1]] = a[[-1, 0]]",
    "for i in range(n): s = a[p[:, None], q]; a[p[:, None], q[None, :]] = s.T",
    "for i in range(n): k[k] = k; p[p] = q.copy(); q = q[q]",
    "for i in range(n): v[v.argsort()] = w",
    "for i in range(n): v[k + i] = 1",
    "for i in range(n): v[k * 2] += 1",
    "for i in range(n): v[p, p] = 1",
    "for i in range(n): s = a[p, :, q]; s = a[i, p]; a[i, p] = s * 2",
    "for i in range(n): u[u > 9] -= 7; u[m] = 250; u[p] += u",
    "for i in range(n): u[m] = i * 60",
    "for i in range(n): v[m] = np.nan; v[np.isnan(v)] = i; z = np.isfinite(v).all(); m = v > w",
    "for i in range(n): k[m] = v[m] * 9; c[m] += k; k[m] += 0.5",
    "for i in range(n): v[np.zeros(n, dtype=bool)] = 1; s = v[np.zeros(n, dtype=bool)]; y = s.sum()",
    "for i in range(n): s = v[m]; y = s.mean(); v = v - 0.3; m = v > 0",
    "for i in range(n): e = np.nonzero(m)[0]; f = np.flatnonzero(v > 0); x = np.count_nonzero(m); "
    "v[e] = -v[e]; m = v > 0",
    "for i in range(n): e, f = np.nonzero(c > i); x = len(e) + f.sum(); g = np.where(m)[0]",
    "for i in range(n): m = np.logical_and(v > 0, w > 0); m = np.logical_or(m, ~m); m = np.logical_not(m)",
    "for i in range(n): m = np.less(v, w) | np.greater_equal(a[i], 0.5) & np.not_equal(k, 2)",
    "for i in range(n): h[h > 0.5] = 0.1; h[:, 2][m] = 2; h[p] += h",
    "f = np.asfortranarray(a)\nfor i in range(n): f[m] = i; f[p, q] += 1; s = f[p]",
    "for e in a:\n  e[m] = 0; e[p[:2]] += 1",
    "r = v[::-1]\nfor i in range(n): v[p] = r; r[m] = v[m]",
]
AXES = [
    "for i in range(n): s = t.sum(axis=1); s = t.sum(axis=2); s = t.sum(axis=0); s = np.sum(t, axis=-1)",
    "for i in range(n): s = (t * t - 1).sum(axis=1); s = np.roll(a, 1, 0).sum(axis=0); s = (a.T * 2 + a).sum(0)",
    "for i in range(n): s = (h * h).sum(axis=0); s = (c + k).sum(axis=0, keepdims=True); s = (a / (i - 3.0)).sum(0)",
    "for i in range(n): s = t.sum(axis=(0, 1)); s = t.sum(axis=(1, 2)); s = np.sum(t, (0, 2)); "
    "y = t.sum(axis=(0, 1, 2))",
    "for i in range(n): s = t.sum(axis=(1, 2), keepdims=True); s = t.mean(axis=0, keepdims=True); t = t - s",
    "for i in range(n): s = (t * t).sum(axis=-1); e = (t > 0).sum(axis=1); "
    "f = (t > 0).any(axis=(0, 2)); f = (t > 0).all(1)",
    "for i in range(n): s = t.max(axis=1) - t.min(axis=1); f = t.min(axis=(0)); "
    "e = t.argmax(axis=1) + t.argmin(1); s = t.max((0, 1))",
    "for i in range(n): s = t.mean(axis=(0, 1)); s = a.std(axis=0) + a.var(axis=1); "
    "s = np.std(t, axis=2, ddof=1)",
    "for i in range(n): s = t[:, 1:, :7].sum(axis=2); s = t[:, 1:, :7].sum(axis=1); s = t[i:].sum(axis=(1, 2))",
    "for i in range(n): s = t[:, :, i].sum(axis=0); s = t[:, i].sum(1); s = t.T.sum(axis=0)",
    "for i in range(n): s = h.sum(axis=0); s = h.sum(axis=1); s = h.max(axis=1); "
    "s = np.float32(2) * h.sum(axis=1, keepdims=True)",
    "for i in range(n): s = c.sum(axis=(0,)); s = (c * 2).max(axis=0); s = c.sum(axis=None); "
    "s = np.sum(np.sum(v * w))",
    "for i in range(n): s = np.sum(v[:, None] - w[None, :], axis=1); s = ((v[:, None] - w) ** 2).sum(axis=0)",
    "for i in range(n): s = a[:, :1].sum(axis=1); s = a[:, 0:1].sum(axis=0); s = a[:1].sum(axis=0)",
    "for i in range(n): a[0, 0] = np.nan; s = a.sum(axis=1); s = a.max(axis=0)",
    "for i in range(n): a[i, 0] = np.inf; s = a.sum(axis=1); e = a.min(axis=1); f = a.sum(axis=0)",
    # Stacks of matrices; axes in another order.
    "for i in range(n): s = t @ t.transpose(0, 2, 1); e = t.transpose(0, 2, 1) @ t; t = t * 0.5 + (s @ t) * 0.01",
    "for i in range(n): s = t @ (a[:, :1] + np.arange(9.0))[:, :, None]; e = a[:, :4] @ t; "
    "s = t[:1] @ t.swapaxes(1, 2)",
    "for i in range(n): q = (a @ b).reshape(n, 2, 3).transpose(1, 0, 2); s = q @ q.transpose(0, 2, 1); "
    "e = (s @ q).transpose(1, 0, 2).reshape(n, 6); a = a * 0.5 + e * 0.01",
    "for i in range(n):\n  s = t.transpose(1, 0, 2).reshape(4, 9 * n)\n  s[0] = i\n"
    "  e = t.transpose(2, 1, 0).reshape(-1)\n  e[1] = 3",
    "for i in range(1, n):\n  s = t[:i].transpose(1, 0, 2).reshape(4, -1)\n  s[0] = i\n"
    "  e = t[:, :1].transpose(1, 0, 2).reshape(n, 9)\n  e[0] = 2",
    # Views of what is made on the way, which only they hold.
    "for i in range(n): s = (a * 2)[:, :3]; e = (a * 2)[::2]; f = (a * 2).reshape(n, 2, 3).transpose(1, 0, 2)",
    "for i in range(n): s = (a * 2).reshape(n, 2, 3)[:, 0]; e = (a * 2).T[:2]; f = (a + a.T)[:, None, :3]",
    "Z = v + 1j * w\nfor i in range(n): s = (Z * 2).real; e = (Z + Z).imag",
    "for i in range(n):\n  s = (t * 2).swapaxes(0, 2)\n  e = s[1:]\n  s[1] = i\n  f = e.T",
    "for i in range(n): s = (t * 1e200) @ (t * 1e200).swapaxes(1, 2)",
    "for i in range(n): s = t @ t",
    "h = h[None] * h[:, None]\nfor i in range(n): s = h @ h.swapaxes(2, 1); h = h * np.float32(0.5)",
    "for i in range(n): s = t[:, :, :1] @ t[:, :1, :]; e = t[:, :1] @ t[0].T; s = t[:0] @ t[0].T; "
    "e = np.zeros((2, 3, 0)) @ np.zeros((0, 4))",
    # Short last axes, of known lengths.
    "for i in range(n): s = (t - t[0]).sum(axis=2); s = (t * c[:, :4, None]).sum(-1, keepdims=True); t = t * 0.5 + s",
    "for q in range(2, n):\n  o = np.zeros((5, q))\n  o[:, 0] = -0.0\n  s = (-o).sum(1)\n"
    "  f = np.sum(o * -1.0, axis=1)\n  e = (a[:, :q] * b[:, :q]).sum(axis=1)",
    "h = np.arange(24, dtype=np.float32).reshape(3, 8) / 7\nfor i in range(n): s = h.sum(axis=1); "
    "s = (h * h[0]).sum(-1); h = h * np.float32(1.5); e = (h[:, None, :7] - h[None, :, :7]).sum(axis=2)",
    "for i in range(n): d = t[:, :, :3]; s = (d * d).sum(axis=2); d = d[:, :, :2] if i > 2 else d.copy(); s = d.sum(2)",
    "for i in range(n): t[i, 0, i] = np.inf * (i > 3); s = (t * 2).sum(axis=2)",
    "for i in range(n): s = (t * 1e308).sum(axis=2)",
    "for i in range(n): t[:, :, i] = t[:, :, i + 1] * v[:, None] - t[:, :, 0]; t[:, i % 4] -= t[:, i % 4, ::-1]",
    "for i in range(n): s = t.transpose(1, 0, 2).sum(axis=2); s = (t.transpose(2, 1, 0) * 2).sum(2)",
    "for i in range(n): e = a[:, None, :] - b[None]; s = np.sqrt((e ** 2).sum(axis=2)); a = a * 0.5 + e[0]",
    "for i in range(n): s = np.zeros((0, 3)).sum(axis=0)",
    "for i in range(n): s = np.zeros((0, 3)).max(axis=0)",
    "for i in range(n): s = np.argmax(a, axis=(0, 1))",
    "for i in range(n): s = a.argmin(axis=(0,))",
    "for i in range(n): a = a * (c > 0) * -1.0; s = a.max(axis=0); s = (a * 0).min(axis=1)",
    "g = rng.standard_normal(301)\nfor i in range(n): y = np.median(g) + np.median(g[:i + 2]) + np.median(g[::-2]); "
    "s = np.median(g * 2); g[i] = 0.0; e = np.median(g[::i + 1] > 0)",
    "g = rng.integers(0, 4, 90) * 1.0\nfor i in range(n): y = np.median(g) + np.median(g[: 70 + i]); "
    "g = g - 1; f = np.median(g)",
    "g = rng.random(50)\nfor i in range(n): g[7 * i] = np.nan if i > 3 else np.inf; y = np.median(g)",
    "g = np.full(8, 1.5e308)\nfor i in range(n): g[i] = -0.0 if i == 4 else g[i]; y = np.median(g[: 3 + i])",
    "for i in range(n): y = np.median(v[: 3 - i])",
    "for i in range(n): y = np.median(a) + np.median(u); s = np.median(a, axis=1)",
    "g = rng.standard_normal((40, 300))\nfor i in range(n): s = g.sum(axis=1) + g.sum(axis=0).sum(); "
    "y = g.sum() + (g * g).sum()",
    "g = rng.standard_normal(30000)\nfor i in range(n): y = g.sum() + g[::2].sum() + g[i:].mean(); "
    "y = g[1:9000].std()",
    "for i in range(n): y = np.linalg.norm(a) + np.linalg.norm(v); s = np.linalg.norm(t, axis=-1); "
    "s = np.linalg.norm(a, axis=1, keepdims=True)",
]
ARRANGED = [
    "for i in range(n): e = np.concatenate((v, w)); s = np.concatenate([a, b], axis=1); "
    "s = np.concatenate((a, b[:2]))",
    "for i in range(n): s = np.hstack((v, w[:i])); e = np.hstack([a, v[:, None]]); "
    "f = np.vstack((v, w, a)); v = f[i + 2]",
    "for i in range(n): s = np.stack((v, w)); s = np.stack([v, w], axis=1); "
    "e = np.stack((a, b), axis=-1); s = np.column_stack((v, a))",
    "for i in range(n): s = np.concatenate((a, v))",
    "for i in range(n): s = np.concatenate((a[:, :2], b), axis=0)",
    "for i in range(n): s = np.concatenate((v, k))",
    "for i in range(n): s = np.eye(n) + np.identity(n); e = np.eye(3, 4); f = np.eye(4, k=i - 2); "
    "g = np.eye(2, 3, 1, dtype=int)",
    "for i in range(n): np.fill_diagonal(a, i); np.fill_diagonal(a[:, 1:], 0.5); np.fill_diagonal(b[1:], y)",
    "for i in range(n): s = np.triu(a, 1) + np.tril(b); e = np.triu(c, -i); "
    "f, g = np.triu_indices(4, 1); y = a[f, g].sum()",
    "for i in range(n): e, f = np.tril_indices(n, -1); a[e, f] = 0; s = np.tril(a * b, i)",
    "for i in range(n): s = a.reshape(n * n); s = a.reshape(3, -1); s = (a * 2).reshape((4, 9)); "
    "s[0] = i; e = t.reshape(n, 36)",
    "for i in range(n): s = a.ravel(); s[i] = 1; e = a.flatten(); e[0] = 3; np.ravel(v)[0] = i; "
    "f = np.ravel(a * 2); g = a.T.reshape(-1)",
    "for i in range(n): s = a.reshape(5, 7)",
    "for i in range(n): s = t.transpose(1, 0, 2); s = np.transpose(a); e = t.swapaxes(0, 2); "
    "f = np.expand_dims(v, 1) * w; s = t.T",
    "for i in range(n): s = t.transpose((2, 0, 1)).sum(axis=0); e = t.transpose(1, 0, 2) * 2",
    "for i in range(n): s = np.cumsum(v); s = (v * w).cumsum(); e = k.cumsum(); "
    "s = np.cumsum(v[:0]); f = np.diff(v); g = np.diff(k[i:])",
    "for i in range(n): k = np.clip(k * 3, -2, i) + np.clip(k, k[::-1], 3); k = k.clip(np.int64(-3), 5) % 1000",
    "for i in range(n): k = np.clip(k, 3, -3) + np.clip(k, i, 2**62)",
    "for i in range(n): v = np.clip(k, 0.5, 2) * v + np.clip(k, -1, v)",
    "for i in range(n): v = np.clip(v, -0.5, 0.5) + np.clip(w, v, 1); w = w.clip(-1, 1); "
    "s = np.sign(v) - np.sign(w * 0.0)",
    "for i in range(n): s = v ** 3; s = np.abs(v) ** -1.5; s = np.power(np.abs(v), w); "
    "s = np.hypot(v, 2.0); s = np.arctan2(1.0, v)",
    "for i in range(n): s = a[:, :3] * 2; e = np.exp(a[:, :3]); f = np.tanh(t[:, 1:]); g = np.sin(a[::2, ::2])",
    "for i in range(n): s = (a.T * v) @ a; e = a.T + b.T; f = e @ v; g = (a.T * 2).sum(axis=0)",
    "for i in range(n): s = a.T * v[:, None]; s[0, 1] = 5; e = s * 1; a = e",
    "d = a @ a.T + n * np.eye(n)\nfor i in range(n): s = np.linalg.solve(d, v); "
    "e = np.linalg.solve(d, b); f = np.linalg.inv(d); v = s + w",
    "d = a @ a.T + n * np.eye(n)\nfor i in range(n): y = np.linalg.det(d); "
    "s = np.linalg.cholesky(d); s = np.linalg.solve(d.T, b[:, 1:3]); d[0, 0] += 1",
    "d = np.zeros((n, n))\nfor i in range(n): s = np.linalg.solve(d, v)",
    "for i in range(n): s = np.linalg.cholesky(a)",
    "for i in range(n): s = np.linalg.inv(a[:, :2])",
    "for i in range(n): v = np.negative(v); k = np.floor_divide(k, 3) + np.remainder(k, 4)",
    "g = rng.standard_normal((30, 200))\n"
    "for i in range(n): g = np.roll(g, i, 1) * 0.5 + np.roll(np.roll(g, 1, 0), -1, 1); "
    "s = np.roll(t, 1, axis=2) - np.roll(t, 1, axis=1)",
    "for i in range(n): a[1:, 1:] = np.roll(a, 1, 0)[1:, :-1]; "
    "a[:] = np.roll(a, i, 1) + np.roll(a, -i, 0); v[:] = np.roll(v, i - 3)",
    "s = rng.integers(-2**62, 2**62, n); e = s.astype(np.int32)\n"
    "for i in range(n): s = s + s - 3 * s; e = e * e; u = u * u + u",
]


def apart(text: str) -> str:
    """Each statement in a loop of its own: one that is left to Python does not keep the others from being compiled."""
    return SETUP + text.replace("; ", "\nfor i in range(n): ")


@pytest.mark.parametrize("text", [*SELECTIONS, *AXES, *ARRANGED])
def test_same(run_both: Any, text: str) -> None:
    run_both(apart(text), compiled=None)


@pytest.mark.parametrize(
    "text", [*SELECTIONS[:4], *SELECTIONS[8:14], *AXES[:8], *ARRANGED[:3], ARRANGED[20], ARRANGED[21]]
)
def test_is_compiled(run_both: Any, text: str) -> None:
    sites = run_both(apart(text))
    assert sum(bool(site.compiled) for site in sites) > len(sites) // 2


def test_arrays_of_several_pieces(run_both: Any) -> None:
    """What the last rounds made are different arrays, though each was made in a run of its own."""
    run_both(
        SETUP + "def f(v, w):\n"
        "  for i in range(2):\n    w, v = v, (v + w) * 0.5\n"
        "  return v, w, v is w\n"
        "r = f(v, w)\ns = f(v, w)\nt = f(v, w)\nx = r, s, t"
    )


def test_an_array_is_no_element(run_both: Any) -> None:
    run_both(
        SETUP + "f = 1.5\nfor j in range(0, 6, 2):\n  c[0, 0] -= f + j\n  if j > 1: f = c", compiled=None
    )


def test_short_extents_that_differ_share_their_code(run_both: Any) -> None:
    text = "def f(v, n):\n  s = v * 0.0\n  for i in range(n): s = s + v * v[i % 2]; v = v * 0.5\n  return s\n"
    (site,) = run_both(text + "x = [f(np.arange(1.0, k), 5) for k in (4, 5, 9, 7, 3, 8, 4, 6, 20)]")
    assert sum(map(len, site.kernels.values())) == 2, site.kernels


@pytest.mark.parametrize("text", SUMMED)
def test_sums_in_place(run_both: Any, text: str) -> None:
    run_both(SETUP + SUMS + text)


@pytest.mark.parametrize("text", EXTREMA)
def test_extrema_of_rows(run_both: Any, text: str) -> None:
    run_both(SETUP + ROWS + text, None)


@pytest.mark.parametrize("text", TABLES)
def test_bytes_that_select(run_both: Any, text: str) -> None:
    run_both(SETUP + BYTES + text, compiled=None)


def test_an_automaton_is_compiled(run_both: Any) -> None:
    (site,) = run_both(SETUP + BYTES + TABLES[0])
    assert site.leaves == 0
