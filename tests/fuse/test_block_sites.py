"""When blocks are looked at, by whom they are left alone, and what is found out about them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
from time import perf_counter
from typing import Any

import numpy as np
import pytest

import minpy
from minpy.options import Options, from_environ
from minpy.runtime import entry, ledger
from minpy.runtime.entry import routed
from minpy.runtime.fuse import memory, pool, sites
from minpy.transform import hook, rewriter

TEXT = "import numpy as np\ndef f(a, b):\n    return np.tanh(a[:] * b + a) - np.exp(-b)\n"
LARGE = np.linspace(0, 1, 300_000)


@pytest.fixture
def block(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """A function that makes the function `f` of a text, with its site, as in a run that is not the first one."""
    monkeypatch.setattr(sites, "_is_any_known", lambda: True)
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path))
    monkeypatch.setitem(__import__("builtins").__dict__, "__minpy__", routed)

    def make(mode: str, text: str = TEXT) -> tuple[Any, sites.Site]:
        monkeypatch.setenv("MINPY_FUSE", mode)
        before = len(sites.sites)
        space: dict[str, Any] = {}
        text = f"{text}# {tmp_path} {mode} {before}"
        exec(hook.announce(rewriter.compile_source(text, "program.py", Options(fuse=mode))), space)
        space["f"](np.ones(3), np.ones(3))
        return space["f"], sites.sites[-1]

    return make


def _flag(site: sites.Site) -> bool:
    return sites.__dict__[f"t{site.name}"]


def test_small_arrays_put_a_block_to_sleep_until_it_is_woken(block) -> None:
    f, site = block("auto")
    for _ in range(sites._SMALL_LOOKS - 1):
        assert _flag(site)
        f(np.ones(3), np.ones(3))
    assert not _flag(site) and site.block is None
    looks = site.looks
    for _ in range(5):
        f(np.ones(3), np.ones(3))
    assert site.looks in (looks, looks + 1)  # the thread that wakes blocks may have come by
    sites.wake()
    assert _flag(site)
    f(LARGE, LARGE)
    assert site.block is not None


@pytest.mark.parametrize(
    ("work", "imported", "naps", "may_look", "allows", "looked_at"),
    [
        (0.1e-3, True, 0, True, True, False),  # by a guess, it takes less than looking at it will
        (0.5e-3, True, 1, True, False, True),  # it came again, some time later
        (2e-3, True, 0, True, False, True),
        (2e-3, False, 0, True, True, False),  # what looks is not imported yet
        (20e-3, False, 0, True, False, True),
        (20e-3, True, 1, False, True, False),  # too much was spent already
        (10e-6, True, 1, True, False, False),  # of small arrays
        (10e-6, True, 1, False, True, True),
        (10e-6, True, 0, True, True, False),
    ],
)
def test_when_a_block_is_looked_at_in_the_first_run(
    block, monkeypatch, work, imported, naps, may_look, allows, looked_at
) -> None:
    f, site = block("auto")
    monkeypatch.setattr(sites, "_is_any_known", lambda: False)
    monkeypatch.setattr(sites, "_is_imported", lambda: imported)
    monkeypatch.setattr(sites, "wake", lambda: None)  # no thread comes by
    monkeypatch.setattr(sites, "_work_in_all", 0.0)
    monkeypatch.setattr(sites, "_work", lambda text, values: work)
    monkeypatch.setattr(ledger, "may_look", lambda: may_look)
    monkeypatch.setattr(ledger, "allows", lambda seconds: allows)
    site.naps = naps
    assert np.array_equal(f(LARGE, LARGE), np.tanh(LARGE * LARGE + LARGE) - np.exp(-LARGE))
    assert (site.block is not None) is looked_at
    if not looked_at:  # and soon it costs nothing
        for _ in range(sites._SMALL_LOOKS):
            f(LARGE, LARGE)
        assert not _flag(site)


def test_a_guess_of_what_a_block_takes() -> None:
    small, large = np.ones(1000), np.ones(1_000_000)
    assert sites._work("v0*v1+v0", (small, 2.0)) < 1e-5 < 1e-3 < sites._work("v0*v1+v0", (large, small))
    assert sites._work("v0*v1", (large, 2.0)) < sites._work("v0*v1+v0*v1-v1/v0", (large, 2.0))
    assert sites._work("v0*v1", (small[:, None], small)) > 1e-4  # large together
    assert sites._work("v0[1:]*v1", (large, small)) > 1e-4
    assert sites._work("__random(v0,size=v1)", (None, 9)) == sites._UNKNOWN


def test_what_a_block_took_before_it_was_looked_at_counts(block, monkeypatch) -> None:
    """It took a part of the time since it was met first: that of an evaluation in the time from one to the next."""
    f, site = block("auto")
    site.since = perf_counter() - 1.5
    for _ in range(4):
        f(LARGE, LARGE)
    (choice,) = site.block._choices.values()
    assert choice.spent > 0.1 and choice.before == 0.0 == site.since


def test_small_arrays_may_be_large_together(block) -> None:
    f, site = block("auto")
    row = np.linspace(0, 1, 700)
    assert not sites._may_be_large("v0+v1", (row, row, 3), sites._MANY)
    assert site.block is None
    f(row[:, None], row)
    assert site.block is not None


@pytest.mark.parametrize(
    ("text", "extent", "looked_at"),
    [
        ("v0*2.5+v1", 300, True),
        ("v0*2.5+v1", 30, False),
        ("v0*1e-05+v1", 30, False),
        ("v0.real*v1", 30, True),  # whose size nobody knows yet
        ("_percentile(v0,q=[2.5,97.5])", 300, False),  # no call of so few is made in another way
        ("_percentile(v0,q=[2.5,97.5])", 5000, True),
        ("_linalg_inv(v0)", 300, True),
        ("__random(v0,size=v1)", 3, True),
    ],
)
def test_what_is_looked_at_after_some_naps(text: str, extent: int, looked_at: bool) -> None:
    assert sites._may_be_large(text, (np.ones(extent), np.ones(extent)), sites._SOME) is looked_at


def test_what_a_large_block_gives_is_right_while_engines_are_tried(block) -> None:
    f, site = block("auto")
    expected = np.tanh(LARGE * LARGE + LARGE) - np.exp(-LARGE)
    for _ in range(40):
        sites.wake()
        assert f(LARGE, LARGE).tobytes() == expected.tobytes()
    assert site.fused
    (plan,) = site.block._plans.values()
    assert {"written", "tiled1"} <= set(plan.choice.best)


def test_verdicts_are_kept(block, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(memory, "_known", None)
    monkeypatch.setattr(memory, "_news", {"some block": "tiled2"})
    memory._store()
    monkeypatch.setattr(memory, "_news", {})
    assert memory.verdict("some block") == "tiled2" and memory.verdict("another") is None
    (file,) = tmp_path.glob("*.json")
    data = json.loads(file.read_text())
    data["machine"] = "another"
    file.write_text(json.dumps(data))
    monkeypatch.setattr(memory, "_known", None)
    assert memory.verdict("some block") is None
    file.write_text("{broken")
    monkeypatch.setattr(memory, "_known", None)
    assert memory.verdict("some block") is None


def test_one_record_on_a_tape(block) -> None:
    f, site = block("force")
    fused = site.fused
    gradient = minpy.grad(lambda a: f(a, LARGE[:50]).sum())(LARGE[:50])
    a = LARGE[:50]
    np.testing.assert_allclose(gradient, (1 - np.tanh(a * a + a) ** 2) * (a + 1), rtol=1e-12)
    assert site.fused == fused + 1


def test_nothing_runs_as_one_piece_while_the_runtime_is_active(block) -> None:
    f, site = block("force")
    fused = site.fused
    entry.activate()
    try:
        f(LARGE, LARGE)
    finally:
        entry.deactivate()
    assert site.fused == fused


@pytest.mark.parametrize("setter", [sys.settrace, sys.setprofile])
def test_nothing_runs_as_one_piece_while_somebody_looks_on(block, setter) -> None:
    f, site = block("force")
    getter = {sys.settrace: sys.gettrace, sys.setprofile: sys.getprofile}[setter]
    fused, before = site.fused, getter()
    setter(lambda *_: None)
    try:
        f(LARGE, LARGE)
    finally:
        setter(before)
    assert site.fused == fused


def test_off(block, monkeypatch) -> None:
    monkeypatch.setenv("MINPY_FUSE", "0")
    assert from_environ().fuse == "off"
    assert "blocks" not in rewriter.plan(TEXT, from_environ()).apply()
    assert "blocks" in rewriter.plan(TEXT, Options()).apply()
    assert len({Options(fuse=each).rewrite_key() for each in ("off", "auto", "force")}) == 3


def test_threads_each_get_their_own_results(block) -> None:
    f, _ = block("force:tiled2")
    wrong: list[int] = []

    def work(seed: int) -> None:
        a = np.random.default_rng(seed).random(50_000)
        expected = (np.tanh(a * a + a) - np.exp(-a)).tobytes()
        for _ in range(20):
            if f(a, a).tobytes() != expected:
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_number_of_threads(monkeypatch) -> None:
    for text, expected in (("1", 1), ("", None), ("many", None), ("1,2", 1)):
        monkeypatch.setenv("OMP_NUM_THREADS", text)
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        assert pool.width() == (expected or min(usable, 64))


def test_the_pool_raises_what_its_parts_raise_and_goes_on() -> None:
    done: list[int] = []

    def work(part: int) -> None:
        if part == 1:
            raise FloatingPointError("one")
        done.append(part)

    for _ in range(3):
        with pytest.raises(FloatingPointError, match="one"):
            pool.run(work, 3)
    assert done.count(0) == 3 and set(done) <= {0, 2}  # what was not begun by then need not be done


PROGRAM = """
import os, sys, warnings
warnings.simplefilter("error")
import numpy as np
def f(a, b):
    return np.tanh(a[:] * b + a) - np.exp(-b)
a = np.linspace(0, 1, 400_000)
expected = (np.tanh(a * a + a) - np.exp(-a)).tobytes()
assert f(a, a).tobytes() == expected
child = os.fork()
if not child:
    os._exit(0 if f(a, a).tobytes() == expected else 3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert f(a, a).tobytes() == expected
import threading
from time import perf_counter
assert threading.active_count() == 1
import builtins
print("fine", getattr(builtins, "__" + "minpy__").blocks.sites)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.parametrize("engine", ["force:tiled2", "force:tiled1"])
def test_fork(tmp_path, engine) -> None:
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(PROGRAM))
    environment = {
        **os.environ,
        "MINPY_FUSE": engine,
        "MINPY_CACHE_DIR": str(tmp_path),
        "OMP_NUM_THREADS": "2",
    }
    environment["OPENBLAS_NUM_THREADS"] = "1"
    done = subprocess.run(
        [sys.executable, "-m", "minpy", "run", str(path)],
        env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.startswith("fine") and not done.stderr, done
    assert " 2 of 2 times" in done.stdout, done.stdout


def test_a_warning_is_given_once_at_its_line(block, recwarn) -> None:
    f, site = block("force")
    f(LARGE, LARGE)
    fused = site.fused
    big = LARGE - 1e5
    f(big, big)
    assert site.fused == fused
    (warning,) = [each for each in recwarn if each.category is RuntimeWarning]
    assert "overflow" in str(warning.message) and (warning.filename, warning.lineno) == ("program.py", 3)


def test_memory_stays_below_numpys(tmp_path) -> None:
    """The peak of a run with large temporaries, in a process of its own."""
    path = tmp_path / "program.py"
    path.write_text(
        "import numpy as np\na = np.ones(4_000_000)\nfor _ in range(8): x = np.exp(a * a + a) * a - np.tanh(a[:])\n"
        "print(*[line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')])\n"
    )
    # (Not getrusage: that counts what the process was forked from.)
    if not os.path.exists("/proc/self/status"):
        pytest.skip("the peak of a process is asked of Linux")
    peaks = []
    for engine in ("off", "force:tiled2"):
        environment = {**os.environ, "MINPY_FUSE": engine, "MINPY_CACHE_DIR": str(tmp_path)}
        command = [sys.executable, "-m", "minpy", "run", str(path)]
        peaks.append(int(subprocess.run(command, env=environment, capture_output=True, check=True).stdout))
    assert peaks[1] < peaks[0]
