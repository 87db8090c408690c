"""Operation statistics: what ran where, the reasons of fallbacks, and the bytes copied."""

from __future__ import annotations

import io
import re
import threading

import numpy as np
import pytest

import minpy
from minpy import grad, routed
from minpy.runtime import entry, profile
from minpy.runtime.policy import OnlyNumPyPolicy, PreferMXNetPolicy

X = np.arange(6.0).reshape(2, 3)


@pytest.fixture(autouse=True)
def stopped(monkeypatch):
    """Statistics that a test began end with it."""
    monkeypatch.setattr(profile, "_statistics", None)
    yield
    if profile._statistics is not None:
        profile.stop(profile._statistics)
    assert not profile.recorders and not entry.is_active()


def text() -> str:
    stream = io.StringIO()
    minpy.show_op_stat(stream)
    return stream.getvalue()


def counts(stat: str) -> dict[str, dict[str, int]]:
    """The printed table, read back."""
    found: dict[str, dict[str, int]] = {}
    for line in stat.splitlines():
        if title := re.fullmatch(r"(\w+) op called times:", line):
            found[title[1]] = {}
        elif entry_ := re.fullmatch(r" ([\w.]+) : (\d+)", line):
            found[list(found)[-1]][entry_[1]] = int(entry_[2])
    return found


@pytest.mark.mxnet
def test_the_example_of_the_manual() -> None:
    def sigmoid(x):
        return 0.5 * (routed.np.tanh(x / 2) + 1)

    def predict(weights, inputs):
        return sigmoid(routed.np.dot(inputs, weights))

    def training_loss(weights, inputs):
        preds = predict(weights, inputs)
        label_probabilities = preds * targets + (1 - preds) * (1 - targets)
        return -routed.np.sum(routed.np.log(label_probabilities))

    def training_accuracy(weights, inputs):
        preds = predict(weights, inputs)
        error = routed.np.count_nonzero(routed.np.argmax(preds, axis=1) - routed.np.argmax(targets, axis=1))
        return (256 - error) * 100 / 256.0

    rounds = 5
    with PreferMXNetPolicy():
        minpy.record_op_stat()
        np.random.seed(0)
        inputs = routed.np.random.rand(256, 50) - 0.5
        targets = routed.np.zeros((256, 25))
        truth = routed.np.random.randint(0, 25, 256)
        targets[routed.np.arange(256), truth] = 1
        weights = routed.np.random.rand(50, 25) - 0.5
        accuracies = []
        for _ in range(rounds):
            accuracies.append(float(training_accuracy(weights, inputs)))
            weights -= grad(training_loss)(weights, inputs) * 0.01
    stat = text()
    found = counts(stat)
    on_mxnet, on_numpy = found["MXNET"], found["NUMPY"]
    assert list(found) == ["MXNET", "NUMPY"]
    assert on_mxnet["zeros"] == 1 and on_mxnet["log"] == rounds
    assert on_mxnet["dot"] == 3 * rounds  # twice forward, once in the gradient
    assert on_mxnet["tanh"] == 2 * rounds
    assert on_numpy["random.rand"] == 2 and on_numpy["random.randint"] == 1
    assert "multiply" in on_mxnet and "divide" in on_mxnet
    total = sum(on_mxnet.values()), sum(on_numpy.values())
    share = total[0] / sum(total)
    assert share > 0.8
    assert (
        stat.splitlines()[-1] == f"Total Dispatch Proportion: {share:.1%} in MXNet, {1 - share:.1%} in NumPy"
    )
    assert accuracies[-1] > accuracies[0]


def test_without_recording_it_says_what_to_do() -> None:
    assert "record_op_stat" in text()


def test_on_the_host_everything_is_numpy() -> None:
    minpy.record_op_stat()
    routed.np.exp(X)
    routed.np.exp(X)
    routed.np.linalg.norm(X)
    assert text() == (
        "MXNET op called times:\nNUMPY op called times:\n exp : 2\n linalg.norm : 1\n"
        "Total Dispatch Proportion: 0.0% in MXNet, 100.0% in NumPy\n"
    )


def test_nothing_ran() -> None:
    minpy.record_op_stat()
    assert text().splitlines()[-1] == "Total Dispatch Proportion: 0.0% in MXNet, 0.0% in NumPy"


def test_a_second_record_starts_from_zero() -> None:
    minpy.record_op_stat()
    routed.np.exp(X)
    minpy.record_op_stat()
    routed.np.sin(X)
    assert counts(text())["NUMPY"] == {"sin": 1}


def test_show_prints_to_standard_output(capsys) -> None:
    minpy.record_op_stat()
    routed.np.exp(X)
    minpy.show_op_stat()
    assert " exp : 1" in capsys.readouterr().out


def test_results_are_plain_arrays_while_recording() -> None:
    minpy.record_op_stat()
    y = routed.np.exp(X)
    assert type(y) is np.ndarray
    np.testing.assert_array_equal(y, np.exp(X))


# ----- recorders --------------------------------------------------------------------------------------------


@pytest.fixture
def recorder():
    found = profile.start(profile.Recorder(timed=True))
    yield found
    profile.stop(found)


@pytest.mark.mxnet
def test_reasons(recorder) -> None:
    with PreferMXNetPolicy():
        routed.np.logaddexp(X, X)
        routed.np.logaddexp(X, X)
        routed.np.exp(X.astype(np.complex64))
        routed.np.exp(X.astype(">f8"))
        routed.np.exp(X[:0])
        routed.np.sum(X, dtype=np.complex128)
        routed.np.random.rand(3)
        routed.np.exp(X)
    reasons = {name: dict(found) for name, found in recorder.reasons.items()}
    assert list(reasons["logaddexp"].values()) == [2]
    assert set(reasons["exp"]) == {
        "MP102 MXNet has no dtype complex64",
        "MP102 the bytes are in the other machine's order",
        "MP103 an empty array: nothing for a device to do",
    }
    assert "streams" in next(iter(reasons["random.rand"]))
    every = [reason for found in reasons.values() for reason in found]
    assert all(re.match(r"MP10\d \S", reason) for reason in every)
    assert recorder.calls["exp", "mxnet"] == 1 and recorder.calls["exp", "numpy"] == 3


def test_no_reasons_where_no_device_was_wanted(recorder) -> None:
    routed.np.exp(X)
    with OnlyNumPyPolicy():
        routed.np.logaddexp(X, X)
    assert not recorder.reasons and recorder.proportion() == (0.0, 1.0)


@pytest.mark.mxnet
def test_copies(recorder) -> None:
    fresh = X + 0.25  # an array that was sent before may be there still
    with PreferMXNetPolicy():
        a = routed.np.exp(fresh)  # up
        b = routed.np.sin(a)  # stays
        assert recorder.copies["host to device"][:2] == [1, X.nbytes]
        assert "device to host" not in recorder.copies
        np.asarray(b)  # down
        assert recorder.copies["device to host"][:2] == [1, X.nbytes]
        b.asnumpy()  # is here already
        assert recorder.copies["device to host"][0] == 1
        routed.np.logaddexp(a, a)  # falls back: a comes down once
        routed.np.logaddexp(a, a)
        assert recorder.copies["device to host"][:2] == [2, 2 * X.nbytes]
    assert all(seconds >= 0 for _, _, seconds in recorder.copies.values())


@pytest.mark.mxnet
def test_views_cost_no_operation_and_no_copy(recorder) -> None:
    with PreferMXNetPolicy():
        a = routed.np.exp(X)
        before = dict(recorder.calls), dict(recorder.copies)
        a.T[1:], a.reshape(-1), a[None], routed.np.swapaxes(a, 0, 1), routed.np.split(a, 3, axis=1)
        routed.np.shape(a), a.ndim, len(a)
        assert (dict(recorder.calls), dict(recorder.copies)) == before


def test_two_recorders_at_a_time() -> None:
    first, second = profile.Recorder(), profile.Recorder()
    profile.start(first)
    routed.np.exp(X)
    profile.start(second)
    profile.start(second)  # the same again: counted once
    routed.np.exp(X)
    profile.stop(first)
    profile.stop(first)
    routed.np.exp(X)
    profile.stop(second)
    assert first.calls["exp", "numpy"] == 2 and second.calls["exp", "numpy"] == 2
    assert not entry.is_active()


def test_threads_lose_no_counts(recorder) -> None:
    def work() -> None:
        for _ in range(200):
            routed.np.exp(X)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert recorder.calls["exp", "numpy"] == 800


def test_an_exception_of_numpy_is_the_same_and_not_counted(recorder) -> None:
    with pytest.raises(ValueError, match="operands could not be broadcast together"):
        routed.np.add(np.ones(2), np.ones(3))
    assert not recorder.calls
