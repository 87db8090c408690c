"""Loops of all forms, compiled and as written: the same values, types, arrays, errors, warnings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

SETUP = """
rng = np.random.default_rng(1)
n = 6
a = rng.random(n)
b = rng.random((n, n))
k = rng.integers(-4, 5, n)
u = rng.integers(0, 256, n).astype(np.uint8)
m = a > 0.5
x, y, z = 1, 0.5, True
"""

LOOPS = [
    "for i in range(n): a[i] = i",
    "for i in range(n): a[i] = a[i] * 2 + i",
    "for i in range(n - 1, -1, -1): a[i] -= a[i - 1]",
    "for i in range(1, n, 2): b[i, i - 1] = b[i - 1][i] / 3",
    "s = 0\nfor i in range(n): s += a[i]",
    "s = 0\nfor v in a: s += v",
    "s = 0.0\nfor i, v in enumerate(k): s += i * v",
    "s = 0.0\nfor i, v in enumerate(k, 3): s += i * v",
    "s = 0\nfor v, w in zip(k, a): s = s + v - w",
    "for i in range(n):\n  for j in range(n):\n    b[i, j] += i * j",
    "for i in range(n):\n  t = 0\n  for j in range(i): t += b[i, j]\n  a[i] = t",
    "c = 0\nfor i in range(n):\n  if a[i] > 0.5: c += 1\n  elif i == 2: c -= 5\n  else: c *= 2",
    "for i in range(n):\n  if i == 3: break\n  x += i",
    "for i in range(n):\n  if i == 3: continue\n  x += i\nelse:\n  x = -x",
    "for i in range(n):\n  if i == 3: break\nelse:\n  x = -x",
    "for i in range(n):\n  j = i\n  while j > 0:\n    j -= 2\n    x += j\n  else:\n    x += 100",
    "for i in range(n):\n  j = 0\n  while True:\n    j += 1\n    if j > i: break\n  x += j",
    "for i in range(n):\n  for j in range(n):\n    if j == i: break\n  else:\n    x += 1",
    "for i in range(n): x, y = y, x",
    "for i in range(n): a[i], a[n - 1 - i] = a[n - 1 - i], a[i]",
    "p = a\nq = a + 1\nfor i in range(n):\n  p[i] = q[i - 1] + 1\n  p, q = q, p",
    "for i in range(n): z = not z",
    "for i in range(n): z = a[i] > 0.5",
    "for i in range(n): z = m[i] and z",
    "for i in range(n): m[i] = not m[i]",
    "for i in range(n): m[i] = u[i]",
    "for i in range(n): x = min(x, k[i], 3)",
    "for i in range(n): x = max(a[i], x)",
    "for i in range(n): x = abs(k[i]) + abs(-1.5) + abs(a[i])",
    "for i in range(n): x = int(a[i] * 10) // 3 + int(k[i])",
    "for i in range(n): y = float(k[i]) / 4",
    "for i in range(n): y = k[i] / 4",
    "for i in range(n): y = x / 4; x = x + 3",
    "for i in range(n): x = k[i] // 3 + k[i] % 3 + (-7) // (i + 1) + (-7) % (i + 1)",
    "for i in range(n): y = a[i] // 0.3 + a[i] % 0.3 + (-a[i]) % 0.3 + (-a[i]) // 0.3",
    "for i in range(n): y = y // 0.3 + y % 0.7 - 1.1",
    "for i in range(n): y = a[i] ** 2 + (-a[i]) ** 3 + a[i] ** 0.5 + y ** 2",
    "for i in range(n): x = k[i] ** 2 + i ** 3",
    "for i in range(n): x = (x << 3) & 0xFFFF ^ i | 5; x = x >> 1",
    "for i in range(n): x = ~x",
    "for i in range(n): x = +u[i]",
    "for i in range(n): u[i] = u[i] // 2",
    "for i in range(n): u[i] = i",
    "for i in range(n): k[i] = a[i] * 100",
    "for i in range(n): y = a[i] if i % 2 else k[i]",
    "for i in range(n): y = a[i] if i % 2 else 0.5",
    "for i in range(n): y = 0 < a[i] < 0.5 < n",
    "for i in range(n): x = a.shape[0] + len(b) + b.shape[1] + b.ndim + b.size",
    "for i in range(n):\n  r, c = b.shape\n  x = r * c",
    "for i in range(n):\n  assert a[i] >= 0\n  x = i",
    "w = [3, 1, 2, 5, 4, 9]\nfor i in range(n): x += w[i] * w[-1]",
    "w = (0.5, 1.5, 2.5, 3.5, 1.0, 2.0)\nfor v in w: x += v",
    "d = bytes(range(9))\nfor v in d: x = x * 2 + v",
    "s, t = 'kitten', 'sittin'\nfor i in range(n):\n  if s[i] == t[i]: x += 1\n  c = s[i]",
    "import math\nfor i in range(n): y = math.sqrt(i) + math.floor(2.5) + math.ceil(a[i]) + math.fabs(-2)",
    "import math\nfor i in range(n): y = math.exp(a[i]) + math.sin(i) * math.cos(i) + math.log(i + 1)",
    "import math\nfor i in range(n): y = math.atan2(i, 2) + math.tanh(y) + math.pi",
    "for i in range(n): y = np.sqrt(a[i]) + np.abs(k[i]) + np.floor(a[i] * 5)",
    "for i in range(n): y = np.maximum(a[i], 0.25); x = np.minimum(k[i], 2)",
    "for i in range(n): y = np.float64(i) / 3; x = np.int64(i)",
    "for i in range(n): y = -a[i]; x = -x",
    "for i in range(n): y = y * 0 - 0.0",
    "for i in range(n):\n  if i == 4: y = str(i)",
    "for i in range(n):\n  if i % 2: w = i\n  a[i] = i",
    "for i in range(n):\n  i = i * 2\n  x += i",
    "for i in range(n): pass",
    "f = a.astype(np.float32)\nfor i in range(n): f[i] = f[i] * f[0] + f[i]",
    "f = a.astype(np.float32)\nfor i in range(n): f[i] = a[i]; y = f[i]",
    "f = a.astype(np.float32)\nfor i in range(n): y = f[i] * 0.1 + 0.1; x = f[i] > 0",
    "g = b[::2, ::-1]\nfor i in range(3):\n  for j in range(n): g[i, j] = g[i, j - 1] + 1",
    "g = b.T\nfor i in range(n):\n  for j in range(n): g[i, j] = b[i, j] + 1",
    "g = a[1:]\nfor i in range(n - 1): g[i] = a[i] * 2",
    "class C: pass\no = C(); o.n = 4; o.a = a\nfor i in range(o.n): o.a[i] += o.n",
    "def f():\n  t = 0\n  for i in range(n): t += a[i]\n  return t, i\nx = f()",
    "def f(a, n):\n  t = 0\n  for i in range(n): t = i * a[i]\n  return locals().keys() and t, i\nx = f(a, n)",
    "def f():\n  global x\n  for i in range(n): x += i\nf()",
    "for i in range(n):\n  for v in b[i]: x += v",
    "for i in range(n):\n  for j, v in enumerate(k): x += j * v",
]


@pytest.mark.parametrize("text", LOOPS)
def test_same(run_both: Any, text: str) -> None:
    run_both(SETUP + text)


FAILING = [
    "for i in range(n + 2): a[i] = 7; x = i",
    "for i in range(n): x += i; a[i] = 1 / (i - 3)",
    "for i in range(n): x += i; a[i] = 1.0 / (a[i] - a[3])",
    "for i in range(n): a[i] = x // (3 - i)",
    "for i in range(n): x = k[i] % (3 - i)",
    "for i in range(n): y = a[i] ** 500 * 1e300 * 1e300 if i == 4 else 0",
    "v = a * 1e308\nfor i in range(n): y = v[i] * 10; x = i",
    "v = a - a\nfor i in range(n): y = v[i] / v[i]",
    "for i in range(n): x = x * 1000003 * 1000033",
    "v = k * 0 + 2**62\nfor i in range(n): v[i] = v[i] + v[i]; x = i",
    "for i in range(n): u[i] = u[i] + 100",
    "for i in range(n): u[i] = 300 - i * 100",
    "for i in range(n): x = x << 20",
    "f = a.astype(np.float32)\nfor i in range(n): y = f[i] / 1e300; x = i",
    "f = a.astype(np.float32)\nfor i in range(n): x = f[i] == a[i]; z = f[i] < 0.3",
    "f = np.full(n, 0.1, np.float32)\nfor i in range(n): z = f[i] == 0.1; x = i",
    "for i in range(n): y *= -1; y = y * float('nan') if i == 2 else y",
    "for i in range(n): x = 1 << (3 - i)",
    "import math\nfor i in range(n): y = math.sqrt(3 - i); x = i",
    "import math\nfor i in range(n): y = math.log(3 - i); x = i",
    "import math\nfor i in range(n): y = math.exp(i * 400); x = i",
    "for i in range(n): y = np.sqrt(3.0 - i); x = i",
    "for i in range(n): x = int(a[i] * float('1e300')); y = i",
    "for i in range(n): k[i] = float('nan') if i == 3 else a[i]",
    "for i in range(n):\n  if i > 2: x += missing\n  x += 1",
    "for i in range(n):\n  if i == 3: raise ValueError(i)\n  a[i] = i",
    "for i in range(n):\n  assert i < 3, 'too far'\n  a[i] = i",
    "def f():\n  for i in range(n):\n    if i == 3: return i\n    a[i] = -1\nx = f()",
    "def f():\n  for i in range(n):\n    if i == 3: print(q)\n    if i > 4: q = 1\nf()",
    "a.flags.writeable = False\nfor i in range(n): a[i] = 1",
    "for i in range(n):\n  for j in range(n):\n    a[j] += 1\n    b[i + j, j] = a[j]",
    "for i in range(2, n):\n  del_ = 0\n  for j in range(i, 0, -1): x = b[j, j - i] / (j - 2)",
    "x = 2**70\nfor i in range(n): x += 1",
    "for i in range(n): y = (-a[i]) ** 0.5",
    "for i in range(n): y = (0.0 if i == 3 else 1.0) ** -1",
    "t = 'abcd'\nfor i in range(n): c = t[i]",
    "t = [1, 2, 3, 4]\nfor i in range(n): c = t[i]",
    "for i in range(n): m[i] = m[i] + 1 > 1; y = m[i] - m[0]",
]


@pytest.mark.parametrize("text", FAILING)
def test_same_where_python_must_take_over(run_both: Any, text: str) -> None:
    run_both(SETUP + text, compiled=None)
    body = "\n".join(f"  {line}" for line in text.split("\n"))
    run_both(
        f"{SETUP}def run(a, b, k, u, m, x, y, z, n):\n{body}\nrun(a, b, k, u, m, x, y, z, n)", compiled=None
    )


def test_types_of_numpy_scalars_stay(run_both: Any) -> None:
    for name in (
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float32",
        "float64",
        "bool",
    ):
        v = np.array([1, 0, 1, 1]).astype(name)
        run_both("for i in range(4):\n  t = v[i]\n  w[i - 1] = v[i]\n", v=v, w=v.copy())
        run_both("for i in range(4):\n  w[i] = t\n", compiled=None, v=v, w=v.copy(), t=v[0])


FUNCTIONS = [
    "def f(p, q): return p * q + 1\nfor i in range(n): x = f(i, x % 7)",
    "def f(p, i):\n  if i > 2: return p[i]\n  return p[0] / 2\nfor i in range(n): y = f(a, i)",
    "def f(p):\n  s = 0\n  for v in p: s += v\n  return s\nfor i in range(n): y = f(a) + i",
    "def f(p): return g(p) + n\ndef g(p): return p * h\nh = 3\nfor i in range(n): x = f(i) + f(x % 5)",
    "def f(p):\n  while p > 1:\n    p = 3 * p + 1 if p % 2 else p // 2\n  return p\nfor i in range(n): x += f(i + 1)",
    "import math\ndef f(p): return math.sqrt(p) + np.sqrt(p)\nfor i in range(n): y = f(i)",
    "def f(p, i): p[i] += 1; return p[i]\nfor i in range(n): y = f(a, i)",
    "def f(n): return n + 1\nfor i in range(n): x = f(i) + n",
    "def f(p):\n  if p < 3: q = p\n  return q\nfor i in range(n):\n  if i < 3: x = f(i)",
    "def f(p): return a[p]\ndef run(a): \n  for i in range(n): y = f(i) + a[i]\n  return y\ny = run(a + 1)",
]
FAILING_FUNCTIONS = [
    "def f(p):\n  if p < 3: q = p\n  return q\nfor i in range(n): x = f(i)",
    "def f(p):\n  if p < 3: return p\nfor i in range(n): x = f(i)",
    "def f(p): return f(p - 1) if p else 0\nfor i in range(n): x = f(i)",
    "def f(p, i): p[i] = 1; return p[i + 3]\nfor i in range(n): y = f(a, i)",
    "def f(p, q=2): return p + q\nfor i in range(n): x = f(i)",
    "def f(*p): return p[0]\nfor i in range(n): x = f(i)",
    "def f(p):\n  yield p\nfor i in range(n): x = f(i)",
    "f = lambda p: p + 1\nfor i in range(n): x = f(i)",
    "def f(p):\n  global y\n  y = p\n  return p\nfor i in range(n): x = f(i)",
    "def make(k):\n  def f(p): return p + k\n  return f\nf = make(3)\nfor i in range(n): x = f(i)",
    "def f(p): return p + 1\nfor i in range(n):\n  x = f(i)\n  if i == 2: f = abs",
    "def f(p): return p + h\nfor i in range(n): h = i; x = f(i)",
    "def f(p): return p + h\nh = 0\ndef run():\n  global h\n  for i in range(n): h += i; x = f(i)\nrun()",
    "def f(p): return p.real\nfor i in range(n): y = f(a[i])",
]


@pytest.mark.parametrize("text", FUNCTIONS)
def test_functions_of_the_program(run_both: Any, text: str) -> None:
    run_both(SETUP + text)


@pytest.mark.parametrize("text", FAILING_FUNCTIONS)
def test_functions_that_cannot_be_part_of_a_loop(run_both: Any, text: str) -> None:
    run_both(SETUP + text, compiled=None)


@pytest.mark.parametrize("value", [-(2**63), -(2**53) - 1, 2**63 - 1])
def test_a_large_integer_where_floats_are_met_as_well(run_both, value: int) -> None:
    """The least integer has no absolute value in 64 bits: NumPy would warn of it, in MinPy's code."""
    run_both(
        f"""
def run(g):
    for i in range(50):
        if i > 40:
            g = g * 0.5
        s = g + 1.0
    return s, g
found = run(np.int64({value})), run(np.int64(3)), run(np.int64({value}))
"""
    )
