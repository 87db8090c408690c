"""When blocks are compiled without being forced: once the program has spent time in them, within the budget."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any
from weakref import WeakSet

import numpy as np
import pytest

from minpy.runtime import ledger
from minpy.runtime.fuse import choose, memory, native, tapedplan
from minpy.runtime.fuse.block import Block
from tests.fuse.conftest import HAS_COMPILER

pytestmark = pytest.mark.skipif(not HAS_COMPILER, reason="needs the extra jit")


@pytest.fixture
def generous(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("MINPY_FUSE", "auto")
    monkeypatch.setattr(ledger, "allows", lambda seconds, spent=0.0: seconds < 1.0)


@pytest.mark.parametrize("text", ["v0*v1+v0", "exp(v0)-v1*v0", "v0[1:]*v1[:-1]+2.0", "roll(v0,1,0)+v1*2.0"])
def test_a_block_is_compiled_in_the_end(generous: None, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    a, b = np.random.default_rng(0).random((2, 40, 300))
    block = Block(text, "auto")
    block.run((a, b))
    ((_, choice),) = block._choices.items()
    assert not any(each.startswith("native") for each in choice._candidates())
    monkeypatch.setattr(choose, "_spent_in_all", 100.0)
    choice.spent = 100.0
    for _ in range(200):
        block.run((a, b))
        until = time.monotonic() + 60
        while choice.waiting is not None and not choice.waiting.done and time.monotonic() < until:
            time.sleep(0.01)
    assert any(each.startswith("native") for each in choice.shown), (choice.best, choice.verdict)
    assert choice.verdict is not None


def test_what_it_takes() -> None:
    assert 0 < native.takes() < 1
    assert tapedplan.native is native


@pytest.mark.parametrize(
    ("several", "alone", "expected"),
    [
        ([1.0, 1.0, 1.0], [1.9, 2.0, 2.0], "native2"),
        (
            [1.0, 5.0, 5.0],
            [1.9, 2.0, 2.0],
            "native1",
        ),  # at its best only: something else wants the processors
        ([1.0, 1.9, 1.9], [2.9, 3.9, 3.9], "native2"),
        ([2.9, 5.0, 5.0], [3.5, 3.6, 3.6], "written"),
    ],
)
def test_threads_are_judged_by_what_they_take_as_a_rule(
    generous: None, several: list[float], alone: list[float], expected: str
) -> None:
    a, b = np.random.default_rng(0).random((2, 40, 300))
    block = Block("v0*v1+v0", "auto")
    block.run((a, b))
    ((_, choice),) = block._choices.items()
    choice.runs, choice.best, choice.times = {}, {}, {}
    for name, times in (("written", [3.6, 3.7, 3.7]), ("native1", alone), ("native2", several)):
        for each in times:
            choice._measured(name, each)
    choice._decide()
    assert choice.verdict == expected


def test_time_between_looks_counts_while_engines_are_tried(
    generous: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block sleeps between them; it runs as written then, as it did while it was looked at."""
    now = [100.0]
    monkeypatch.setattr(choose, "perf_counter", lambda: now[0])
    a, b = np.random.default_rng(0).random((2, 40, 300))
    block = Block("v0*v1+v0-v1*0.75", "auto")
    block.run((a, b))
    (choice,) = block._choices.values()
    choice.best["written"] = 1e-3
    before = choice.spent
    now[0] += 2e-3  # so often it is come to
    choice.pick()
    assert choice.verdict is None and choice.spent == before
    now[0] += 0.4
    choice.pick()
    assert choice.spent == pytest.approx(before + 0.2)


class Interrupted(str):
    """A name during whose reading another thread comes to an engine of its own."""

    into: dict[str, Any]

    def startswith(self, *_: Any) -> bool:
        self.into[f"{len(self.into)}"] = 1.0
        return False

    endswith = startswith


def test_another_thread_may_come_to_an_engine_meanwhile(generous: None) -> None:
    a, b = np.random.default_rng(0).random((2, 40, 300))
    block = Block("v0*v1+v0-v1*0.25", "auto")
    block.run((a, b))
    (choice,) = block._choices.values()
    for names in (choice.engines, choice.best):
        for number in range(3):
            name = Interrupted(f"an engine {number}")
            name.into = names
            names[name] = 1.0
    assert choice._usable("tiled1") == "tiled1"
    choice.best["written"] = 0.5
    choice._decide()
    assert choice.verdict == "written"


def test_a_block_in_which_much_was_spent_is_noted(generous: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run compiles it after a short while, and asks no ledger."""
    monkeypatch.setattr(ledger, "allows", lambda seconds, spent=0.0: False)
    monkeypatch.setattr(choose, "_all", WeakSet())
    monkeypatch.setattr(memory, "_news", {})
    a, b = np.random.default_rng(0).random((2, 40, 300))
    blocks = [Block("v0*v1+v0-v1*0.5", "auto"), Block("v0*v1-v1", "auto")]
    for block in blocks:
        block.run((a, b))
    choices = [next(iter(block._choices.values())) for block in blocks]
    choices[0].spent = 100.0
    choices[1].spent = 1e-4
    choose._at_end()
    assert [memory.verdict(each.key) for each in choices] == [choose._HOPED, None]
    again = Block("v0*v1+v0-v1*0.5", "auto")
    again.run((a, b))
    (choice,) = again._choices.values()
    assert not choice._may_compile()
    choice.spent = 0.021
    assert choice._may_compile()


def test_what_runs_spent_in_a_block_adds_up(generous: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each too little to be noted; damage to what is kept is no more than nothing."""
    monkeypatch.setattr(ledger, "allows", lambda seconds, spent=0.0: False)
    monkeypatch.setattr(memory, "_news", {})
    a, b = np.random.default_rng(0).random((2, 40, 300))
    enough = choose.SURE * native.takes(loaded=False)
    for number in range(3):
        monkeypatch.setattr(choose, "_all", WeakSet())
        block = Block("v0*v1+v0-v1*0.125", "auto")
        block.run((a, b))
        (choice,) = block._choices.values()
        choice.spent = 0.4 * enough
        assert choice.missed == pytest.approx(0.4 * enough * number, abs=0.02)
        assert choice._may_compile() is (number == 2)
        choose._at_end()
    assert memory.verdict(choice.key) == choose._HOPED
    choice.expected = f"{choose._MISSED}much"
    assert choice.missed == 0.0


def test_the_note_is_there_for_the_next_run(tmp_path: Any) -> None:
    text = (
        "import numpy as np; from minpy.runtime import ledger; from minpy.runtime.fuse.block import Block\n"
        "ledger.allows = lambda seconds, spent=0.0: False\n"
        "a = np.ones((2, 40, 300)); block = Block('v0*v1+v0-v1*0.5', 'auto'); block.run((a[0], a[1]))\n"
        "next(iter(block._choices.values())).spent = 100.0\n"
    )
    environment = {**os.environ, "MINPY_CACHE_DIR": str(tmp_path), "MINPY_JIT": "auto"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run([sys.executable, "-c", text], check=True, env=environment, timeout=120)
    assert choose._HOPED in json.loads((tmp_path / "blocks.json").read_text())["verdicts"].values()
