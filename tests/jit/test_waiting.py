"""Loops of operations on large arrays: no quick code, blocks at work, and fast code once it may be made."""

from __future__ import annotations

import ast
import itertools
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minpy.options import Options
from minpy.runtime import ledger
from minpy.runtime.entry import routed
from minpy.runtime.fuse import sites as blocks
from minpy.runtime.jit import background, drive, engine, entering, sites, store
from minpy.runtime.jit.trial import Trial
from minpy.transform import hook, rewriter

PROGRAM = """
import numpy as np
def go(a, b, rounds, look):
    for k in range(rounds):
        b[1:-1] = 0.3 * (a[:-2] + a[1:-1] + a[2:])
        a[1:-1] = 0.3 * (b[:-2] + b[1:-1] + b[2:])
        look()
"""
LOOKLESS = PROGRAM.replace("        look()\n", "")
_numbers = itertools.count()


@pytest.fixture
def one_processor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, bool]:
    """The mode of every day, with compiling in the program's own thread; whether the ledger allows it."""
    monkeypatch.setenv("MINPY_JIT", "auto")
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    monkeypatch.setitem(__import__("builtins").__dict__, "__minpy__", routed)
    monkeypatch.setattr(background, "_processors", lambda: 1)
    allowed = {"it is": False}
    monkeypatch.setattr(ledger, "allows", lambda seconds, spent=0.0: allowed["it is"])
    return allowed


def loaded(tmp_path: Path, text: str) -> tuple[Any, list[sites.Site]]:
    """The function of a program, rewritten; and where its loops will be."""
    folder = tmp_path / str(next(_numbers))
    folder.mkdir()
    path = folder / "program.py"
    path.write_text(text := f"# {folder}\n{text}")  # sites are known by line and text
    space: dict[str, Any] = {"__name__": "program"}
    before = len(sites.sites)
    exec(hook.announce(rewriter.compile_source(text, str(path), Options())), space)
    space["go"](np.zeros(8), np.zeros(8), 0, None)
    return space["go"], sites.sites[before:]


def expected(elements: int, rounds: int) -> list[np.ndarray]:
    space: dict[str, Any] = {}
    exec(LOOKLESS, space)
    arrays = [np.linspace(0.0, 1.0, elements), np.zeros(elements)]
    space["go"](*arrays, rounds, None)
    return arrays


def run_until(go: Any, elements: int, done: Any) -> None:
    """Call with new arrays until something is so; each result is NumPy's."""
    wanted = expected(elements, 300)
    for _ in range(400):
        arrays = [np.linspace(0.0, 1.0, elements), np.zeros(elements)]
        go(*arrays, 300, None)
        assert [each.tobytes() for each in arrays] == [each.tobytes() for each in wanted]
        if done():
            return
    pytest.fail("it never was")


def test_a_loop_of_large_arrays_waits_for_fast_code(one_processor, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(background, "quick_code", lambda text: pytest.fail("no quick code is wanted"))
    monkeypatch.setattr(drive, "_LARGE", 1e-9)
    go, (site, *_) = loaded(tmp_path, LOOKLESS)
    monkeypatch.setattr(drive, "is_hot", lambda *_: True)
    monkeypatch.setattr(drive, "must_wait", lambda site: False)
    run_until(go, 5000, lambda: site.better is not None)
    assert not site.better.is_ready and site.better.takes > 0
    compiled = site.compiled
    run_until(go, 5000, lambda: True)
    assert site.compiled == compiled == 0 and not site.reason
    one_processor["it is"] = True
    run_until(go, 5000, lambda: site.compiled > 0 or site.reason)
    assert site.better is None and all(each.is_ready for found in site.kernels.values() for each in found)


def test_before_fast_code_may_be_made_not_even_its_text_is(one_processor, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(drive, "_LARGE", 1e-9)
    go, (site, *_) = loaded(tmp_path, LOOKLESS)
    monkeypatch.setattr(drive, "is_hot", lambda *_: True)
    with monkeypatch.context() as patch:
        patch.setattr(entering, "Kernel", lambda *_, **__: pytest.fail("its text was made"))
        for _ in range(3):
            run_until(go, 5000, lambda: True)
    assert site.node is not None and not site.kernels and not site.reason
    one_processor["it is"] = True
    run_until(go, 5000, lambda: site.compiled > 0 or site.reason)


def test_small_arrays_get_quick_code(one_processor, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(drive, "_LARGE", 1.0)
    go, (site, *_) = loaded(tmp_path, LOOKLESS)
    monkeypatch.setattr(drive, "is_hot", lambda *_: True)
    run_until(go, 40, lambda: site.compiled > 0)
    assert all(each.is_ready for found in site.kernels.values() for each in found)


@pytest.mark.parametrize(
    ("change", "large"),
    [
        ({}, True),
        ({"per_round": 15e-6}, False),
        ({"per_round": 25e-6}, True),
        ({"nest": True}, False),
        ({"force": True}, False),
    ],
)
def test_what_tells_large_arrays(one_processor, tmp_path, change: dict[str, Any], large: bool) -> None:
    """Six operations: NumPy has 1 µs of its own for each."""
    _, (site, *_) = loaded(tmp_path, LOOKLESS)
    site.node = ast.parse(LOOKLESS).body[1].body[0]
    for name, value in change.items():
        setattr(site, name, value)
    assert drive.is_large(site) is large


@pytest.mark.parametrize(
    ("text", "operations"),
    [
        ("for i in range(9): a += b * 2", 18),
        ("for i in (1, 2, 3):\n        for j in range(2, 8, 2): a += b\n    c = a + 1", 10),
        ("for i in range(k): a += b", 0),
        ("for i in range(2, 1): a += b", 0),
        ("while a: a -= b", 0),
    ],
)
def test_what_tells_large_arrays_in_inner_loops(
    one_processor, monkeypatch, text: str, operations: int
) -> None:
    """What a round takes, divided by the operations in it, if the text tells how many rounds inner loops make."""
    monkeypatch.setattr(sites, "sites", [])
    site = sites.Site("nest_range_1_5a5a0003", "range", True, 1, "5a5a0003")
    (site.node,) = ast.parse(f"for k in range(n):\n    {text}").body
    assert drive._operations_in(site.node, True) == operations
    for each, large in ((20e-6, False), (40e-6, operations > 0)):
        site.per_round = each * (operations or 10)
        assert drive.is_large(site) is large


def test_blocks_work_while_a_loop_waits(one_processor, monkeypatch, tmp_path) -> None:
    go, (site, *_) = loaded(tmp_path, PROGRAM)
    site.better = SimpleNamespace(takes=1.0, is_ready=False, is_early=lambda spent: False, was_missed=False)
    site.trial = Trial()
    held = []
    go(np.zeros(5000), np.zeros(5000), 60, lambda: held.append(blocks.held))
    assert len(held) == 60 and not any(held)


def test_what_this_run_noted_is_not_what_an_earlier_one_knew(one_processor, monkeypatch) -> None:
    monkeypatch.setattr(store, "_remembered", set())
    assert not store.is_known("loop_range_1_0")
    store.remember("loop_range_1_0")
    assert store.is_known("loop_range_1_0") and not store.was_known("loop_range_1_0")
    monkeypatch.setattr(store, "_remembered", set())
    assert store.was_known("loop_range_1_0")


def later_run() -> None:
    """What is on disk is read again."""
    store._was_known.cache_clear()
    store.missed.cache_clear()


def test_loops_that_stayed_in_quick_code_are_noted_for_later_runs(
    one_processor, monkeypatch, tmp_path
) -> None:
    """The seconds of several runs add up; then fast code is made at once, though the quick code gained too little."""
    monkeypatch.setattr(drive, "is_hot", lambda *_: True)
    monkeypatch.setattr(drive, "must_wait", lambda site: False)
    monkeypatch.setattr(entering, "_gains", lambda *_: True)
    monkeypatch.setattr(drive, "is_large", lambda site: False)
    monkeypatch.setattr(ledger, "ran", lambda: 1e3)
    monkeypatch.setattr(Trial, "ran", lambda self, seconds: True)
    improved: list[Any] = []
    monkeypatch.setattr("minpy.runtime.jit.kernel.Kernel.improve", lambda self: improved.append(self))
    monkeypatch.setattr(drive, "_HOPE", 1e9)
    monkeypatch.setattr(background, "quick_code", partial(engine.object_code, quickly=True))
    go, (site, *_) = loaded(tmp_path, LOOKLESS)
    run_until(go, 500, lambda: site.kernels)
    ((kernel,),) = site.kernels.values()
    assert kernel.is_ready and kernel.is_quick
    work = background.work(len(kernel.code.text))
    monkeypatch.setattr(sites, "sites", [site])
    monkeypatch.setattr(site, "spent", 0.0)
    drive.seconds[site] = 0.4 * work
    for _ in range(2):
        sites._at_end()
        later_run()
        kernel._missed = store.missed(site.name)
        drive.improve(site, kernel)
        assert not improved and 0.0 < store.missed(site.name) < work
    sites._at_end()
    later_run()
    kernel._missed = store.missed(site.name)
    drive.improve(site, kernel)
    assert improved
    store.forget(site.name)
    assert store.missed(site.name) == 0.0


@pytest.mark.parametrize(
    ("spent", "ran", "rounds", "process", "made"),
    [
        (0.1, 0.3, 700, 1.0, True),  # quick code has gained 0.4 s
        (0.1, 0.3, 400, 1.0, False),
        (0.1, 0.1, 900, 1.0, False),  # too little to say how long it will run
        (0.7, 0.2, 320, 2.0, True),  # a fast one takes little beside what went into the loop
        (0.7, 0.2, 320, 1.0, False),  # in a program of a second
        (0.3, 0.2, 320, 2.0, False),
        (0.7, 0.2, 250, 2.0, False),  # the quick one gains next to nothing
    ],
)
def test_when_fast_code_is_made(one_processor, monkeypatch, spent, ran, rounds, process, made) -> None:
    """That takes 0.2 s; rounds as written take 1 ms."""
    monkeypatch.setattr(sites, "sites", [])
    monkeypatch.setattr(drive, "seconds", {})
    monkeypatch.setattr(ledger, "ran", lambda: process)
    monkeypatch.setattr(ledger, "_began", ledger.perf_counter() - process)
    monkeypatch.setattr(ledger, "_waited", lambda: 0.0)
    site = sites.Site("loop_range_1_5a5a0004", "range", False, 1, "5a5a0004")
    site.spent, site.per_round, site.run_compiled, drive.seconds[site] = spent, 1e-3, rounds, ran
    asked: list[int] = []
    kernel: Any = SimpleNamespace(
        was_missed=False, takes=0.2, is_early=lambda spent: False, improve=lambda: asked.append(1)
    )
    drive.improve(site, kernel)
    assert bool(asked) is made


def test_a_loop_that_was_missed_gets_no_quick_code(one_processor, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(drive, "is_hot", lambda *_: True)
    monkeypatch.setattr(drive, "must_wait", lambda site: False)
    monkeypatch.setattr(drive, "is_large", lambda site: False)
    monkeypatch.setattr(background, "quick_code", lambda text: pytest.fail("no quick code is wanted"))
    go, (site, *_) = loaded(tmp_path, LOOKLESS)
    store.note_missed(site.name, 30.0)
    later_run()
    run_until(go, 500, lambda: site.compiled > 0)
    ((kernel,),) = site.kernels.values()
    assert kernel.is_ready and not kernel.is_quick


def test_what_runs_missed_adds_up(one_processor, tmp_path) -> None:
    assert store.missed("loop_range_1_0") == 0.0
    for number in range(1, 300):  # more than the file holds
        store.note_missed("loop_range_1_0", 0.01)
        later_run()
        assert store.missed("loop_range_1_0") == pytest.approx(0.01 * number)
    (file,) = (tmp_path / "cache" / "loops").iterdir()
    assert file.stat().st_size <= 4 * 64
    store.note_missed("loop_range_1_0", 1e9)
    later_run()
    assert store.missed("loop_range_1_0") < 100.0
    store.note_missed("loop_range_1_0", 1e-5)  # less than is counted


@pytest.mark.parametrize("damage", [b"", b"\1", b"\xff" * 7, b"\xff" * 100_000])
def test_a_damaged_note_of_what_was_missed(one_processor, tmp_path, damage: bytes) -> None:
    store.note_missed("loop_range_1_0", 1.0)
    (file,) = (tmp_path / "cache" / "loops").iterdir()
    file.write_bytes(damage)
    later_run()
    assert 0.0 <= store.missed("loop_range_1_0") <= 60.0 * 128
    store.note_missed("loop_range_1_0", 1.0)
    later_run()
    assert 0.0 <= store.missed("loop_range_1_0") <= 60.0 * 128
    file.unlink()
    file.mkdir()
    later_run()
    assert store.missed("loop_range_1_0") == 0.0
    store.note_missed("loop_range_1_0", 1.0)


def test_processes_that_end_together_lose_nothing(one_processor, tmp_path) -> None:
    text = "from minpy.runtime.jit import store\nfor _ in range(5): store.note_missed('loop_range_1_0', 0.5)"
    running = [subprocess.Popen([sys.executable, "-c", text]) for _ in range(3)]
    assert [each.wait() for each in running] == [0, 0, 0]
    assert store.missed("loop_range_1_0") == pytest.approx(7.5)


def test_a_loop_that_waited_is_noted_for_the_next_run(one_processor, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(drive, "_LARGE", 1e-9)
    go, (site, *_) = loaded(tmp_path, LOOKLESS)
    monkeypatch.setattr(drive, "is_hot", lambda *_: True)
    monkeypatch.setattr(drive, "must_wait", lambda site: False)
    run_until(go, 5000, lambda: site.better is not None)
    assert not store.is_known(site.name)
    site.spent = 1e3
    monkeypatch.setattr(sites, "sites", [site])
    sites._at_end()
    assert store.is_known(site.name)
