"""Convolution and pooling on devices: rows of the table, with the host's values, derivatives and errors."""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import sys

import kernels
import numpy as np
import pytest
import simulated

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "runtime"))
import table_driver as driver

import minpy
import minpy.numpy as np_
from minpy.errors import ArgumentError, DeviceFailure, GradientError
from minpy.nn import layers, model_gallery
from minpy.nn import model_builder as builder
from minpy.nn.io import NDArrayIter
from minpy.nn.solver import Solver
from minpy.runtime import backends, transfers
from minpy.runtime.backends import cupy as backend
from minpy.runtime.backends import cupy_windows
from minpy.runtime.context import gpu
from minpy.runtime.policy import PreferMXNetPolicy
from minpy.runtime.primitives import table

ROWS = {primitive.name: primitive for primitive in table.library_rows()}


@pytest.mark.parametrize("name", ROWS)
def test_rows_on_a_card(machine, monkeypatch, name: str) -> None:
    monkeypatch.setattr(driver, "DTYPES", ("float16", "float32", "float64", "int32"))
    monkeypatch.setattr(driver, "LAYOUTS", ("F", "negative", "readonly"))
    failures = driver.parity_failures(ROWS[name], "prefer_mxnet", context=gpu(0))
    assert not failures, "\n".join(failures)


@pytest.fixture
def compiled(machine, tmp_path, monkeypatch) -> type:
    """The class of kernels of our own, which are compiled at once."""
    made = machine.cupy.RawKernel = kernels.raw_kernel(machine, tmp_path)
    monkeypatch.setattr(cupy_windows, "_OFTEN", 1)
    return made


@pytest.mark.skipif(kernels.COMPILER is None, reason="no C++ compiler to run the kernels' text with")
def test_rows_by_kernels_of_our_own(compiled, monkeypatch) -> None:
    monkeypatch.setattr(driver, "DTYPES", ("float32",))
    monkeypatch.setattr(driver, "LAYOUTS", ("F", "negative"))
    for row in ROWS.values():
        failures = driver.parity_failures(row, "prefer_mxnet", context=gpu(0))
        assert not failures, "\n".join(failures)
    names = {name for text in compiled.texts for name in cupy_windows._BODIES if f"void {name}(" in text}
    assert names == set(cupy_windows._BODIES)
    assert not gpu(0).device().F.window_kernels.why


def test_kernels_that_do_not_compile(machine, tmp_path, monkeypatch) -> None:
    want = train()

    class Broken:
        def __init__(self, code: str, name: str, options: tuple = ()) -> None:
            raise RuntimeError("NVRTC is not there")

    machine.cupy.RawKernel = Broken
    monkeypatch.setattr(cupy_windows, "_OFTEN", 1)
    with gpu(0), PreferMXNetPolicy():
        agree(train(), want)
        assert "NVRTC" in gpu(0).device().F.window_kernels.why


@pytest.mark.mxnet
@pytest.mark.parametrize("name", ROWS)
def test_rows_on_mxnet(monkeypatch, name: str) -> None:
    monkeypatch.setattr(driver, "DTYPES", ("float16", "float32", "float64", "int32"))
    monkeypatch.setattr(driver, "LAYOUTS", ("F", "negative", "readonly"))
    failures = driver.parity_failures(ROWS[name], "prefer_mxnet")
    assert not failures, "\n".join(failures)


# ----- a card that fails while a network is trained


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


IMAGES, NUMBERS = drawn(6, 2, 8, 8), np.arange(6) % 3
START = [
    drawn(3, 2, 3, 3, seed=1),
    drawn(3, seed=2),
    drawn(2, 3, 2, 2, seed=3),
    drawn(2, seed=4),
    drawn(8, 3, seed=5),
]


def loss(p: list, x: np.ndarray) -> np.ndarray:
    h = layers.pooling(layers.relu(layers.convolution(x, p[0], p[1], pad=1)), "max", 3, 2, 1)
    h = layers.pooling(layers.convolution(h, p[2], p[3], stride=(2, 1), pad=1), "avg", (2, 2), (1, 2))
    return layers.softmax_loss(np_.dot(np_.reshape(h, (6, -1))[:, :8], p[4]), NUMBERS)


def train(steps: int = 2) -> tuple[list[float], list[np.ndarray]]:
    """Losses and parameters of some steps of training."""
    step = minpy.value_and_grad(loss)
    p, losses = [np_.multiply(w, 1.0) for w in START], []
    for _ in range(steps):
        value, slopes = step(p, IMAGES)
        losses.append(float(value))
        for w, slope in zip(p, slopes, strict=True):
            w -= 0.1 * slope
    return losses, [np.asarray(w) for w in p]


def agree(found: tuple, want: tuple) -> None:
    np.testing.assert_allclose(found[0], want[0], rtol=1e-12)
    for a, b in zip(found[1], want[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_a_network_copies_its_data_once_each_way(machine) -> None:
    card = machine.cards[0]
    want = train()
    with gpu(0), PreferMXNetPolicy():
        step, p = minpy.value_and_grad(loss), [np_.multiply(w, 1.0) for w in START]
        counts = []
        for _ in range(4):
            value, slopes = step(p, IMAGES)
            for w, slope in zip(p, slopes, strict=True):
                w -= 0.1 * slope
            before = card.downloaded
            float(value)
            counts.append((card.uploads, card.downloaded))
            assert card.downloaded - before == 8  # the loss
    # Images, labels (two vectors of indices), parameters; after that the one-hot rows, which a step makes anew.
    assert counts[0][0] <= len(START) + 5, counts
    assert {b[0] - a[0] for a, b in itertools.pairwise(counts[1:])} <= {0, 1}
    assert [d for _, d in counts] == [8, 16, 24, 32]
    with gpu(0), PreferMXNetPolicy():
        agree(train(), want)


def launches(machine) -> int:
    with gpu(0), PreferMXNetPolicy():
        train()
        before = machine.cards[0].kernels
        train()
        return machine.cards[0].kernels - before


@pytest.mark.parametrize("lasts", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("kind", ["no kernel", "full"])
def test_what_a_card_refuses_the_host_does(machine, kind: str, lasts: bool) -> None:
    want, count, card = train(), launches(machine), machine.cards[0]
    for at in range(0, count, 19):
        seen = iter(range(10**9))

        def refuse(name: str, at: int = at, seen=seen) -> None:
            n = next(seen)
            if n == at or (lasts and n > at):
                raise (simulated.OutOfMemoryError if kind == "full" else RuntimeError)(f"{name}: {kind}")

        card.before = refuse
        try:
            with gpu(0), PreferMXNetPolicy():
                agree(train(), want)
        except (DeviceFailure, GradientError, RuntimeError) as error:
            # Work that was put off: the host does not know of it.
            assert kind == "no kernel" and kind in str(error)
        card.before = None


def test_a_card_that_breaks_gives_no_wrong_number(machine, monkeypatch) -> None:
    want, count = train(), launches(machine)
    for at in range(0, count, 19):
        monkeypatch.setattr(backends, "_devices", {})
        fresh = simulated.Machine(cards=1)
        monkeypatch.setattr(backend.library, "module", fresh.cupy)
        transfers.uploads().clear()
        seen = iter(range(10**9))
        fresh.cards[0].poison = lambda name, at=at, seen=seen: next(seen) >= at
        with gpu(0), PreferMXNetPolicy():
            try:
                found = train()
            except (DeviceFailure, GradientError) as error:
                assert "gpu(0)" in str(error) and "illegal memory access" in str(error)
            else:
                agree(found, want)


@pytest.mark.parametrize("words", [[[1, 40]], [[-1]], [[2**40]]])
def test_words_that_are_none(machine, words: list) -> None:
    words = np.array(words)
    with pytest.raises(ArgumentError) as want:
        layers.embedding(words, drawn(40, 6))
    with gpu(0), PreferMXNetPolicy():
        for numbers in (words, np_.multiply(words, 1)):
            with pytest.raises(ArgumentError) as found:
                layers.embedding(numbers, np_.multiply(drawn(40, 6), 1.0))
            assert str(found.value) == str(want.value)


BAD = {
    "channels": lambda x: layers.convolution(x, np_.asarray(drawn(3, 5, 3, 3))),
    "a filter that is too large": lambda x: layers.convolution(x, np_.asarray(drawn(3, 2, 9, 3))),
    "biases": lambda x: layers.convolution(x, np_.asarray(drawn(3, 2, 3, 3)), np_.asarray(drawn(2))),
    "a window that is too large": lambda x: layers.pooling(x, "max", 9),
    "padding": lambda x: layers.pooling(x, "avg", 2, 2, 2),
    "axes": lambda x: layers.pooling(np_.reshape(x, (6, -1)), "max"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_shapes_say_the_same(machine, name: str) -> None:
    with pytest.raises(ArgumentError) as want:
        BAD[name](IMAGES)
    with gpu(0), PreferMXNetPolicy(), pytest.raises(ArgumentError) as found:
        BAD[name](np_.multiply(IMAGES, 1.0))
    assert str(found.value) == str(want.value)


def test_types_that_a_card_does_not_convolve(machine) -> None:
    x, w = np.arange(128).reshape(1, 2, 8, 8), np.arange(36).reshape(2, 2, 3, 3)
    for first, second in ((x, w), (x.astype("f2"), w.astype("f2")), (x.astype("f4"), w.astype("f8"))):
        want = layers.convolution(first, second)
        with gpu(0), PreferMXNetPolicy():
            found = layers.convolution(np_.multiply(first, 1).astype(first.dtype), second)
        assert found.dtype == want.dtype
        np.testing.assert_allclose(np.asarray(found), want, rtol=1e-3)


# Networks of the gallery, the shape of their images, and how many masks a step draws on the host (None: blocks are left
# out at random, so that later steps are the first to send the parameters of some).
NETWORKS = {
    "network in network": (lambda: model_gallery.network_in_network(10, width=4), (3, 16, 16), 2),
    "residual": (lambda: model_gallery.residual_network(1, width=4), (3, 8, 8), 0),
    "stochastic depth": (lambda: model_gallery.stochastic_depth_network(1, width=4), (3, 8, 8), None),
    "vgg": (lambda: model_gallery.vgg_network(width=4, hidden=8), (3, 32, 32), 1),
    "perceptron": (lambda: model_gallery.MultiLayerPerceptron(16, 10), (12,), 0),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_of_a_step_only_the_loss_comes_back(machine, name: str) -> None:
    make, shape, masks = NETWORKS[name]
    card = machine.cards[0]
    x, y = drawn(4, *shape).astype("float32"), np.arange(4)
    found = {}
    for where in ("host", "card"):
        np.random.seed(1)
        data = NDArrayIter(x, y, batch_size=4)
        with contextlib.ExitStack() as stack:
            if where == "card":
                stack.enter_context(gpu(0))
                stack.enter_context(PreferMXNetPolicy())
            solver = Solver(
                builder.Model(make(), "softmax", shape), data, data, num_epochs=1, update_rule="sgd_momentum",
                optim_config={"learning_rate": 1e-3}, verbose=False,
            )  # fmt: skip
            solver.init()
            batch = next(iter(data))
            counts = []
            for _ in range(4):
                loss = solver.step(batch)
                counts.append((card.uploads, card.downloaded))
            found[where] = loss
    for before, after in itertools.pairwise(counts[1:]):
        assert after[1] - before[1] == 4
        assert masks is None or after[0] - before[0] <= 1 + masks, (
            "more than class numbers and masks was sent"
        )
    assert found["card"] == pytest.approx(found["host"], rel=1e-3)


def test_auto_sends_large_images_and_leaves_small_ones(machine, recorder) -> None:
    card = machine.cards[0]
    for shape, filters, there in (
        ((2, 2, 8, 8), (3, 2, 3, 3), False),
        ((8, 16, 32, 32), (32, 16, 3, 3), True),
    ):
        x, w = drawn(*shape).astype("f4"), drawn(*filters).astype("f4")
        step = minpy.grad(lambda w, x=x: np_.sum(layers.pooling(layers.convolution(x, w, None, pad=1)) ** 2))
        want, before = step(w), card.kernels
        recorder.reasons.clear()
        with gpu(0):
            for _ in range(3):
                found = step(w)
        assert (card.kernels > before) is there
        np.testing.assert_allclose(np.asarray(found), want, rtol=2e-3, atol=1e-2)
        assert not any(r.startswith("MP107") for reasons in recorder.reasons.values() for r in reasons)
