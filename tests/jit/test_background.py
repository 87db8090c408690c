"""Compiling in a thread of its own, and what of it a program may have to wait for."""

from __future__ import annotations

import os
import random
import sys
import time

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="the extra jit is not installed")

from minpy.runtime import ledger
from minpy.runtime.jit import background, engine

KEPT: list[bytes] = []
TEXT = "define i64 @kernel(ptr %w) {{\n  ret i64 {}\n}}\n"


@pytest.fixture
def processors(monkeypatch):
    monkeypatch.setenv("MINPY_JIT", "auto")
    monkeypatch.setattr(background, "_processors", lambda: 2)
    monkeypatch.setattr(background, "_jobs", {})
    yield
    background.stop()


def wait_for(text):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            return background.object_code(text, KEPT.append)
        except background.Pending as pending:
            while not pending.job.done and time.monotonic() < deadline:
                time.sleep(0.001)
    raise AssertionError("never compiled")


def run(code):
    return engine.function(code, {})(0)


def test_code_comes_later(processors):
    text = TEXT.format(7)
    with pytest.raises(background.Pending) as pending:
        background.object_code(text, KEPT.append)
    assert pending.value.job.text == text
    code = wait_for(text)
    assert run(code) == 7 and KEPT[-1] == code
    with pytest.raises(background.Pending):  # it was handed over, and not kept
        background.object_code(text, KEPT.append)


@pytest.mark.parametrize(
    ("shares", "asked", "sleeps"),
    [
        ([1.0], 1, 1),  # it is at work
        ([0.0], 1, background._STEPS),  # it waits for something else
        ([0.0, 0.3, 0.9], 1, 3),  # it got the interpreter, and goes on without it
        ([1.0], 2, 1),  # asked again at once
    ],
)
def test_whoever_asks_makes_way(monkeypatch, shares, asked, sleeps):
    """A program that lets the interpreter go for moments would have the thread wait for seconds."""
    clock, worked, slept = [100.0], [0.0], []
    left = iter([*shares, *[shares[-1]] * background._STEPS])

    def sleep(seconds):
        slept.append(seconds)
        clock[0] += 7e-5
        worked[0] += 7e-5 * next(left)

    monkeypatch.setattr(background, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(background, "_worked", lambda: worked[0])
    monkeypatch.setattr(background, "sleep", sleep)
    monkeypatch.setattr(background, "_way_made", 0.0)
    job = background.Job("", KEPT.append)
    assert not any(job.done for _ in range(asked))
    assert len(slept) == sleeps
    job.forget()
    clock[0] += 1.0
    assert job.done and len(slept) == sleeps


def test_many_texts(processors):
    texts = [TEXT.format(k) for k in range(20)]
    for text in texts:
        with pytest.raises(background.Pending):
            background.object_code(text, KEPT.append)
    assert [run(wait_for(text)) for text in texts] == list(range(20))


def test_code_is_kept_though_nobody_asks_again(processors):
    kept = []
    with pytest.raises(background.Pending) as pending:
        background.object_code(TEXT.format(9), kept.append)
    while not pending.value.job.done:
        time.sleep(0.001)
    assert run(kept[0]) == 9


def test_a_text_that_is_refused(processors):
    with pytest.raises(engine.CompileError):
        wait_for("define i64 @kernel(ptr %w) {\n  ret i64 %nothing\n}\n")
    assert run(wait_for(TEXT.format(1))) == 1


@pytest.mark.parametrize("why", ["one processor", "forced", "no thread"])
def test_where_the_program_waits(processors, monkeypatch, why):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    background.stop()
    if why == "one processor":
        monkeypatch.setattr(background, "_processors", lambda: 1)
    elif why == "forced":
        monkeypatch.setenv("MINPY_JIT", "force")
    else:
        monkeypatch.setattr(background._thread, "start_new_thread", refuse)
    assert run(background.object_code(TEXT.format(11), KEPT.append)) == 11


def test_stopping_forgets_what_was_not_begun(processors):
    texts = [TEXT.format(100 + k) for k in range(8)]
    jobs = []
    for text in texts:
        with pytest.raises(background.Pending) as pending:
            background.object_code(text, KEPT.append)
        jobs.append(pending.value.job)
    background.stop()
    assert all(job.done for job in jobs) and background._queue is None
    assert [run(wait_for(text)) for text in texts] == list(range(100, 108))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_meets_no_thread(processors):
    """The thread ends before a fork; parent and child compile on."""
    with pytest.raises(background.Pending):
        background.object_code(TEXT.format(5), KEPT.append)
    pid = os.fork()
    if not pid:
        status = 1
        try:
            status = run(wait_for(TEXT.format(21)))
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 21
    assert run(wait_for(TEXT.format(5))) == 5


LOOP = """
import threading
import numpy as np
def walk(n):
    a = np.arange(float(n))
    total = 0.0
    for i in range(n):
        for j in range(1, 40):
            total += a[i] / j
            a[i] = total % 7.0
    return total, a
first = [walk(400) for _ in range(60)]
t, a = first[0]
assert all(u == t and np.array_equal(a, b) for u, b in first)
print(t.hex(), threading.active_count())
"""


def test_a_loop_goes_over_to_code_that_comes_later(tmp_path):
    import subprocess

    (tmp_path / "program.py").write_text(LOOP)
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MINPY_")}
    environment |= {"PYTHONPATH": root, "MINPY_CACHE_DIR": str(tmp_path / "cache")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def outcome(*words):
        command = [sys.executable, *words, "program.py"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done

    plain = outcome()
    for _ in range(2):
        ours = outcome("-m", "minpy", "run", "-v")
        assert ours.stdout == plain.stdout
    assert "program.py:7: " in ours.stderr and "iterations compiled" in ours.stderr


# --- What may be spent


@pytest.fixture
def young(monkeypatch):
    """A process that has run for one second, and spent nothing."""
    now = [1.0]
    monkeypatch.setattr(ledger, "perf_counter", lambda: now[0])
    monkeypatch.setattr(ledger, "process_time", lambda: now[0])
    monkeypatch.setattr(ledger, "_began", 0.0)
    monkeypatch.setattr(ledger, "_looked", 0.0)
    monkeypatch.setattr(ledger, "_taken", 0.0)
    monkeypatch.setattr(ledger, "_lost", 0.0)
    monkeypatch.setattr(ledger, "line", [])
    monkeypatch.setattr(ledger, "_last", {})
    monkeypatch.setattr(ledger, "_waited", lambda: 0.0)
    monkeypatch.setattr(ledger, "gains", [])
    monkeypatch.setattr(ledger, "_asked", 0.0)
    monkeypatch.setattr(ledger, "_added", 0.0)
    monkeypatch.setattr(ledger, "seconds", {})
    monkeypatch.setattr(ledger, "counts", {})
    return now


def test_a_share_of_the_time_may_be_spent(young, monkeypatch):
    assert ledger.allows(0.05) and not ledger.allows(0.07)
    ledger.note("compiling", 0.05)
    assert not ledger.allows(0.01) and ledger.taken() == 0.05
    young[0] = 10.0
    assert ledger.allows(0.72) and not ledger.allows(0.74)
    ledger.note("compiling meanwhile", 5.0, taken=0.1)  # what another thread did costs the program little
    assert ledger.allows(0.62) and not ledger.allows(0.64)
    assert ledger.seconds == {"compiling": 0.05, "compiling meanwhile": 5.0}
    assert ledger.counts == {"compiling": 1, "compiling meanwhile": 1}
    monkeypatch.setattr(ledger, "_waited", lambda: 0.2)  # for the rewriting
    assert ledger.allows(0.42) and not ledger.allows(0.44)


@pytest.mark.parametrize(
    ("ran", "waited", "spent", "allowed"),
    [
        (1.1, 0.0, 1.0, 0.0),  # a program of a second
        (1.3, 0.0, 1.2, 0.4),
        (1.3, 0.2, 1.2, 0.0),  # the same one, after the rewriting
        (1.5, 0.2, 1.2, 0.4),
        (1.5, 0.2, 0.3, 0.1),  # little was spent in this
        (6.0, 0.2, 1.2, 0.4),
    ],
)
def test_what_much_time_went_into_may_cost_a_part_of_it(young, monkeypatch, ran, waited, spent, allowed):
    """Whatever was spent at the start: else that would have to be a twelfth of the time first."""
    young[0] = ran
    monkeypatch.setattr(ledger, "_waited", lambda: waited)
    ledger.note("compiling", 1.0)
    assert ledger.allows(allowed - 0.01, spent) is (allowed > 0.0)
    assert not ledger.allows(allowed + 0.01, spent)
    assert not ledger.allows(0.0) and not ledger.allows_sure(0.0)


def test_where_others_have_the_processor_less_was_spent(young, monkeypatch):
    young[0] = 4.0
    monkeypatch.setattr(ledger, "process_time", lambda: 2.0)
    assert ledger.is_due(0.33, 2.0) and not ledger.is_due(0.34, 2.0)


def test_what_was_gained_may_be_spent_in_part(young):
    ledger.note("compiling", 0.5)
    assert not ledger.allows(0.01)
    ledger.gains += [lambda: 1.5, lambda: 0.5]
    young[0] += 0.1  # it is asked now and then
    assert ledger.allows(0.56) and not ledger.allows(0.58)


@pytest.mark.parametrize("processors", [1, 2])
@pytest.mark.parametrize("gained", [0.0, 0.3])
@pytest.mark.parametrize("seed", range(4))
def test_all_that_is_spent_in_the_first_second_is_bounded(young, monkeypatch, seed, gained, processors):
    """Whatever asks, how often and for how much: a program of a second that gains nothing loses no more than this.

    With one processor the program waits for the rewriting, and for all that is compiled; with two, for a part of that.
    """
    chance = random.Random(seed)
    waited = 0.05 if processors == 1 else 0.0
    monkeypatch.setattr(ledger, "_waited", lambda: waited)
    monkeypatch.setattr(background, "_processors", lambda: processors)
    monkeypatch.setattr(background, "_jobs", {})
    young[0], began, spent = 0.1, 0.1, {"compiling": 0.0, "looking": 0.0}

    def spend(what, seconds):  # it is the program that waits
        young[0] += seconds
        spent[what] += seconds

    ledger.gains.append(lambda: gained * (young[0] - began))
    while young[0] < 1.2:
        size = int(chance.choice((1_000, 10_000, 50_000)) * chance.random())
        takes = background.expected_again(size)
        ask = chance.choice((ledger.allows, ledger.allows_sure))
        if ask(takes, *([chance.random()] if ask is ledger.allows else [])):
            ledger.note("compiling", background.work(size), taken=takes)
            spend("compiling", takes)
        while ledger.may_look() and chance.random() < 0.9:
            lost = 2e-3 * chance.random()
            ledger.note_look(lost)
            spend("looking", lost)
        young[0] += 0.002
        half = ledger.AGAIN * gained * (young[0] - began)
        assert spent["looking"] < ledger.LOOKS + max(ledger.LOOKING * young[0], half) + 2e-3
        most = ledger.SHARE * young[0] + ledger.SURE + half
        assert ledger.START + waited + spent["compiling"] < most
        assert sum(spent.values()) < most + ledger.LOOKS + ledger.LOOKING * young[0] + half
    assert spent["compiling"] > 0.02 and spent["looking"] > ledger.LOOKS


def test_looking_that_wins_may_go_on(young):
    """An engine that is faster than the program while it is measured loses nothing."""
    for _ in range(100):
        assert ledger.may_look()
        ledger.note_look(0.01)
        ledger.note_look(-0.02)
    assert ledger.taken() == pytest.approx(0.0)
    while ledger.may_look():
        ledger.note_look(0.001)
    assert ledger.taken() == pytest.approx(ledger.LOOKS + ledger.LOOKING, abs=0.002)
    young[0] += 1.0
    assert ledger.may_look()


def test_the_time_line(young):
    """What comes again soon is one entry; what is entered inside something else is not part of that."""
    ledger.note("compiling", 0.5, taken=0.1)
    young[0] += 0.01
    ledger.note("compiling", 0.5)
    young[0] += 1.0
    with ledger.entered("looking at loops"):
        young[0] += 0.3
        ledger.note("compiling", 0.2)
    assert ledger.line == [
        [pytest.approx(1.0), "compiling", 2, pytest.approx(1.0), pytest.approx(0.6)],
        [pytest.approx(2.31), "compiling", 1, pytest.approx(0.2), pytest.approx(0.2)],
        [pytest.approx(2.31), "looking at loops", 1, pytest.approx(0.1), pytest.approx(0.1)],
    ]
    for _ in range(1000):
        young[0] += 1.0
        ledger.note("compiling", 0.5)
    assert len(ledger.line) <= ledger._LONGEST_LINE


@pytest.mark.parametrize(
    ("processors", "size", "gained", "early"),
    [
        (2, 40_000, 0.5, True),
        (2, 40_000, 0.7, False),  # enough to pay for it several times
        (2, 20_000, 0.5, False),
        (2, 20_000, 0.0, True),  # nothing that would make up for it
        (2, 12_000, 0.0, False),
        (1, 40_000, 0.0, False),
    ],
)
def test_a_program_that_ends_soon_waits_for_no_long_text(young, monkeypatch, processors, size, gained, early):
    monkeypatch.setenv("MINPY_JIT", "auto")
    monkeypatch.setattr(background, "_processors", lambda: processors)
    ledger.gains.append(lambda: gained)
    assert background.is_early(size) is early
    young[0] = 1.25
    assert not background.is_early(size, 1.0)


def test_no_memory_to_go_back(run_both, monkeypatch):
    """A loop whose arrays cannot be copied runs as written."""
    from minpy.runtime.jit.kernel import Kernel

    def none_left(*_):
        raise MemoryError

    monkeypatch.setattr(Kernel, "_targets", none_left)
    found = run_both(
        "for i in range(1, 60):\n  for j in range(10):\n    a[j] = a[i] / (a[j] - i)\n"
        "    if a[j] > 1e9:\n      print(1)\n",
        compiled=None,
        a=np.linspace(1.0, 2.0, 700),
    )
    assert any("there is no memory for a copy" in site.reason for site in found), found
