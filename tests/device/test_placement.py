"""Where `auto` puts work: copies are made when they have paid, and what goes to and fro is kept on one side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minpy import routed
from minpy.runtime import cost, placement
from minpy.runtime.context import gpu
from minpy.runtime.cost import BUILT_IN, CostModel
from minpy.runtime.policy import AutoPolicy, PreferMXNetPolicy


def scaled(device: float, copies: float) -> CostModel:
    """A machine whose GPU computes and copies so many times as fast as the built-in one."""
    there = {
        kind: tuple((n, t / (copies if kind.startswith("to_") else device)) for n, t in points)
        for kind, points in BUILT_IN.points["cupy-gpu"].items()
    }
    return CostModel({"numpy": BUILT_IN.points["numpy"], "cupy-gpu": there}, measured=True)


MACHINES = {
    "usual": scaled(1, 1), "fast": scaled(20, 3), "slow_bus": scaled(1, 0.05), "slow_card": scaled(0.02, 1),
    "weak": scaled(0.1, 0.3),
}  # fmt: skip


@pytest.fixture(params=MACHINES)
def model(request, monkeypatch, machine) -> CostModel:
    """The cost model of a machine, which is what it says it is."""
    found = MACHINES[request.param]
    monkeypatch.setattr(cost, "model", lambda: found)
    return found


class Clock:
    """What a program would take on a machine that is as its cost model says: of each operation and copy."""

    def __init__(self, model: CostModel, card: Any) -> None:
        self.model, self.card, self.time = model, card, 0.0
        self.seen = 0, 0
        self.kernels = 0

    def run(self, function: Any, kind: str, elements: int, args: tuple) -> Any:
        result = function()
        card, model = self.card, self.model
        label = "cupy-gpu" if card.kernels > self.kernels else "numpy"
        self.time += placement._time(model, label, kind, elements, args)
        for now, before, way in (
            (card.uploaded, self.seen[0], "to_device"),
            (card.downloaded, self.seen[1], "to_host"),
        ):
            if now > before:
                self.time += model.predict(way, (now - before) / 8, "cupy-gpu")
        self.seen, self.kernels = (card.uploaded, card.downloaded), card.kernels
        return result


def grey(model: CostModel, card: Any, policy: Any, times: int, look: bool) -> float:
    """The seeds' example: a picture becomes grey, again and again; perhaps somebody looks at it."""
    face = np.linspace(0.0, 1.0, 64 * 96 * 3).reshape(64, 96, 3)
    weights = np.array([0.299, 0.587, 0.114])
    clock = Clock(model, card)
    clock.seen, clock.kernels = (card.uploaded, card.downloaded), card.kernels
    with gpu(0), policy:
        for _ in range(times):

            def once() -> Any:
                grey = routed.np.dot(face, weights)
                return np.asarray(grey) if look else grey

            last = clock.run(once, "matmul", face.size, (face, weights))
    np.testing.assert_allclose(np.asarray(last), face @ weights)
    return clock.time


@pytest.mark.parametrize("look", [False, True], ids=["kept", "looked_at"])
def test_the_grey_picture_is_as_fast_as_on_the_better_side(model, machine, look) -> None:
    from minpy.runtime import transfers

    card, times = machine.cards[0], 400
    there = grey(model, card, PreferMXNetPolicy(), times, look)
    transfers.uploads().clear()
    auto = grey(model, card, AutoPolicy(), times, look)
    here = times * placement._time(model, "numpy", "matmul", 64 * 96 * 3, (np.ones((64, 96, 3)), np.ones(3)))
    assert auto <= 1.05 * min(here, there), (auto, here, there)


def test_one_picture_alone_is_not_sent(machine, monkeypatch) -> None:
    monkeypatch.setattr(cost, "model", lambda: MACHINES["usual"])
    card = machine.cards[0]
    with gpu(0):
        routed.np.dot(np.ones((64, 96, 3)), np.ones(3))
        for n in (1, 10, 300):
            a = np.ones(n)
            for _ in range(30):
                a = routed.np.sqrt(a + 1.0)
    assert card.kernels == card.uploads == 0


def test_what_is_used_often_is_sent_once_and_stays(machine, monkeypatch) -> None:
    monkeypatch.setattr(cost, "model", lambda: MACHINES["usual"])
    card = machine.cards[0]
    a = np.linspace(0.0, 1.0, 200_000)
    with gpu(0):
        for _ in range(50):
            b = routed.np.exp(a)
            b = routed.np.tanh(b)
    # (What the host made of it meanwhile has its credit, and may be sent once as well.)
    assert card.uploads <= 2 and card.downloads == 0 and card.kernels >= 90
    np.testing.assert_allclose(np.asarray(b), np.tanh(np.exp(a)), rtol=1e-14)


def test_small_arrays_come_back(machine, monkeypatch) -> None:
    monkeypatch.setattr(cost, "model", lambda: MACHINES["usual"])
    with gpu(0):
        with PreferMXNetPolicy():
            small = routed.np.exp(np.ones(10))
        before = machine.cards[0].kernels
        for _ in range(100):
            small = routed.np.sqrt(small * small)
    assert machine.cards[0].kernels - before <= 4


def test_a_loop_that_bounces_is_kept_on_the_host_and_told(machine, recorder, monkeypatch) -> None:
    monkeypatch.setattr(cost, "model", lambda: MACHINES["usual"])
    card = machine.cards[0]
    a = np.linspace(0.1, 0.9, 1 << 20)
    with gpu(0):
        for _ in range(300):
            b = routed.np.exp(a)  # gains by the device
            a = np.asarray(b)[::-1] / 3.0  # the host looks at it, and what it makes is new
    assert card.downloads < 60
    assert any(reason.startswith("MP110") for reason in recorder.reasons["exp"])
    want = np.linspace(0.1, 0.9, 1 << 20)
    for _ in range(300):
        want = np.exp(want)[::-1] / 3.0
    np.testing.assert_allclose(a, want, rtol=1e-10)


def test_rests_grow_and_end() -> None:
    class Device:
        label = "cupy-gpu"

    account = placement.Account(Device())
    lengths = []
    for _ in range(5):
        account.spent, account.fetches = 1e6, placement._LOOKED_AT
        account._look()
        lengths.append(account.rest)
    assert lengths == [1024, 2048, 4096, 8192, 16384] and account.said.startswith("MP110")
    account.gained, account.spent = 1e6, 1.0
    account._look()
    account.spent, account.fetches, account.gained = 1e6, placement._LOOKED_AT, 0.0
    account._look()
    assert account.rest == 1024


def test_a_device_without_figures_is_not_used(machine, monkeypatch) -> None:
    monkeypatch.setattr(gpu(0).device(), "label", "unknown")
    with gpu(0):
        assert routed.np.exp(np.ones(10**6)).shape == (10**6,)
    assert machine.cards[0].kernels == 0
