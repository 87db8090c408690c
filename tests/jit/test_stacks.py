"""Lists and deques that a loop takes from and adds to: compiled and as written they end the same."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

SETUP = """
from collections import deque
n = 20
k = np.arange(n) * 7 % n
v = np.linspace(0.5, 3.0, n)
x, y = 0, 0.5
stack, queue = [(0, n - 1)], deque([3])
"""
SHOWN = """
left, waiting = list(stack), list(queue) if type(queue) is deque else queue
"""

# Whether a loop of it is compiled, and the text.
PROGRAMS = [
    (
        True,
        "while stack:\n  a, b = stack.pop()\n  c = (a + b) // 2\n"
        "  if b - a > 2: stack.append((a, c)); stack.append((c + 1, b))\n  x += a",
    ),
    (True, "for i in range(n):\n  a, b = stack.pop()\n  x += a * b\n  stack.append((i, x % 7))"),
    (True, "for i in range(n):\n  stack.append((i, i + 1))\n  if i % 3: x, z = stack.pop()"),
    (
        True,
        "stack = [1, 2, 3]\nfor i in range(n):\n  x += stack.pop() * 2\n  stack.append(x); stack.append(i)",
    ),
    (True, "stack = [0.5]\nfor i in range(n): y = stack.pop() * 1.5; stack.append(y); stack.append(v[i])"),
    (True, "stack = [0.5]\nfor i in range(n): stack.append(i); y = stack.pop()"),
    (True, "stack = [1]\nfor i in range(n): stack.append(k[i]); stack.append(v[i]); y = stack.pop()"),
    (
        True,
        "stack = []\nfor i in range(n):\n  stack.append((i, 0.5))\n  if len(stack) > 4: x, y = stack.pop()",
    ),
    (
        True,
        "stack = []\nfor i in range(n):\n  if stack: x = stack.pop()\n  stack.append(i * 2); stack.append(x)",
    ),
    (True, "stack = [True]\nfor i in range(n): z = stack.pop(); stack.append(not z)"),
    (
        True,
        "for i in range(n):\n  if len(stack) and not x: x = stack[-1][0] + stack[0][1]\n"
        "  stack.append((x, i)); a, b = stack.pop(-1)",
    ),
    (
        True,
        "for i in range(n):\n  stack.append((i, i))\n  a, b = stack.pop()\n  if i == 11: raise KeyError(a)",
    ),
    (
        True,
        "for i in range(n):\n  v[i] = i\n  if i > 12: x = stack.pop()[0]\n  stack.append((i, 1))\n"
        "  if i == 15: print(end='')",
    ),
    (
        True,
        "while True:\n  a, b = stack.pop()\n  for j in range(2): x += 1\n"
        "  if x < 30: stack.append((a + x, b)); stack.append((b, a))",
    ),
    (
        True,
        "while queue:\n  c = queue.popleft()\n  for j in range(2):\n"
        "    if k[c] > x: x += 1; queue.append(k[c])",
    ),
    (
        True,
        "for i in range(n):\n  c = queue.popleft()\n  queue.append(c + 1); queue.append(i)\n"
        "  if i % 3 == 1: x += queue.pop()",
    ),
    (
        True,
        "queue = deque([(1, 0.5), (2, 1.5)])\nfor i in range(n):\n  a, b = queue.popleft()\n"
        "  queue.append((a + 1, b * 0.5))",
    ),
    (
        True,
        "queue = deque([1, 2, 3])\nfor i in range(3): x += queue.popleft(); queue.append(i); x -= queue.pop()",
    ),
    (True, "queue = deque(range(9))\nfor i in range(8): x += queue.pop() if i % 2 else queue.popleft()"),
    (
        True,
        "class C: pass\no = C(); o.todo = [5]\n"
        "for i in range(n): x = o.todo.pop(); o.todo.append(x + i)\nleft = o.todo",
    ),
    (
        True,
        "def f():\n  todo = [(0, 5)]\n  s = 0\n  for i in range(9):\n    a, b = todo.pop()\n"
        "    s += a\n    todo.append((b, a + 1)); todo.append((a, i))\n  return todo, s\nleft = f()",
    ),
    (
        True,
        "kept = stack[0]\nfor i in range(n): stack.append((i, 2)); a, b = stack.pop()\nsame = kept is stack[0]",
    ),
    (
        True,
        "stack = [(i, i) for i in range(9)]; kept = list(stack)\n"
        "for i in range(5): a, b = stack.pop(); a, b = stack.pop(); stack.append((a, 9))\n"
        "same = [e is f for e, f in zip(kept, stack)]",
    ),
    # Left to Python.
    (None, "for i in range(n): a, b = stack.pop()"),
    (None, "for i in range(n): x = stack.pop(0)[0]; stack.append((x, i))"),
    (None, "stack = [1, 0.5, 'a']\nfor i in range(2): x = stack.pop(); stack.append(x)"),
    (None, "stack = [(1, 2), (1,)]\nfor i in range(2): x = stack.pop()"),
    (None, "stack = [1]\nfor i in range(n): stack.append(2**62 * 4); x = stack.pop()"),
    (None, "stack = [1]\nfor i in range(n): stack.append((i, 2)); x = stack.pop()"),
    (None, "other = stack\nfor i in range(n): stack.append((i, 2)); a, b = other.pop()"),
    (None, "stack = [1]\nother = stack\nfor i in range(n): stack.append(i); x += other[0]; x -= stack.pop()"),
    (None, "stack = [1]\nother = stack\nfor i in range(n): other.append(i); x -= stack.pop()"),
    (
        None,
        "queue = deque([1], maxlen=3)\n"
        "for i in range(n): queue.append(i); queue.append(i); x += queue.popleft()",
    ),
    (None, "stack = [2]\nfor i in range(n): stack = [i, 2]; x = stack.pop()"),
    (None, "stack = [1, 2, 3]\nfor e in stack: x += stack.pop()"),
    (None, "for i in range(n): queue.append(i); x += len(queue); queue.clear()"),
]


@pytest.mark.parametrize(("compiled", "text"), PROGRAMS)
def test_same(run_both: Any, compiled: bool | None, text: str) -> None:
    run_both(SETUP + text + SHOWN, compiled=compiled)


def test_room_grows(run_both: Any) -> None:
    run_both(
        SETUP + "for i in range(2000): stack.append((i, x)); stack.append((x, i)); a, b = stack.pop()" + SHOWN
    )
