"""Which loops are known to work on elements alone, from their text and what they meet."""

from __future__ import annotations

import ast
import math
import sys
from collections import deque
from textwrap import dedent, indent

import numpy as np
import pytest

from minpy.runtime import ledger
from minpy.runtime.jit import background, drive, elements, sites, source, store
from minpy.runtime.jit.sites import Site


class Box:
    n = 3

    def __init__(self):
        self.grid = np.ones((3, 3))

    @property
    def area(self):
        raise AssertionError("code of the program's is not run")

    def __call__(self, x):
        return x

    __hash__ = None

    def __eq__(self, other):
        raise AssertionError("code of the program's is not run")

    def __getattr__(self, name):
        raise AssertionError("code of the program's is not run")


def frame_of(text):
    """The frame of a function that holds this loop, and the loop."""
    space = {"np": np, "math": math, "sys": sys, "deque": deque}
    space |= {"TABLE": list(range(9)), "box": Box(), "helper": lambda x: x}
    head = "def f():\n a = np.ones(9); m = np.ones((3, 3)); names = {}; k = 3; o = np.array([None] * 9)\n"
    head += (
        " s = 0.0; xs = [1, 2]; p = (1.0, 2.0); w = 'abc'; rows = [a]; pairs = [(1, 2)]; waiting = deque()\n"
    )
    exec(head + " return sys._getframe()", space)
    return space["f"](), ast.parse(dedent(text)).body[0]


ONLY = [
    "for i in range(1, k):\n  for j in range(len(a)): m[i, j] = min(m[i - 1, j] + 1, m[i][j - 1] * k)",
    "for x in a: s += x if x > 0 else -x",
    "for i, x in enumerate(xs): TABLE[i] ^= (TABLE[i] >> 1) & 0xFF",
    "while k < a.size and a[k] > s: k += 1",
    "for i in range(a.shape[0]): y = math.sqrt(a[i]) + np.sqrt(p[0]) * math.pi; z, s = y, np.float64(s)",
    "for i in range(k): s += sum(a[j] * m[i, j] for j in range(k))",
    "for i in range(k): s += box.grid[i, 0]",
    "for i in range(k):\n  if a[i] < 0: raise ValueError(a)",
    "for c in w: k = ord(c)",
    "for i in range(k): xs.append(i)",
    "while pairs:\n  low, high = pairs.pop()\n  while low < high: low += 1\n  if low > 9: pairs.append((low, high))",
    "while waiting: k += waiting.popleft()",
]
OTHERS = [
    "for i in range(k): a = a + 1",
    "for i in range(k): s += a[1:].sum()",
    "for i in range(k): m[i] = 0",
    "for i in range(k): s = m[i]",
    "for row in m: s += row[0]",
    "for i in range(k): s += helper(i)",
    "for i in range(k): names[i] = 1",
    "for i in range(k): s += np.exp(a)",
    "for i in range(k): print(i)",
    "for i in range(k): a[a > 0] = 1",
    "for i in range(k): a[None] = 1",
    "for i in range(k): s += box.area",
    "for i in range(k): s += box(i)",
    "for i in range(k): s = np.sum(a)",
    "for i in range(k): names.pop(i)",
    "for i in range(k): rows.pop()",
    "while rows: k += 1",
    "for i in range(k): xs.insert(0, i)",
    "for i in range(k): s += o[i]",
    "for i in range(k):\n  with box: pass",
    "for i in range(k): t = [i]",
    "for i in range(k): s = max(*a)",
]


@pytest.fixture(autouse=True)
def nothing_is_kept(monkeypatch):
    """What other runs spent in these loops does not count, and these are not noted for later ones."""
    monkeypatch.setattr(sites, "sites", [])
    monkeypatch.setattr(store, "missed", lambda name: 0.0)


@pytest.mark.parametrize("text", ONLY)
def test_elements_only(text):
    frame, loop = frame_of(text)
    assert elements.only(loop, frame)


@pytest.mark.parametrize("text", OTHERS)
def test_something_else(text):
    frame, loop = frame_of(text)
    assert not elements.only(loop, frame)


@pytest.mark.parametrize(("text", "early"), [(ONLY[0], True), (OTHERS[0], False)])
def test_what_surely_gains_is_compiled_early(monkeypatch, text, early):
    """Once it has run for as long as compiling takes, in a process that has just begun."""
    frame, loop = frame_of(text)
    monkeypatch.setattr(source, "loops_of", lambda *_: {loop.lineno: (loop, text)})
    monkeypatch.setattr(background, "expected", lambda: 0.06)
    monkeypatch.setattr(ledger, "ran", lambda: 0.2)
    monkeypatch.setattr(ledger, "_taken", 0.0)
    monkeypatch.setattr(ledger, "_waited", lambda: 0.0)
    monkeypatch.setattr(ledger, "gained", lambda: 0.0)
    site = Site("nest_range_1_00000000", "range", True, loop.lineno, "00000000")
    for spent, hot in ((0.05, False), (0.07, early), (5.0, early)):
        site.spent = spent
        assert drive.is_hot(site, frame) is hot
    monkeypatch.setattr(ledger, "_taken", 0.2)
    assert not drive.is_hot(site, frame)
    monkeypatch.setattr(ledger, "ran", lambda: 6.0)
    assert drive.is_hot(site, frame)


def test_what_loops_have_gained(monkeypatch):
    """As written their rounds would have taken longer; one that loses does not take from the others."""
    gains, loses = (Site(f"loop_range_{k}_00000000", "range", False, k, "00000000") for k in (1, 2))
    monkeypatch.setattr(drive, "sites", [gains, loses])
    monkeypatch.setattr(drive, "seconds", {gains: 0.5, loses: 0.5})
    for site in (gains, loses):
        site.run_compiled = 1000
    gains.per_round, loses.per_round = 3e-3, 0.1e-3
    assert drive.gained() == pytest.approx(2.5)
    gains.undisturbed = 0.2, 100  # the mean of many rounds says more than one
    assert drive.gained() == pytest.approx(1.5)


def test_a_long_text_must_pay_as_well(monkeypatch):
    """The text of a loop of operations on arrays is made only where the time for it may be spent."""
    frame, loop = frame_of("for i in range(k): a = " + " + ".join(["a * b"] * 40))
    found = {loop.lineno: (loop, ast.unparse(loop))}
    monkeypatch.setattr(source, "loops_of", lambda *_: found)
    monkeypatch.setattr(background, "expected", lambda: 0.06)
    allowed = [0.07]
    monkeypatch.setattr(ledger, "allows", lambda seconds, spent=0.0: seconds < allowed[0])
    site = Site("loop_range_1_00000000", "range", False, loop.lineno, "00000000")
    site.spent = 5.0
    assert not drive.is_hot(site, frame)
    allowed[0] = 1.0
    assert drive.is_hot(site, frame)
    site.spent = 0.13
    assert not drive.is_hot(site, frame)


def test_texts_are_loops():
    """Those above are what Python takes."""
    for text in ONLY + OTHERS:
        compile("def f(a):\n" + indent(text, " "), "<test>", "exec")


def test_what_earlier_runs_spent_counts(monkeypatch):
    """Once a while was spent in this one; then no ledger is asked."""
    frame, loop = frame_of("while k: a = a * b; k -= 1")
    monkeypatch.setattr(source, "loops_of", lambda *_: {loop.lineno: (loop, ast.unparse(loop))})
    monkeypatch.setattr(background, "expected", lambda: 0.06)
    monkeypatch.setattr(ledger, "allows", lambda seconds, spent=0.0: False)
    earlier = [0.2]
    monkeypatch.setattr(store, "missed", lambda name: earlier[0])
    site = Site("loop_while_1_00000000", "while", False, loop.lineno, "00000000")
    site.spent = 0.01
    assert not drive.is_hot(site, frame)
    site.spent = 0.03
    assert drive.is_hot(site, frame)
    for earlier[0] in (0.0, 0.08):
        assert not drive.is_hot(site, frame)


@pytest.mark.parametrize(
    ("change", "early"),
    [({"per_round": 8e-6}, True), ({"per_round": 80e-6}, False), ({"nest": True, "per_round": 8e-6}, False)],
)
def test_small_arrays_are_compiled_early(monkeypatch, change, early):
    """Where an operation takes no longer than NumPy's own way to it."""
    frame, loop = frame_of("for i in range(k): a = np.maximum(a * 2 + 1, a[0] - a * (s + 1))")
    found = {loop.lineno: (loop, ast.unparse(loop))}
    monkeypatch.setattr(source, "loops_of", lambda *_: found)
    monkeypatch.setattr(background, "expected", lambda: 0.06)
    monkeypatch.setattr(ledger, "allows", lambda seconds, spent=0.0: False)
    monkeypatch.setattr(ledger, "allows_sure", lambda seconds: seconds < 0.1)
    ran = [0.3]
    monkeypatch.setattr(ledger, "ran", lambda: ran[0])
    site = Site("loop_range_1_00000000", "range", False, loop.lineno, "00000000")
    site.spent = 0.09
    for name, value in change.items():
        setattr(site, name, value)
    assert drive.is_hot(site, frame) is early
    ran[0] = 0.9  # a tenth of the time: what it takes to compile it will not come in again soon
    assert not drive.is_hot(site, frame)
    ran[0], site.spent = 0.3, 0.062  # with its text it takes longer
    assert not drive.is_hot(site, frame)


@pytest.mark.parametrize(
    ("body", "small"),
    [
        ("a[i * 2:] = False", True),
        ("if a[i]: a[i * 2:] = False", False),
        ("if a[i * 2] > 0: a[i:] = False", True),
        ("x = a * 2\n    if s: x += a * 3 + i * 5", True),
    ],
)
def test_operations_of_some_rounds_do_not_make_a_loop_one_of_small_arrays(body, small):
    """The mean of a sieve's rounds, few of which do anything, says nothing of those."""
    loop = ast.parse(f"for i in range(k):\n    {body}").body[0]
    site = Site("loop_range_1_00000000", "range", False, 1, "00000000")
    site.node, site.least = loop, 1.7e-6
    assert drive._is_small(site) is small


def test_the_first_rounds_say_little_of_arrays(monkeypatch):
    """In them blocks look at what they meet: rounds that took least tell small arrays, and what is left of a loop."""
    frame, loop = frame_of("for i in range(k): a = np.maximum(a * 2 + 1, a[0] - a * (s + 1))")
    monkeypatch.setattr(source, "loops_of", lambda *_: {loop.lineno: (loop, ast.unparse(loop))})
    monkeypatch.setattr(background, "expected", lambda: 0.06)
    monkeypatch.setattr(ledger, "allows", lambda seconds, spent=0.0: False)
    monkeypatch.setattr(ledger, "allows_sure", lambda seconds: False)
    site = Site("loop_range_1_00000000", "range", False, loop.lineno, "00000000")
    site.spent, site.per_round, site.least = 0.09, 600e-6, 6e-6
    assert not drive._pays(site, 500, frame)
    assert drive._pays(site, 100_000, frame)
    assert not drive.is_large(site)
    site.spent = site.per_round = site.least = 0.3  # one round, in a process that has just begun
    assert not drive._pays(site, 500, frame)
