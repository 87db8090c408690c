# ruff: noqa: E501
"""The short way into compiled loops: what changes between two entries, and what must not be lost on it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

from minpy.runtime.jit import guard, shortcut
from minpy.runtime.jit.guard import running

if not shortcut.is_possible():  # no figure of it is promised there
    pytest.skip("this interpreter is laid out in another way", allow_module_level=True)

# A program each; what it leaves behind must be as in plain Python, whatever way its loops went. `f` is entered once the
# long way, then with what may differ.
PROGRAMS = {
    "the same again": "def f(a):\n  s = 0.0\n  for i in range(len(a)): s += a[i]\n  return s, i\na = np.arange(8.0)\nx = [f(a), f(a), f(a[::2]), f(a)]",
    "other kinds of a number": """
def f(x, n):
  for i in range(n): x = x + i
  return x
x = [f(v, 9) for v in (1, 2, 2.5, np.float64(2), np.int64(3), np.float32(1.5), True, np.bool_(1), 2**62, 2**70, 1, 'a'[:0] or 4, 2j, 1)]""",
    "every kind that NumPy has": """
def f(x, n):
  k = 0
  for i in range(n):
    y = x
    k += i
  return y, k
kinds = ('int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 bool').split()
x = [f(np.dtype(kind).type(v), 5) for kind in kinds for v in (1, 0, 100) for _ in range(3)]""",
    "new arrays and views from different pieces of a run": """
def f(a, w, p):
  v, s = w, a
  for i in range(len(p)):
    if p[i]: v = w * 2
    else: s = a[i:]
  return v, s
a, w = np.arange(12.0).reshape(4, 3), np.arange(3.0)
x = [f(a, w, np.array(p)) for p in ([0, 1], [0, 1], [1, 0], [1, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 1], [1, 0, 0, 0])]""",
    "other arrays": """
def f(a):
  s = 0
  for i in range(a.shape[0]): s += a[i]
  return s
arrays = [np.arange(9), np.arange(9), np.arange(9.0), np.arange(9)[::-1], np.arange(9, dtype='i4'), np.arange(9, dtype='>i8'), np.arange(4)]
x = [f(v) for v in arrays * 3]""",
    "columns, rows and tables": """
def f(a, b, n):
  for i in range(n): c = a * b + i
  return c
shapes = [(4, 1), (4, 1), (4, 5), (1, 5), (4, 1), (1, 1)]
x = [f(np.arange(20.0).reshape(4, 5)[:s[0], :s[1]] if s != (4, 1) else np.arange(4.0).reshape(s), np.ones((4, 5)), 3) for s in shapes]
x += [f(np.arange(4.0).reshape(4, 1), np.arange(5.0), 3), f(np.arange(20.0).reshape(4, 5), np.arange(5.0), 3)]""",
    "transposed matrices": """
def f(a, n):
  for i in range(n): c = a.T * 2
  c[0] = 7
  return c
made = [f(np.arange(float(k * m)).reshape(k, m), 3) for k, m in [(4, 3), (4, 3), (2, 5), (1, 3), (3, 1), (4, 3)]]
x = [(c, c.strides, c.flags.f_contiguous) for c in made]""",
    "another number of axes": """
def f(a, n):
  s = 0.0
  for i in range(n): s = s + a[i].sum()
  return s
x = [f(v, 4) for v in [np.ones((4, 3)), np.ones((4, 3)), np.ones((4, 2, 2)), np.ones((4, 3)), np.ones(4)]]""",
    "short last axes of several lengths": """
def f(a, n):
  for i in range(n): s = (a * a[0]).sum(axis=-1); a = a - s[:, None]
  return s, a
lengths = [3, 3, 4, 12, 3, 1, 9, 0, 2, 3, 4]
x = [f(np.sin(np.arange(4.0 * k)).reshape(4, k), 3) for k in lengths]""",
    "a variable that is not bound": """
def f(n, bind):
  if bind: t = 5
  for i in range(n):
    if i == 3 and not bind: t = i
    if i > 3: q = t + i
  return t, q
x = [f(9, b) for b in (True, True, False, False, True)]""",
    "one that stays unbound": """
def f(n):
  for i in range(n):
    if i > 99: t = i
  try: return t
  except UnboundLocalError as e: return str(e)
x = [f(n) for n in (3, 3, 101, 3)]""",
    "no rounds": """
def f(n):
  i = 'before'
  for i in range(n): k = i
  try: return i, k
  except UnboundLocalError as e: return i, str(e)
x = [f(n) for n in (3, 3, 0, 1, -4, 2)]""",
    "ranges": """
def f(*a):
  s = [0]
  t = 0
  for i in range(*a) if False else range(a[0], a[1], a[2]): t = t * 3 + i
  return t
x = [f(*v) for v in [(0, 5, 1), (0, 5, 1), (9, -3, -2), (9, -3, -5), (3, 3, 1), (5, 0, 1), (-4, 4, 3), (True, 5, 1), (np.int64(1), 6, np.int32(2))]]
def g(*a):
  t = 0
  for i in range(a[0], a[1], a[2]): t += i
  return t
for v in [(0, 4, 1), (0, 4, 1), (0, 4, 0)]: t = g(*v)""",
    "no number": "def f(n):\n  t = 0\n  for i in range(n): t += i\n  return t\nx = [f(5), f(5)]\nf(2.5)",
    "an index beyond the end": """
def f(a, n):
  for i in range(n):
    a[i] = i
    a[i + 1] += 1
  return a
x = [f(np.zeros(9), 8), f(np.zeros(9), 8)]
b = np.zeros(6)
f(b, 8)""",
    "taken back in the middle of a round": """
def f(a, n, m):
  k = -1
  for i in range(n):
    k = k + 1
    for j in range(m):
      a[j] += i
      if j == m - 1: a[j + i] = 1
  return a
x = [f(np.zeros(12), 4, 6) for _ in range(3)]
b = np.zeros((3, 20))
for v in (b[0, :8], b[:, 0], b[1, ::2]):
  try: f(v, 5, 6)
  except IndexError as e: x.append(str(e))""",
    "division by zero": "def f(a, b):\n  s = 0\n  for i in range(len(a)): s += a[i] // b[i]\n  return s\nx = [f(np.array([4, 6]), np.array([2, 3])), f(np.array([4, 6]), np.array([2, 3])), f(np.array([4, 6]), np.array([2, 0]))]",
    "an integer too large": """
def f(x, n):
  for i in range(n): x = x * 3
  return x
x = [f(1, 20), f(1, 20), f(1, 60), f(5, 2)]""",
    "an integer among floats": """
def f(x, n):
  for i in range(n):
    if i > 2: x = x + 0.5
  return x
x = [f(1, 2), f(1, 6), f(1, 6), f(2**53, 6), f(2**53 + 1, 6), f(-2**60, 6), f(7, 1)]""",
    "break and else": """
def f(n, m):
  for i in range(n):
    if i == m: break
  return i
def g(n, m):
  s = 0
  for i in range(n):
    s += i
  else: s = -s
  return s
x = [f(9, m) for m in (3, 3, 5, 20)] + [g(5, 1), g(5, 1), g(0, 2)]""",
    "elements, enumerate and zip": """
def f(a, b):
  s = 0.0
  for v in a: s += v
  for i, v in enumerate(a): s += i * v
  for i, v in enumerate(b, 3): s += i * v
  for v, w in zip(a, b): s += v * w
  return s, i, v, w
x = [f(*v) for v in [(np.arange(5.0), np.arange(3)), (np.arange(5.0), np.arange(3)), (np.arange(3.0), np.arange(9)), (np.arange(4.0), [1, 2]),
  (np.arange(1.0), np.arange(2, dtype='i4')), (np.arange(5.0)[::2], np.arange(3)), (np.arange(5.0), np.arange(3))]]""",
    "rows": """
def f(a):
  s = []
  for row in a: s.append(row.sum())
  return s, row
a = np.arange(12.0).reshape(4, 3)
x = [f(a), f(a), f(a[:2]), f(a.T), f(a)]
same = x[1][1].base is a.base""",
    "a global variable": "k, n = 2, 5\ndef f():\n  s = 0\n  for i in range(n): s += k * i\n  return s\nx = [f(), f()]\nk = 3\nx.append(f())\nk = 2.5\nx.append(f())\nn = 8\nx += [f(), f()]\ndel k\nf()",
    "variables of the module": "s, a = 0, np.arange(5)\nfor _ in '1234':\n  for i in range(5):\n    s += a[i]\n    t = s * 0.5\n  if _ == '3': a = a * 0.25\n  if _ == '2': s = s * 1.0",
    "a built-in function with another meaning": """
def f(v):
  s = 0
  for i in range(5): s += abs(v - i)
  return s
x = [f(2), f(2)]
abs = lambda v: 100
x += [f(2), f(2)]
del abs
x += [f(2), f(2)]""",
    "a function of NumPy with another meaning": """
def f(v):
  s = 0.0
  for i in range(5): s += np.sqrt(v + i)
  return s
x, old = [f(2.0), f(2.0)], np.sqrt
np.sqrt = lambda v: 100.0
try: x += [f(2.0), f(2.0)]
finally: np.sqrt = old
x += [f(2.0), f(2.0)]""",
    "a function that is defined again": """
def g(v): return v + 1
def f():
  s = 0
  for i in range(5): s += g(i)
  return s
x = [f(), f()]
def g(v): return v + 2
x += [f(), f()]
g.__code__ = (lambda v: v + 3).__code__
x += [f(), f()]""",
    "attributes": """
class C: pass
def f(c):
  s = 0
  for i in range(c.n): s += c.a[i] * c.w
  return s
c, d, e = C(), C(), C()
c.n, c.a, c.w = 4, np.arange(9), 2
d.w, d.a, d.n = 2.5, np.arange(9.0), 5
e.n = 3
x = [f(c), f(c), f(d), f(c)]
c.w, c.n = 7, 6
x += [f(c)]
C.w = property(lambda self: 1000)
x += [f(c), f(c)]
del C.w
x += [f(c), f(c)]
C.__getattribute__ = lambda self, name: object.__getattribute__(self, name) if name != 'w' else -1
x += [f(c), f(c)]
del C.__getattribute__
x += [f(c)]
f(e)""",
    "attributes of attributes": """
class C: pass
def f(c):
  s = 0
  for i in range(5): s += c.d.e.a[i]
  return s
c = C(); c.d = C(); c.d.e = C(); c.d.e.a = np.arange(6)
x = [f(c), f(c)]
c.d.e.a = np.arange(6.0)
x += [f(c), f(c)]
c.d = C(); c.d.e = C(); c.d.e.a = np.ones(6)
x += [f(c), f(c)]
class D(C):
  __slots__ = ()
c.d = D(); c.d.e = C(); c.d.e.a = np.ones(6, int)
x += [f(c), f(c)]""",
    "variables of functions around": """
def outer(k, a):
  def f(n):
    s = 0
    for i in range(n): s += k * a[i]
    return s
  x = [f(5), f(5)]
  k = 2.5
  x += [f(5), f(5)]
  a = a * 0.5
  x += [f(5), f(5)]
  return x
x = outer(2, np.arange(9)) + outer(3, np.arange(9))""",
    "an argument that a function inside has": """
def f(n, a):
  s = 0
  for i in range(n): s += a[i]
  g = lambda: a
  return s, g().sum()
x = [f(5, np.arange(9)), f(5, np.arange(9)), f(5, np.arange(9.0))]""",
    "a generator": """
def g(n, a):
  for k in range(3):
    s = 0.0
    for i in range(n): s += a[i] * k
    yield s
  while n > 0: n -= 1
  yield n
x = list(g(5, np.arange(9))) + list(g(5, np.arange(9)))""",
    "recursion": """
def f(n, a):
  s = 0
  for i in range(n): s += a[i]
  t = f(n - 1, a) if n else 0
  for i in range(n): s += a[i] * 2
  return s + t, i if n else None
def g(n, a): return f(n, a)[0] if n > 5 else 0
x = [s for s in (1, 2)]
def h(n, a):
  s = 0
  for i in range(n): s += a[i]
  return s + (h(n - 1, a) if n else 0)
x += [h(8, np.arange(9)), h(8, np.arange(9.0))]""",
    "an array that must not be written": """
def f(a, n):
  for i in range(n): a[i] = a[i] + i
  return a
a = np.zeros(5)
x = [f(a, 5), f(a, 5)]
a.flags.writeable = False
f(a, 5)""",
    "the same array twice": """
def f(a, b, n):
  for i in range(n):
    for j in range(n):
      a[j] = b[n - 1 - j] + i
      if a[j] > 40: b[j + n + 100] = 0
  return a, b
a = np.arange(6.0)
x = [f(np.arange(6.0), np.arange(6.0), 6), f(a, a, 6), f(a, a[::-1], 6)]
try: f(a, a, 6); f(a, a, 6); f(a, a, 6); f(a, a, 6)
except IndexError as e: x.append(str(e))""",
    "new arrays and views": """
def f(a, n):
  for i in range(n):
    row = a[i]
    col = a[:, 0]
    new = row * 2
    part = new[1:]
    both = new
    other = np.zeros(3)
    other[1] = new[0] + col[i]
  return row, col, new, part, both, other
def facts(v):
  row, col, new, part, both, other = v
  return [new is both, part.base is new, row.base is not None and row.flags.writeable, np.shares_memory(part, new), other.flags.owndata,
    [(q.shape, q.strides, q.flags.c_contiguous, q.flags.writeable) for q in v]]
a = np.arange(12.0).reshape(3, 4)
x = []
for _ in range(3):
  v = f(a, 3); x += [v, facts(v), v[0].base is a or v[0].base is a.base]
  v[0][:] = 7; v[1][0] = 5
b = a.copy(); b.flags.writeable = False
v = f(b, 2); x += [v, facts(v)]
v = f(a.T, 3) ; x += [v, facts(v)]
v = f(a[::-1], 3) ; x += [v, facts(v)]
v = f(a[:, ::2], 3)""",
    "arrays that only came in": """
def f(now, old, steps):
  for _ in range(steps):
    for i in range(len(now)): old[i] = now[i] * 2
    now, old = old, now
  return now, old
a, b = np.ones(4), np.zeros(4)
x = []
for k in (3, 3, 4, 0, 1):
  p, q = f(a, b, k); x += [p is a, q is b, p is b, p, q]""",
    "lists that are appended to": """
def f(n, a, b):
  for i in range(n):
    a.append(i)
    if i % 2: b.append(i * 0.5)
  return a, b
one = []
x = [f(5, [], []), f(5, [], []), f(5, [1.5], ['a']), f(5, (), []) if 0 else None]
try: f(5, one, one)
except Exception as e: x.append(repr(e))
x.append(one)""",
    "appended in a round that is taken back": """
def f(n, a, out):
  for i in range(n):
    out.append(i)
    out.append(a[i] * 2.5)
    a[i] = 0
    for k in range(2): a[i + k] += 1
  return out
x = [f(4, np.arange(9), []), f(4, np.arange(9), [])]
out = []
try: f(9, np.arange(5), out)
except IndexError as e: x.append(str(e))
x.append(out)
def g(n, a, out):
  for i in range(n):
    for k in range(2):
      out.append(k)
      a[i + k] += 1
  return out
x += [g(4, np.arange(9), []), g(4, np.arange(9), [])]
out = []
try: g(9, np.arange(5), out)
except IndexError as e: x.append(str(e))
x.append(out)""",
    "while loops": """
def f(a, b, n):
  k = 0
  while a < b and k < n:
    a = a * 2 + 1
    k += 1
    if a == 63: break
  return a, k
x = [f(*v) for v in [(0, 1000, 99), (0, 1000, 99), (1, 1000, 4), (0.5, 1000, 99), (5, 2, 9), (2, 1000, 99)]]""",
    "while loops that end in an error": """
def f(a, i):
  while a[i] > 0:
    a[i] -= 1
    i += 1
  return i
x = [f(np.array([2, 2, 0]), 0), f(np.array([2, 2, 0]), 0)]
b = np.array([2, 2, 2])
f(b, 0)""",
    "what NumPy says of floats": """
def f(v, n):
  for i in range(n): v = v * 0.5
  return v
x = [f(1.0, 20), f(1.0, 20)]
with np.errstate(all='ignore'): x.append(f(np.float64(1e-300), 90))
with np.errstate(under='raise'):
  try: x.append(f(np.float64(1e-300), 90))
  except FloatingPointError as e: x.append(str(e))
x.append(f(1.0, 20))""",
    "warnings": """
def f(a, n):
  s = np.float64(0)
  for i in range(n): s += a[i] * 1e308
  return s
x = [f(np.array([0.1, 0.2]), 2), f(np.array([0.1, 0.2]), 2), f(np.array([1.5, 1.6]), 2)]""",
    "sums whose order is another one": """
def f(a, n):
  s = 0.0
  for i in range(n): s += a[i].sum()
  return s
a = np.linspace(0, 1, 3000).reshape(3, 1000)
x = [f(a, 3), f(a, 3)]
old = np.setbufsize(16)
try: x.append(f(a, 3))
finally: np.setbufsize(old)
x.append(f(a, 3))""",
    "strings": """
def f(a, b, n):
  d = np.zeros(n, int)
  for i in range(n): d[i] = (a[i] == b[-i - 1]) + 2 * (a[i] == 'c')
  return d
words = ['abcabc', 'acgtcc', 'a', 'c', '', 'h\xe9ll\xf6c', 'c\u4e2dabcd', 'c\U0001f600abcd', chr(0xD800) + 'ccc', 'x' * 9000]
x = []
for s in words:
  for t in words[:6]:
    try: x.append(f(s, t, 4))
    except IndexError as e: x.append(str(e))
try: x.append(f(['a', 'c'], 'ac', 2))
except IndexError as e: x.append(str(e))
x.append(f(b'abcabc', b'cabcab', 6))""",
    "loops over strings and bytes": """
def f(a, b):
  s = 0
  for c in a: s += c == 'c'
  for k in b: s = s * 3 % 1000 + k
  for k, c in enumerate(a): s += k * (c == 'a')
  for c, k in zip(a, b): s += k * (c == 'b')
  return s
x = [f(a, b) for a in ('abcabc', 'c', '', 'c\u4e2d', 'c' * 20000) for b in (b'abc', b'', bytes(300), (3, 4, 5), [9, 8])]""",
    "lists and tuples of numbers": """
def f(a, n):
  s = 0
  for i in range(n): s = s + a[i]
  return s
whole, parts = list(range(9)), [0.5 * k for k in range(9)]
given = [whole, parts, whole, tuple(whole), tuple(parts), parts, [True] * 9, [1, 2.5] * 5, [2**62] * 9, [1] * 8 + [2**70]]
given += [[], (), [3] * 10000, [np.float64(1)] * 9, whole[:3], np.arange(9), range(9), whole, parts]
x = []
for k in range(3):
  for each in given:
    try: x.append(f(each, 9))
    except IndexError as e: x.append(str(e))
  whole[k], parts[k] = -5, -2.5
  whole.append(k)""",
    "loops over lists": """
def f(a, b, g):
  s = 0.0
  for v, w in zip(a, b): s += v * w
  for i, v in enumerate(b, 2): s += i * v
  for v in a: s -= v * g[0]
  return s
x = [f(a, b, [2.5]) for a in ([1, 2], [1, 2, 3], (1, 2), [1.5, 2.0], []) for b in ([1.0, 3.0], (1, 4, 5), np.ones(3))]""",
    "a list that is read and appended to": """
def f(a, b):
  for i in range(4): b.append(a[i])
  return b
one, two = [1, 2, 3, 4], [1.5, 2.5, 3.5, 4.5]
x = [f(one, []), f(one, []), f(two, [2]), f(one, one), f(two, two), f(one, []), f('abcd', []), f('abcd', [])]""",
    "a subclass of arrays": """
class A(np.ndarray): pass
def f(a, n):
  s = 0
  for i in range(n): s += a[i]
  return s
x = [f(np.arange(5), 5), f(np.arange(5), 5), f(np.arange(5).view(A), 5), f([1, 2, 3, 4, 5], 5), f(np.arange(5), 5)]""",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_in_plain_python(run_both: Any, name: str) -> None:
    found = run_both(PROGRAMS[name], compiled=None)
    assert any(site.shortcut and site.shortcut.rounds for site in found), found


@pytest.mark.parametrize(
    ("given", "entries"),
    [
        ("'abcd'", 3),
        ("b'abcd'", 3),
        ("[1, 2, 3, 4]", 3),
        ("(1.5, 2.5, 3.5, 4.5)", 3),
        ("[1, 2, 3, 4] * 3000", 0),
    ],
)
def test_sequences_go_the_short_way(run_both: Any, given: str, entries: int) -> None:
    text = "def f(a):\n  s = 0\n  for i in range(4): s += a[i] == a[0]\n  return s\nx = [f({}) for _ in range(2)]"
    (site,) = run_both(text.format(given))
    assert site.shortcut.rounds == 4 * entries


def _again(run_both: Any, text: str) -> Callable[..., Any]:
    """The function `f` of a text, whose loop is known."""
    kept: dict[str, Any] = {}
    found = run_both(f"{text}\nkeep(f)\n", keep=lambda f: kept.__setitem__("f", f))
    assert found[0].shortcut
    return kept["f"]


SUM = "def f(a, n):\n  s = 0.0\n  for i in range(n):\n    s += a[i]\n    a[i] = s\n  return s\nx = f(np.ones(4), 4)"


def test_nothing_is_lost(run_both: Any) -> None:
    """References and memory are as before, after many entries and after some that are left early."""
    f = _again(run_both, SUM)
    a, before = np.zeros(50), 0
    for k in range(400):
        f(a, 50)
        if k % 40 == 0:
            with pytest.raises(IndexError):
                f(a, 51)
        if k == 100:
            before = sys.getallocatedblocks()
    assert sys.getrefcount(a) == 2
    assert sys.getallocatedblocks() < before + 100


def test_nobody_must_look_on(run_both: Any) -> None:
    f = _again(run_both, SUM)
    lines: list[int] = []

    def look(frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code is f.__code__ and event == "line":
            lines.append(frame.f_lineno)
        return look

    sys.settrace(look)
    try:
        f(np.ones(3), 3)
    finally:
        sys.settrace(None)
    assert len(lines) > 8


def test_the_site_is_asked_for_what_is_new(run_both: Any) -> None:
    f = _again(run_both, SUM)
    assert f(np.arange(3), 3) == 3
    assert f(np.ones(3), 3) == 3
    assert f(np.ones(3, np.float32), 3) == 3


def test_a_site_that_gives_up_is_called_no_more(run_both: Any) -> None:
    kept: dict[str, Any] = {}
    (site,) = run_both(f"{SUM}\nkeep(f)\n", keep=lambda f: kept.__setitem__("f", f))
    assert kept["f"](np.ones(3), 3) == 3
    rounds = site.compiled
    site.give_up("a reason")
    assert kept["f"](np.ones(3), 3) == 3
    assert site.compiled == rounds


def test_long_runs_are_handed_back(run_both: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes longer than a piece goes on the long way; nothing is run twice."""
    monkeypatch.setattr(running, "LONGEST", 1)
    guard.text.cache_clear()
    shortcut._guard.cache_clear()
    try:
        found = run_both(
            "def f(a, n):\n  s = 0\n  for i in range(n):\n    s += a[i]\n    a[i] += 1\n  return s, i\n"
            "a = np.arange(5000)\nx = [f(a, 5000) for _ in range(4)]"
        )
        assert 0 < found[0].shortcut.rounds < 4 * 2 * 5000
    finally:
        guard.text.cache_clear()
        shortcut._guard.cache_clear()


def test_functions_of_one_name_are_kept_apart(tmp_path, monkeypatch) -> None:
    """What is kept of a loop that calls one function must not serve for another that has taken its name."""
    from minpy.runtime.jit import bind

    def g(v):
        return v + 1

    first = bind._definition(g)

    def g(v):
        return v + 2

    assert first != bind._definition(g)
    one, other = (lambda v: v + 1), (lambda v: v + 2)
    assert bind._definition(one) != bind._definition(other)
    assert bind._definition(len) == ()
