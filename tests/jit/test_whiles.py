"""``while`` loops that run compiled: as `test_statements`, and when they are looked at."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

from minpy.places import flag_of
from minpy.runtime import entry, flags, ledger
from minpy.runtime.fuse import sites as blocks
from minpy.runtime.jit import background, drive, sites, store, whiles
from minpy.transform import hook, rewriter
from minpy.transform.rewriter import Options

SETUP = """
rng = np.random.default_rng(1)
n = 6
a = rng.random(n)
b = rng.random((n, n))
k = rng.integers(-4, 5, n)
i, j, s, x, y, z = 0, 5, 0, 1, 0.5, True
"""

LOOPS = [
    "while i < n: i += 1",
    "while i < n:\n  a[i] = i\n  i += 1",
    "while i < n:\n  a[i] = a[i - 1] * 2\n  i += 1\nelse:\n  x = 7",
    "while i < n:\n  i += 1\n  if i == 3: break\nelse:\n  x = 7",
    "while i < n:\n  i += 1\n  if i == 3: break",
    "while i < n:\n  i += 1\n  if i == 3: break\n  x += i\ny = x + i",
    "while i < n:\n  i += 1\n  if i % 2: continue\n  x += i",
    "while j > i:\n  a[i], a[j] = a[j], a[i]\n  i += 1\n  j -= 1",
    "while x != 97:\n  x = x * 3 % 101\n  s += 1",
    "while a[i] < 2.0 and i < n - 1:\n  i += 1\n  s += a[i]",
    "while i < n and not (a[i] > 0.9 or k[i] == 9):\n  s += k[i]\n  i += 1",
    "while abs(y * y - 2.0) > 1e-12:\n  y = 0.5 * (y + 2.0 / y) if y else 1.0",
    "while i < n:\n  for q in range(i): s += b[i, q]\n  i += 1",
    "while i < n:\n  q = 0\n  while q < i:\n    q += 1\n    s += q\n  i += 1",
    "while i < n:\n  t = 0\n  while t < 3: t += 1\n  else: s += 1\n  i += t",
    "while z:\n  i += 1\n  z = i < 4",
    "while n:\n  n -= 1\n  s += n",
    "while n - 1:\n  n -= 1",
    "while True:\n  i += 1\n  if i > 4: break",
    "while i < n: i += 1\nwhile i > 0: i -= 1\nx = i",
    "while i < 0: i += 1\nelse: x = 9",
    "while (i < n\n       and x < 100):\n  x *= 2\n  i += 1",
    "while(i < n):\n  i += 1",
    "while not i >= n: i += 1",
    "while i < n if z else False: i += 1",
    "while 0 <= i < n: i += 2",
    "while i < n or j > 0:\n  i += 1\n  j -= 1",
    # What goes wrong, in the condition and in the body.
    "while a[i] < 2.0:\n  i += 1",
    "while a[i] < 2.0:\n  a[i] = 1.0\n  i += 1",
    "while 1 / (3 - i) > 0:\n  a[i] += 1\n  i += 1",
    "while i < 100:\n  a[i] = i\n  i += 1",
    "while i < n:\n  x = 1 // (3 - i)\n  a[i] = x\n  i += 1",
    "while x > 0:\n  x *= 3\n  s += 1\n  if s > 60: break",
    "while i < n:\n  i += 1\n  if i == 4: raise ValueError(i)",
    "while i < n:\n  i += 1\n  if i == 4: print(end='')",
    "while i < n:\n  i += 1\n  if i == 4: a = a[1:]\nx = len(a)",
    "while unknown < 3: unknown += 1",
    "while i < n:\n  i += 1\n  del x",
]


@pytest.mark.parametrize("text", LOOPS)
@pytest.mark.parametrize("where", ["module", "function"])
def test_loops(run_both: Any, text: str, where: str) -> None:
    if where == "module":
        run_both(f"{SETUP}\n{text}", compiled=None)
        return
    body = "\n    ".join(f"{SETUP}\n{text}".splitlines())
    names = "a, b, k, i, j, s, x, y, z"
    run_both(f"def f():\n    {body}\n    return {names}\nresult = f()\nagain = f()", compiled=None)


@pytest.mark.parametrize("text", LOOPS[:18] + LOOPS[19:20])
def test_what_can_be_compiled_is(run_both: Any, text: str) -> None:
    run_both(f"{SETUP}\n{text}", compiled=True)


def test_a_condition_that_stores_is_left_to_python(run_both: Any) -> None:
    run_both(
        "def push(a, i):\n  a[0] += 1\n  return a[0] < 9\na = np.zeros(3)\ni = 0\nwhile push(a, i): i += 1",
        compiled=False,
    )


def test_a_condition_that_calls(run_both: Any) -> None:
    run_both("def more(a, i):\n  return a[i] < 9\na = np.arange(30)\ni = 0\nwhile more(a, i): i += 1")


def test_in_generators_and_classes(run_both: Any) -> None:
    run_both(
        "def g(n):\n  i = s = 0\n  while i < n:\n    s += i\n    i += 1\n  yield s\n"
        "  while n:\n    n -= 1\n    yield n\n"
        "found = list(g(7))"
    )
    run_both("class C:\n  i = 0\n  while i < 5: i += 1\nx = C.i", compiled=False)


def test_variables_of_functions_inside(run_both: Any) -> None:
    run_both("def f(n):\n  i = 0\n  def g(): return i\n  while i < n: i += 1\n  return g()\nx = f(5)")
    run_both(
        "def f(n):\n  i = 0\n  def g(): return i\n  while g() < n: i += 1\n  return g()\nx = f(5)",
        compiled=False,
    )


def test_types_are_kept(run_both: Any) -> None:
    run_both(
        "def f(x, y):\n  while x < 50:\n    x += y\n    y = y + 1\n  return x, y\n"
        "starts, steps = (1, 1.5, np.float64(2), np.int64(3), True), (1, 2.5, np.int64(1), np.float64(1))\n"
        "found = [f(a, b) for a in starts for b in steps]"
    )


def test_random_ones(run_both: Any) -> None:
    rng = np.random.default_rng(3)
    compiled = 0
    for _ in range(60):
        parts = rng.choice(
            [
                "s += a[i]",
                "a[i] = s % 7",
                "if s > {0}: break",
                "if i % {1} == 0: continue",
                "s = s * 2 - i",
                "a[i - 1] += 1",
                "if i == {0}: a = a[:-1]",
                "if i > {0}: s = s / 2",
                "for q in range(i): s += q",
                "if a[i] > {0}: raise KeyError(i)",
                "t = a[i] // {1}",
            ],
            rng.integers(1, 5),
        )
        body = "\n    ".join(str(part).format(*rng.integers(1, 12, 2)) for part in parts)
        condition = rng.choice(
            ["i < 9", "i < 40", "a[i] < 11 and i < 30", "s < 1e4 and i < 50", "(i < n or s < 5) and i < 60"]
        )
        tail = rng.choice(["", "\n  else:\n    s += 1000"])
        kind = rng.choice(["int64", "float64"])
        text = f"def f(a, n):\n  i, s = -1, 0\n  while {condition}:\n    i += 1\n    {body}{tail}\n  return i, s, a\n"
        found = run_both(f"{text}x = f(np.arange(20).astype('{kind}'), 11)\n", compiled=None)
        compiled += any(site.compiled for site in found)
    assert compiled > 30


# When a loop is looked at, with a clock that stands still but for the loop's rounds.


class Loop:
    """A loop whose site is asked in each round while its flag is set."""

    def __init__(self, site: whiles.WhileSite, clock: Any) -> None:
        self.site, self.clock = site, clock
        self.asked = self.entered = 0

    def run(self, rounds: int, seconds: float = 1e-6) -> None:
        for _ in range(rounds):
            if getattr(entry.routed, self.site.flag):
                self.asked += 1
                self.site()
            self.clock.now += seconds


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    class Clock:
        now = 100.0

        def __call__(self) -> float:
            return self.now

    monkeypatch.setenv("MINPY_JIT", "auto")
    monkeypatch.setattr(whiles, "perf_counter", clock := Clock())
    for module in (sites, drive):
        monkeypatch.setattr(module, "perf_counter", clock)
    monkeypatch.setattr(blocks, "rest", lambda site, soon: None)
    monkeypatch.setattr(store, "is_known", lambda name: False)
    monkeypatch.setattr(background, "expected", lambda: 0.01)
    monkeypatch.setattr(ledger, "allows", lambda seconds, spent=0.0: True)
    site = getattr(sites.loops, name := "loop_while_1_5a5a0002")
    monkeypatch.setitem(flags._awake, site.flag, {site.name})
    found = Loop(site, clock)

    def enter(site: Any, over: Any, code: Any, frame: Any, position: int, count: int) -> Any:
        found.entered += 1
        return None

    monkeypatch.setattr(drive, "run", enter)
    yield found
    vars(sites.loops).pop(name, None)


def test_a_loop_is_asked_a_few_times_and_sleeps(loop: Loop) -> None:
    loop.run(1000)
    assert loop.asked == whiles._SAMPLE + 1 and not loop.entered
    assert loop.site.per_round == pytest.approx(1e-6)
    assert loop.site.spent == pytest.approx(whiles._SAMPLE * 1e-6)
    assert getattr(entry.routed, flag_of("l", 1, "5a5a0002")) is False


def test_a_loop_that_runs_whenever_it_is_woken_is_compiled(loop: Loop) -> None:
    for _ in range(3):
        loop.run(50_000)
        loop.site.set_flag(True)
    loop.run(50_000)
    assert loop.entered == 3  # 40 ms are enough: at the end of each nap
    assert loop.site.spent > 0.04


@pytest.mark.parametrize(("ran", "soon"), [(0.2, True), (100.0, False)])
def test_a_loop_that_takes_much_of_the_time_is_looked_at_often(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, ran: float, soon: bool
) -> None:
    """While it may not be compiled yet; one that takes little sleeps longer and longer."""
    naps: list[bool] = []
    monkeypatch.setattr(blocks, "rest", lambda site, soon: naps.append(soon))
    monkeypatch.setattr(ledger, "allows", lambda seconds, spent=0.0: False)
    monkeypatch.setattr(ledger, "ran", lambda: ran)
    for _ in range(sites._NAPS + 4):
        loop.run(50_000)
        loop.site.set_flag(True)
    assert naps == [True] * sites._NAPS + [soon] * 4 and not loop.entered


def test_a_loop_that_is_met_by_chance_is_not(loop: Loop) -> None:
    for _ in range(100):
        loop.run(30)
        loop.clock.now += 0.05
        loop.site.set_flag(True)
        loop.clock.now += 0.05
    assert not loop.entered
    assert loop.site.spent == pytest.approx(100 * whiles._SAMPLE * 1e-6)  # the rounds that were timed


def test_long_rounds_are_counted_too(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site that was woken in the middle of one is asked when the next one begins."""
    monkeypatch.setattr(background, "expected", lambda: 10.0)
    monkeypatch.setattr(ledger, "allows", lambda seconds, spent=0.0: False)
    loop.run(whiles._SAMPLE + 1, 0.03)
    for _ in range(4):
        loop.run(10, 0.03)
        loop.site.set_flag(True)
        loop.clock.now += 0.02
        loop.run(whiles._SAMPLE + 1, 0.03)
    assert not loop.entered
    # All of it but the last round of each sample, which nothing has followed yet.
    assert loop.site.spent == pytest.approx(loop.clock.now - 100.0, rel=0.1)


def test_compiled_runs_that_lose_time_end(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop.site, "kernels", {(): [None]})
    loop.site.per_round = 1e-6

    def enter(site: Any, *rest: Any) -> Any:
        loop.entered += 1
        site.run_compiled += 3
        loop.clock.now += 40e-6
        drive.balance(site, 3, 40e-6)
        return 3, False

    monkeypatch.setattr(drive, "run", enter)
    loop.run(1000)
    assert 10 < loop.entered < 20 and loop.asked == loop.entered
    loop.site.set_flag(True)
    loop.run(1000)
    assert loop.entered < 40


def test_a_sleeping_loop_that_shares_its_flag_does_nothing(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests = []
    monkeypatch.setattr(blocks, "rest", lambda site, soon: rests.append(site))
    flags.wake(loop.site.flag, "another")
    loop.run(1000)
    assert loop.asked == 1000 and len(rests) == 1 and loop.site.rounds == 0


def test_a_site_that_gave_up_is_not_woken(loop: Loop) -> None:
    loop.site.give_up("for a reason")
    assert loop.site.dead and getattr(sites.loops, loop.site.name)() is False
    assert loop.site() is False


def test_others_that_look_on(run_both: Any) -> None:
    """A tracer sees every round of the loop."""
    text = "import numpy as np\ni = 0\nwhile i < 5:\n    i += 1\nelse:\n    i = 9\n"
    lines: list[list[int]] = []
    for code in (
        compile(text, "program.py", "exec"),
        hook.announce(rewriter.compile_source(text, "program.py", Options())),
    ):
        seen: list[int] = []

        def look(frame: Any, event: str, argument: Any, seen: list[int] = seen) -> Any:
            if frame.f_code.co_filename == "program.py" and event == "line":
                seen.append(frame.f_lineno)
            return look

        sys.settrace(look)
        try:
            exec(code, {"__name__": "program"})
        finally:
            sys.settrace(None)
        lines.append(seen)
    assert lines[0] == lines[1]
