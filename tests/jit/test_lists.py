"""Lists that a loop appends to: compiled and as written."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

SETUP = """
rng = np.random.default_rng(1)
n = 60
a = rng.random(n)
k = rng.integers(-4, 5, n)
m = a > 0.5
x, y = 1, 0.5
out = [None, 'first']
"""

LOOPS = [
    "for i in range(n): out.append(i)",
    "for i in range(n): out.append(a[i]); y += a[i]; out.append(y)",
    "for i in range(n):\n  out.append(k[i] * 2)\n  out.append(i / 3)\n  out.append(m[i])\n  out.append(i > 3)",
    "for i in range(n):\n  if a[i] > 0.5: out.append(i)",
    "for i in range(n):\n  for j in range(i % 3): out.append(i * j)",
    "for i in range(n):\n  out.append(x)\n  x = x + 0.5 if i > 5 else x + 1",
    "s = 'abc' * 9\nfor c in s:\n  out.append(c)",
    "for i in range(n):\n  out.append(i)\n  a[i] = 2\n  out.append(a[i])",
    "class C: pass\no = C()\no.out = out\nfor i in range(n): o.out.append(i)",
    "other = []\nfor i in range(n): out.append(i); other.append(a[i])",
    "def f():\n  found = []\n  for i in range(n):\n    if k[i] > 0: found.append(a[i] * i)\n  return found\nr = f()",
    "for i in range(n): out.append(np.float64(y)); out.append(np.int64(3))",
]
# Errors half-way, changes of what is done with the list, and lists that are more than appended to.
OTHERS = [
    "for i in range(n): out.append(1 / (40 - i))",
    "for i in range(n): out.append(i); a[i + 5] = 2",
    "for i in range(n): a[i] = 3; out.append(i); x = 1 // (50 - i)",
    "for i in range(n):\n  out.append(i)\n  if i == 30: out.append('x')",
    "for i in range(n):\n  out.append(i)\n  if i == 30: out.clear()",
    "for i in range(n): out.append(i); x = len(out)",
    "out = [1, 2]\nfor i in range(n): out.append(out[-1] + out[-2])",
    "out = [1]\nfor e in out:\n  if e < 50: out.append(e + 1)",
    "out = [1]\nfor i, e in enumerate(out):\n  if e < 50: out.append(e + 1)",
    "out = [1]\nfor i, e in zip(range(30), out): out.append(e + 1)",
    "also = out\nfor i in range(n): out.append(i); also.append(-i)",
    "also = out = [1, 2]\nfor i in range(n): out.append(also[i])",
    "also = out = [1, 2]\nfor i in range(n):\n  out.append(i)\n  for e in also: x += e",
    "for i in range(n):\n  out.append(i)\n  if i == 7: out = []",
    "class L(list): pass\nout = L()\nfor i in range(n): out.append(i)\nout = list(out)",
    "class L(list):\n  def append(self, e): pass\nout = L()\nfor i in range(n): out.append(i)\nout = [*out]",
    "import collections\nout = collections.deque()\nfor i in range(n): out.append(i)\nout = list(out)",
    "for i in range(n): x = out.append(i)",
    "for i in range(n): out.append(i, i)",
    "for i in range(n): out.append(a[i:])",
    "add = out.append\nfor i in range(n): add(i)",
    "def f(e): out.append(e)\nfor i in range(n): f(i)",
    "def f(): return len(out)\nfor i in range(n): out.append(f())",
]


@pytest.mark.parametrize("text", LOOPS)
def test_appended_numbers(run_both: Any, text: str) -> None:
    run_both(SETUP + text)


@pytest.mark.parametrize("text", OTHERS)
def test_lists_where_python_must_take_over(run_both: Any, text: str) -> None:
    run_both(SETUP + text, compiled=None)
