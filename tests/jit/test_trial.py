"""Loops of array operations must show that they gain by being compiled."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from minpy.runtime.fuse import sites as blocks
from minpy.runtime.jit import entering, trial
from minpy.runtime.jit.trial import Trial


def take_turns(one: Trial, written: list[float], compiled: list[float]) -> bool:
    """Rounds as written and compiled in turns; whether compiled code may go on."""
    goes_on = True
    for slow, fast in zip(written, compiled, strict=True):
        assert not one.wants_compiled
        one.wrote(7 * slow, 7)
        assert one.wants_compiled
        goes_on = one.ran(fast)
    assert one.is_over and one.wants_compiled
    return goes_on


@pytest.mark.parametrize(("gain", "goes_on"), [(50.0, True), (1.2, True), (1.0, False), (0.3, False)])
def test_the_faster_one_wins(gain: float, goes_on: bool) -> None:
    count = trial._SAMPLES
    assert take_turns(Trial(), [1e-5] * count, [1e-5 / gain] * count) is goes_on


def test_the_best_rounds_count() -> None:
    """What disturbs some rounds does not decide."""
    count = trial._SAMPLES
    assert take_turns(Trial(), [1e-5] * count, [9e-3] * (count - 1) + [0.5e-5])
    assert not take_turns(Trial(), [9e-3] * (count - 1) + [1e-5], [2e-5] * count)


def test_it_is_asked_again() -> None:
    count = trial._SAMPLES
    one = Trial()
    assert take_turns(one, [3e-5] * count, [2e-5] * count)
    for limit in trial._AGAIN:
        assert one.wants_compiled
        one.went(limit * 1.001)
        assert not one.wants_compiled
        goes_on = take_turns(one, [1e-5] * count, [2e-5] * count)
        assert not goes_on
    one.went(1e9)
    assert one.is_over


@pytest.mark.parametrize(
    ("per_round", "left", "rounds"),
    [(5e-4, 320, 20), (5e-4, 3, 4), (1e-6, 10_000, 2000), (1e-6, 100_000, 6250), (1.0, 5, 1), (0.0, 7, 7)],
)
def test_samples_are_near_the_rounds_that_they_are_compared_with(per_round, left, rounds) -> None:
    assert trial.nearby(per_round, left) == rounds


@pytest.mark.parametrize(("gain", "goes_on"), [(1.5, True), (0.9, False)])
def test_rounds_that_get_shorter_flatter_no_code(gain: float, goes_on: bool) -> None:
    """The columns of a triangle: round k takes as long as what is left."""
    one, count, k = Trial(), 300, 0
    gone_on = True
    while not one.is_over:
        one.wrote(5e-6 * (count - k), 1)
        k += 1
        done = trial.nearby(5e-6 * (count - k), count - k)
        gone_on = one.ran(sum(5e-6 * (count - each) / gain for each in range(k, k + done)) / done)
        k += done
    assert gone_on is goes_on


def test_it_waits_for_expressions_that_try_out_engines() -> None:
    """From the second time on, for a part of the time that it ran; rounds as written are theirs then."""
    count = trial._SAMPLES
    one = Trial()
    assert one.holds
    one.wrote(1e-5, 1, True)  # they were kept from it, but for those in other threads
    assert one.wants_compiled
    one.ran(0.5e-5)
    assert take_turns(one, [1e-5] * (count - 1), [0.5e-5] * (count - 1))
    one.went(trial._AGAIN[0] * 1.001)
    assert not one.holds
    one.wrote(trial._AGAIN[0] / 20, 1, True)
    assert not one.wants_compiled and not one.holds
    one.wrote(trial._AGAIN[0] / 10, 1, True)
    assert not one.wants_compiled and one.holds
    assert not take_turns(one, [0.2e-5] * count, [0.5e-5] * count)


def test_it_does_not_wait_where_nothing_could_win() -> None:
    count = trial._SAMPLES
    one = Trial()
    assert take_turns(one, [1e-3] * count, [1e-5] * count)
    one.went(trial._AGAIN[0] * 1.001)
    assert one.holds


def test_rounds_that_are_no_samples_are_not_counted() -> None:
    one = Trial()
    one.wrote(1.0, 0)  # the loop was over
    assert not one.wants_compiled
    one.wrote(1e-5, 1)
    one.wrote(1e-9, 1)  # not its turn
    assert math.isclose(one._written, 1e-5)


def test_blocks_are_held_while_a_round_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    site = blocks.Site("b1_1_77770001")
    monkeypatch.setenv("MINPY_FUSE", "auto")
    blocks.hold(True)
    try:
        assert site("v0 + v1", 1.0, 2.0) is False
        assert site.looks == 0
    finally:
        blocks.hold(False)
        blocks.sites.remove(site)
    assert site("v0 + v1", 1.0, 2.0) is False
    assert site.looks == 1


def test_what_a_loop_stores_into_is_not_held_against_it_once_it_was_shown_to_gain() -> None:
    """Its samples had the copies in them; as blocks found their engines its rounds got shorter, and it was given up."""
    site: Any = SimpleNamespace(
        per_round=30e-6, nest=False, shortcut=None, trial=Trial(), leaves=0, line=3, reason="", force=False
    )
    site.compiled = 10_000
    kernel: Any = SimpleNamespace(code=SimpleNamespace(columns=False, whole=True))
    copying, rounds = 0.2e-3, 49
    assert not entering._gains(site, kernel, copying, rounds)
    site.trial.went(0.021)
    assert entering._gains(site, kernel, copying, rounds)
    assert not entering._gains(site, kernel, 3 * copying, rounds)


def test_a_loop_that_is_met_near_its_end_is_not_too_short() -> None:
    """What is left of it does not pay for the copies; from its beginning it would."""
    site: Any = SimpleNamespace(
        per_round=30e-6, nest=False, shortcut=None, trial=Trial(), leaves=0, line=3, reason="", force=False
    )
    site.compiled = 0
    kernel: Any = SimpleNamespace(code=SimpleNamespace(columns=False, whole=True))
    for _ in range(20):
        assert not entering._gains(site, kernel, 0.05e-3, 10, 49)
    assert not site.leaves
    assert not entering._gains(site, kernel, 0.05e-3, 10, 12) and site.leaves
