"""Random numbers in loops: the same numbers, and the same state afterwards."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

SETUP = """
import random
random.seed(5)
np.random.seed(6)
rng = np.random.default_rng(7)
old = np.random.RandomState(8)
sfc = np.random.Generator(np.random.SFC64(3))
n, x, y = 800, 0, 0.0
a = np.zeros(n)
out = []
"""
AFTER = """
last = [random.random(), np.random.rand(), rng.random(), rng.integers(100), old.rand(), sfc.normal()]
"""
LOOPS = [
    "for i in range(n): y += random.random()",
    "for i in range(n): y += np.random.rand() * np.random.random() - np.random.random_sample()",
    "for i in range(n): a[i] = rng.random() + sfc.random()",
    "for i in range(n): out.append(old.rand() + old.random_sample())",
    "for i in range(n):\n  if rng.random() ** 2 + rng.random() ** 2 < 1: x += 1",
    "for i in range(n):\n  while random.random() < 0.5: x += 1\n  out.append(random.random())",
    "from random import random\nfor i in range(n): y += random()\nimport random",
    "def f(p): return rng.random() < p\nfor i in range(n): x += f(0.3)",
    "class C: pass\no = C(); o.rng = rng\nfor i in range(n): y += o.rng.random()",
    "mine = random.Random(3)\nfor i in range(n): y += mine.random()\nz = mine.random()",
    "also = rng\nfor i in range(n): y += rng.random() - also.random()",
    "for i in range(n): x += rng.integers(10) - sfc.integers(-5, 7) + rng.integers(0, 2**32 - 1)",
    "old = np.random.Generator(np.random.MT19937(2))\nfor i in range(n): x = rng.integers(0, 3 * 2**30); "
    "out.append(old.integers(5) + x)",
    "for i in range(n): k = rng.integers(0, n, n); a += k; "
    "x = sfc.integers(7, size=3)[1] + rng.integers(i, i + 9, size=i).sum()",
    "for i in range(n): a[rng.integers(n)] += rng.random()",
]
# Iterations that are left after they have drawn, and draws that are not ours.
OTHERS = [
    "for i in range(n):\n  y += random.random()\n  a[i] = 1 / (i - 700)",
    "for i in range(n):\n  y += rng.random()\n  if i % 300 == 299: out.append(str(y))",
    "for i in range(n):\n  a[i] = np.random.rand()\n  if i == 300: np.random.seed(1)",
    "for i in range(n):\n  a[i] = rng.random()\n  if i % 100 == 50: x = rng.integers(10, dtype=np.int32)",
    "for i in range(n):\n  a[i] = rng.integers(9)\n  if i == 700: x = rng.integers(i - 700)",
    "for i in range(n): a[i] = rng.integers(i - 700, 0)",
    "for i in range(n): a[i] = rng.integers(1, 2**40) + rng.integers(1) + rng.integers(0, 5, endpoint=True)",
    "for i in range(n): a[:3] += rng.integers(4, size=3) + rng.integers([4, 5, 6]); "
    "x += rng.integers(2, size=(2, 2))[1, 1]",
    "for i in range(n): a[i] = rng.integers(5, size=3 - i // 200)[-1]",
    "for i in range(n): a[i] = rng.random(3)[0]",
    "for i in range(n): a[i] = np.random.rand(2)[1] + random.uniform(1, 2)",
    "for i in range(n): a[i] = rng.random(dtype=np.float32)",
    "for i in range(n):\n  a[i] = rng.random()\n  if i == 400: rng = np.random.default_rng(1)",
    "class R(random.Random):\n  def random(self): return 0.5\nmine = R()\nfor i in range(n): y += mine.random()",
    "for i in range(n):\n  a[i] = rng.random()\n  a[i + 5] = rng.random()",
]


@pytest.mark.parametrize("text", LOOPS)
def test_drawn_in_loops(run_both: Any, text: str) -> None:
    run_both(f"{SETUP}{text}\n{AFTER}")


@pytest.mark.parametrize("text", OTHERS)
def test_draws_where_python_must_take_over(run_both: Any, text: str) -> None:
    run_both(f"{SETUP}{text}\n{AFTER}", compiled=None)


def test_one_code_for_all_generators(run_both: Any) -> None:
    """Which generator numbers come from is told to the code when it runs."""
    text = """
def f(seed):
    rng = np.random.default_rng(seed)
    y = 0.0
    for i in range(300):
        y += rng.random() * rng.integers(i + 2)
    return y, rng.random()
found = []
for seed in range(9):
    found.append(f(seed))
"""
    found = run_both(text, compiled=None)
    site = next(each for each in found if each.line == 6)
    assert site.compiled >= 9 * 300 and sum(map(len, site.kernels.values())) == 1
