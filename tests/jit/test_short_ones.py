"""Loops of short runs: what is measured of them, when they are looked at, and when no longer."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest

from minpy.places import LOOPS, flag_of
from minpy.runtime import entry, flags, ledger
from minpy.runtime.fuse import sites as blocks
from minpy.runtime.jit import background, drive, sites
from minpy.runtime.jit.trial import Trial

ROUND = 1e-6


class Clock:
    """A clock that stands still but for the loop's rounds."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setenv("MINPY_JIT", "auto")
    clock = Clock()
    for module in (drive, sites):
        monkeypatch.setattr(module, "perf_counter", clock)
    return clock


@pytest.fixture
def site(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[sites.Site]:
    found = getattr(sites.loops, name := "loop_range_1_5a5a0001")
    if type(found) is not sites.Site:  # no compiler: as if there were one
        found = sites.Site(name, "range", False, 1, "5a5a0001")
    monkeypatch.setattr(drive, "_pays", lambda *_: False)
    yield found
    vars(sites.loops).pop(name, None)


def run(site: sites.Site, count: int, clock: Clock, seconds: float = ROUND) -> Any:
    """Run the loop; what the site gave it to run over."""
    over = site(count)
    for _ in over:
        clock.now += seconds
    return over


@pytest.mark.parametrize("count", [2, 17, 18, 273, 280, 2000, 9000])
def test_a_round_is_measured_by_the_rounds_that_there_were(site, clock, count) -> None:
    for _ in range(3):
        for _ in chain.from_iterable(drive.pieces(site, range(count), run.__code__)):
            clock.now += ROUND
        assert site.per_round == pytest.approx(ROUND)
    assert site.spent == pytest.approx(3 * count * ROUND)


@pytest.mark.parametrize("on_trial", [False, True])
def test_a_trial_looks_at_single_rounds(site, clock, on_trial) -> None:
    """A run that is not on trial begins with as many rounds as earlier ones allow."""
    list(chain.from_iterable(drive.pieces(site, range(2000), run.__code__)))
    site.per_round, site.trial = ROUND, Trial() if on_trial else None
    pieces = iter(drive.pieces(site, range(2000), run.__code__))
    assert len(list(next(pieces))) == (1 if on_trial else drive._FIRST)


def test_a_pause_makes_no_loop_seem_short(site, clock) -> None:
    """The process may be stopped for any time; the rounds after that are measured anew."""
    for k in range(40):
        for i in chain.from_iterable(drive.pieces(site, range(2000), run.__code__)):
            clock.now += 0.012 if i == 0 and k % 3 == 0 else ROUND
        assert ROUND * 0.99 < site.per_round < ROUND * 1.5


def test_runs_that_pay_for_nothing_are_looked_at_now_and_then(site, clock) -> None:
    run(site, 100, clock)
    looked = 0
    for _ in range(400):
        looked += type(run(site, 100, clock)) is not range
    assert 10 <= looked <= 30  # 40 ms in all, a look each 2 ms
    assert site.spent == pytest.approx(401 * 100 * ROUND) and not site.reason


def test_a_loop_that_gets_slower_is_seen(site, clock) -> None:
    run(site, 100, clock)
    for _ in range(400):
        run(site, 100, clock, 30 * ROUND)
    assert site.per_round == pytest.approx(30 * ROUND)


def test_short_runs_end_the_looking(site, clock) -> None:
    flag = flag_of(LOOPS, site.line, site.digest)
    for _ in range(3):
        run(site, 4, clock)
    for _ in range(300):
        run(site, 1, clock)
    assert site.reason == "its runs are too short"
    assert getattr(sites.loops, site.name) is builtins.range
    # Other places, of other tests' programs, may share the flag.
    assert getattr(entry.routed, flag) is bool(flags._awake[flag]) and site.name not in flags._awake[flag]


def test_short_runs_between_long_ones_do_not(site, clock) -> None:
    for _ in range(100):
        run(site, 1500, clock)
        for _ in range(30):
            run(site, 4, clock)
    assert not site.reason
    for _ in range(10_000):
        run(site, 4, clock)
    assert site.reason == "its runs are too short"


def test_what_a_loop_that_is_left_has_taken_is_counted(site, clock) -> None:
    """Also of the piece in which it breaks off, in which most of its rounds may be."""
    for count in (3, 500):
        before = site.spent
        for k in site(10_000):
            clock.now += 10e-6
            if k == count:
                break
        assert site.spent - before == pytest.approx((count + 1) * 10e-6, rel=0.01)


@pytest.mark.parametrize(("other", "hot"), [(0.0, True), (20e-6, True), (5e-3, False)])
def test_short_runs_that_come_all_the_time_are_compiled(
    site, clock, monkeypatch, other: float, hot: bool
) -> None:
    """The loop rests, and is asked when it was woken: so it costs nothing until its time has come."""
    monkeypatch.setattr(blocks, "rest", lambda site, soon: None)
    monkeypatch.setattr(background, "expected", lambda: 0.06)
    monkeypatch.setattr(ledger, "allows", lambda seconds, spent=0.0: True)
    for _ in range(3):
        run(site, 12, clock)
    asked = 0
    for k in range(100_000):
        clock.now += other
        if drive.is_hot(site):
            break
        asked += not site.asleep
        run(site, 12, clock)
        if site.asleep and k % 2000 == 0:
            site.set_flag(True)
    assert drive.is_hot(site) is hot and not site.reason
    assert site.naps >= 1 and asked < 300 + 30 * site.naps
