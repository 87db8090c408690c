"""Loops of operations on large arrays: no quick code, blocks at work, and fast code once it may be made."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minpy.options import Options
from minpy.runtime import ledger
from minpy.runtime.entry import routed
from minpy.runtime.fuse import sites as blocks
from minpy.runtime.jit import background, drive, sites, store
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
    monkeypatch.setattr(ledger, "allows", lambda seconds: allowed["it is"])
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
    monkeypatch.setattr(drive, "_must_wait", lambda site: False)
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
        patch.setattr(drive, "Kernel", lambda *_, **__: pytest.fail("its text was made"))
        for _ in range(3):
            run_until(go, 5000, lambda: True)
    assert site.names is not None and not site.kernels and not site.reason
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
    site.names = SimpleNamespace(node=ast.parse(LOOKLESS).body[1].body[0])
    for name, value in change.items():
        setattr(site, name, value)
    assert drive._is_large(site) is large


def test_blocks_work_while_a_loop_waits(one_processor, monkeypatch, tmp_path) -> None:
    go, (site, *_) = loaded(tmp_path, PROGRAM)
    site.better = SimpleNamespace(takes=1.0, is_ready=False, is_early=False)
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


def test_a_loop_that_stayed_in_quick_code_is_noted_for_the_next_run(
    one_processor, monkeypatch, tmp_path
) -> None:
    """Which makes fast code at once, though the quick code gained too little for that."""
    monkeypatch.setattr(drive, "is_hot", lambda *_: True)
    monkeypatch.setattr(drive, "_must_wait", lambda site: False)
    monkeypatch.setattr(drive, "_gains", lambda *_: True)
    monkeypatch.setattr(drive, "_is_large", lambda site: False)
    monkeypatch.setattr(Trial, "ran", lambda self, seconds: True)
    improved: list[Any] = []
    monkeypatch.setattr("minpy.runtime.jit.kernel.Kernel.improve", lambda self: improved.append(self))
    monkeypatch.setattr(drive, "_HOPE", 1e9)
    go, (site, *_) = loaded(tmp_path, LOOKLESS)
    run_until(go, 500, lambda: site.kernels)
    ((kernel,),) = site.kernels.values()
    assert kernel.is_ready and kernel.is_quick
    monkeypatch.setattr(sites, "sites", [site])
    drive.seconds[site] = kernel.takes / 2
    sites._at_end()
    store._was_there.cache_clear()
    drive._improve(site, kernel)
    assert not improved and not store.was_fast_wanted(site.name)
    drive.seconds[site] = kernel.takes * 2
    sites._at_end()
    store._was_there.cache_clear()
    drive._improve(site, kernel)
    assert improved and store.was_fast_wanted(site.name)
    store.forget(site.name)
    store._was_there.cache_clear()
    assert not store.was_fast_wanted(site.name)


def test_a_loop_that_waited_is_noted_for_the_next_run(one_processor, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(drive, "_LARGE", 1e-9)
    go, (site, *_) = loaded(tmp_path, LOOKLESS)
    monkeypatch.setattr(drive, "is_hot", lambda *_: True)
    monkeypatch.setattr(drive, "_must_wait", lambda site: False)
    run_until(go, 5000, lambda: site.better is not None)
    assert not store.is_known(site.name)
    site.spent = 1e3
    monkeypatch.setattr(sites, "sites", [site])
    sites._at_end()
    assert store.is_known(site.name)
