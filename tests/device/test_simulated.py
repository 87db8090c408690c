"""What the runtime makes of a device, on simulated GPUs: values, copies, writes, gradients, failures, several cards."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

import minpy
from minpy import routed
from minpy.errors import DeviceError, DeviceFailure, DeviceMemoryError, PolicyError, UsageError
from minpy.runtime import backends, entry
from minpy.runtime.array import Array
from minpy.runtime.backends import cupy_staging
from minpy.runtime.context import Context, cpu, current_context, gpu, set_context
from minpy.runtime.geometry import is_copied_as_c
from minpy.runtime.policy import AutoBlacklistPolicy, OnlyMXNetPolicy, OnlyNumPyPolicy, PreferMXNetPolicy

HERE = pathlib.Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"


@pytest.fixture
def card(machine):
    """The card of `gpu(0)`, which everything is sent to."""
    with gpu(0), PreferMXNetPolicy():
        yield machine.cards[0]


def x(*shape: int) -> np.ndarray:
    return np.linspace(0.1, 0.9, int(np.prod(shape))).reshape(shape)


# ----- values and copies ------------------------------------------------------------------------------------


def test_work_stays_on_the_card(card) -> None:
    np_ = routed.np
    a = np_.exp(x(50, 20))
    for _ in range(10):
        a = np_.tanh(a * 0.5 + np_.sqrt(a))
        a = np_.concatenate([a[:25], a[25:]])
        a = a.T.copy().T
    assert (card.uploads, card.downloads) == (1, 0)
    assert type(a) is Array and a.context == gpu(0)
    total = np_.sum(a)
    assert type(total) is np.float64 and (card.uploads, card.downloads) == (1, 1)
    want = np.exp(x(50, 20))
    for _ in range(10):
        want = np.tanh(want * 0.5 + np.sqrt(want))
    np.testing.assert_allclose(a.asnumpy(), want, rtol=1e-12)


def test_views_are_views_there(card) -> None:
    np_ = routed.np
    a = np_.exp(x(6, 8))
    want = np.exp(x(6, 8))
    for part in (
        lambda z: z[1:4, ::2], lambda z: z.T[2:5], lambda z: z[::-1, 3], lambda z: z.reshape(4, 12)[1],
        lambda z: z[2, 5:1:-2], lambda z: z[None, ..., 1:2],
    ):  # fmt: skip
        before = card.uploads
        np.testing.assert_allclose(np_.negative(part(a)).asnumpy(), -part(want), rtol=1e-13)
        part(a)[...] = 2.5
        part(want)[...] = 2.5
        part(a)[...] += np_.multiply(part(a), part(a))
        part(want)[...] += part(want) * part(want)
        assert card.uploads == before
    np.testing.assert_allclose(a.asnumpy(), want, rtol=1e-13)


@pytest.mark.parametrize(
    "index",
    [
        np.array([2, 0, 2]), [1, -1], np.arange(24).reshape(4, 6) % 3 == 0, np.array([True, False, True, False]),
        (np.array([0, 1]), np.array([-1, 2])), (slice(None), [5, 0]), (Ellipsis, np.array([1, 1])), (None, [0, 3]),
        (1, np.array([0, 5])), (np.array([[0], [3]]), np.array([1, 2])),
    ],
    ids=str,
)  # fmt: skip
def test_fancy_indices(card, index) -> None:
    np_ = routed.np
    a, want = np_.exp(x(4, 6)), np.exp(x(4, 6))
    np.testing.assert_allclose(a[index].asnumpy(), want[index], rtol=1e-13)
    a[index] = 0.25
    want[index] = 0.25
    values = x(*want[index].shape)
    a[index] = values
    want[index] = values
    np.testing.assert_allclose(a.asnumpy(), want, rtol=1e-13)


@pytest.mark.parametrize(
    "index", [np.array([4]), [-5], (slice(None), [6]), np.zeros((4, 5), bool), (0, 0, [0])], ids=str
)
def test_indices_out_of_bounds_are_numpys_errors(card, index) -> None:
    a, want = routed.np.exp(x(4, 6)), np.exp(x(4, 6))
    for use in (lambda z: z[index], lambda z: z.__setitem__(index, 1.0)):
        with pytest.raises(IndexError) as ours:
            use(a)
        with pytest.raises(IndexError) as numpys:
            use(want)
        assert str(ours.value) == str(numpys.value)
    np.testing.assert_allclose(a.asnumpy(), want, rtol=1e-13)


def test_an_index_on_the_card_is_checked_there(card) -> None:
    np_ = routed.np
    places = np_.add(np.arange(10_000) % 4, 0)
    a = np_.exp(x(4, 6))
    before = card.downloaded
    assert a[places].shape == (10_000, 6)
    assert card.downloaded - before == 16  # its least and its greatest element


def test_layouts_survive_the_way_there_and_back(card) -> None:
    for make in (np.asfortranarray, lambda z: z.T, lambda z: z[::2, ::-1], lambda z: z[:, 1:]):
        a = routed.np.array(make(x(6, 8)))
        np.testing.assert_array_equal(np.asarray(routed.np.negative(a)), -make(x(6, 8)))


def test_large_arrays_go_in_pieces(card, monkeypatch) -> None:
    monkeypatch.setattr(cupy_staging, "_PIECE", 8 * 1000)
    monkeypatch.setattr(cupy_staging, "_STAGED", 8 * 1000)
    device = gpu(0).device()
    for n in (999, 1000, 1001, 2000, 12_345):
        a = np.random.default_rng(n).random(n)
        back = np.empty_like(a)
        handle = device.upload(a)
        device.download(handle, back)
        np.testing.assert_array_equal(a, back)
    a = np.asfortranarray(np.random.default_rng(1).random((70, 90)))
    back = np.empty_like(a)
    device.download(device.upload(a), back)
    np.testing.assert_array_equal(a, back)


def test_dtypes_that_differ_from_numpys_are_not_taken(card, recorder, monkeypatch) -> None:
    device = gpu(0).device()
    plain = device.F.exp
    monkeypatch.setattr(device.F, "exp", lambda a: plain(a).astype(np.float32), raising=False)
    for _ in range(2):
        got = routed.np.exp(x(3, 4))
        assert got.dtype == np.float64
        np.testing.assert_array_equal(got.asnumpy(), np.exp(x(3, 4)))
    assert [reason[:5] for reason in recorder.reasons["exp"]] == ["MP107", "MP102"]


DTYPES = ["float16", "float32", "float64", "int8", "int64", "uint8", "bool", "complex64", ">f8"]


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_known_of_dtypes_is_numpys(card, dtype: str) -> None:
    a = np.ones((2, 3), dtype)
    others = [np.ones((3,), each) for each in DTYPES]
    others += [
        2.0,
        1e6,
        -1e300,
        float("nan"),
        3,
        -3,
        300,
        2**40,
        True,
        2j,
        np.float32(2),
        np.float64(2),
        np.int8(2),
    ]
    for other in others:
        for name in ("add", "multiply", "power", "divide", "maximum"):
            for _ in range(3):  # asked, put off, known
                try:
                    want = getattr(np, name)(a, other)
                except (TypeError, OverflowError, ValueError) as error:
                    with pytest.raises(type(error)):
                        getattr(routed.np, name)(a, other)
                    continue
                got = getattr(routed.np, name)(a, other)
                assert got.dtype == want.dtype, (name, other)
                np.testing.assert_array_equal(np.asarray(got), want)
    for shapes in ((0, 3), (2, 3, 1, 1), (4, 3)):
        try:
            want = a + np.ones(shapes, dtype)
        except ValueError as error:
            with pytest.raises(ValueError, match="broadcast") as caught:
                routed.np.add(a, np.ones(shapes, dtype))
            assert str(caught.value) == str(error)
        else:
            np.testing.assert_array_equal(np.asarray(routed.np.add(a, np.ones(shapes, dtype))), want)


# ----- gradients --------------------------------------------------------------------------------------------


def _mlp(p: Any, data: Any) -> Any:
    np_ = routed.np
    h = np_.maximum(np_.dot(data, p["w"]) + p["b"], 0.0)
    s = np_.dot(h, p["v"])
    s = s - np_.max(s, axis=1, keepdims=True)
    return -np_.mean(np_.sum(s * 0.25, axis=1) - np_.log(np_.sum(np_.exp(s), axis=1)))


def _stencil(u: Any) -> Any:
    np_ = routed.np
    a = np_.zeros((12, 12))
    a[...] = u
    for _ in range(3):
        a[1:-1, 1:-1] += 0.1 * (a[:-2, 1:-1] + a[2:, 1:-1] - 2 * a[1:-1, 1:-1])
        a[0] = a[-1] * 2
    a[a > 0.8] = 0.5
    return np_.sum(a * a)


def _picked(u: Any) -> Any:
    np_ = routed.np
    t = np_.take(u, np.array([0, 2, 2]), axis=0)
    return (
        np_.sum(np_.sort(t, axis=1) * np_.cumsum(t, axis=1)) + np_.sum(u[[1, 1, 3]] ** 3) + np_.prod(u[:, 1])
    )


@pytest.mark.parametrize("f, shape", [(_stencil, (12, 12)), (_picked, (5, 4))])
def test_gradients_are_those_of_the_host(machine, f, shape) -> None:
    want = minpy.grad(f)(x(*shape))
    with gpu(0), PreferMXNetPolicy():
        got = minpy.grad(f)(x(*shape))
        second = minpy.hessian_vector_product(f)(x(*shape), np.ones(shape))
    np.testing.assert_allclose(np.asarray(got), want, rtol=1e-11)
    with OnlyNumPyPolicy():
        want = minpy.hessian_vector_product(f)(x(*shape), np.ones(shape))
    np.testing.assert_allclose(np.asarray(second), want, rtol=1e-9, atol=1e-12)


def test_a_training_loop_copies_its_data_once(machine) -> None:
    def train(steps: int) -> dict[str, Any]:
        np_ = routed.np
        rng = np_.random.default_rng(0)
        p = {"w": rng.normal(size=(8, 16)), "b": np_.zeros(16), "v": rng.normal(size=(16, 4))}
        data = x(64, 8)
        for _ in range(steps):
            gradient = minpy.grad(_mlp)(p, data)
            for name in p:
                p[name] -= 0.1 * gradient[name]
        return p

    want = train(12)
    with gpu(0), PreferMXNetPolicy():
        train(1)
        card = machine.cards[0]
        before = card.uploaded, card.downloads
        got = train(12)
        after = card.uploaded, card.downloads
    data = 8 * (64 * 8 + 8 * 16 + 16 * 4)
    assert after[0] - before[0] == data + 12 * 8  # once, and with each step the seed of its sweep
    assert after[1] - before[1] <= 2 * 12  # the loss, and whether the largest scores are numbers
    for name in want:
        np.testing.assert_allclose(np.asarray(got[name]), want[name], rtol=1e-9)


def test_gradients_of_parts_stay_there(machine) -> None:
    def f(w: Any, u: Any) -> Any:
        np_, h = routed.np, 0.0
        for k in range(5):
            g = np_.dot(u[k], w)
            h = np_.tanh(g[:, :4]) * g[:, 4:8] + np_.exp(-g[:, 8:]) * h
        return np_.sum(h)

    w, u = x(3, 12), x(5, 7, 3)
    want = minpy.grad(f)(w, u)
    card = machine.cards[0]
    with gpu(0), PreferMXNetPolicy():
        minpy.grad(f)(w, u)
        before = card.uploads, card.downloads
        got = minpy.grad(f)(w, u)
        assert card.uploads - before[0] <= 2 and card.downloads == before[1]
        second = minpy.hessian_vector_product(lambda v: f(v, u))(w, np.ones_like(w))
    np.testing.assert_allclose(np.asarray(got), want, rtol=1e-11)
    with OnlyNumPyPolicy():
        want = minpy.hessian_vector_product(lambda v: f(v, u))(w, np.ones_like(w))
    np.testing.assert_allclose(np.asarray(second), want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name, most", [("train_digits.py", 1_500_000), ("grad_digits.py", 1_500_000)])
def test_the_examples_print_the_same_and_copy_little(tmp_path, name: str, most: int) -> None:
    pytest.importorskip("sklearn", reason="the examples' data")
    text = (EXAMPLES / name).read_text()
    short = text.replace("epochs=20", "epochs=2").replace("epochs=15", "epochs=2")
    program = tmp_path / name
    program.write_text(short)
    environ = os.environ | {
        "PYTHONPATH": str(HERE),
        "MINPY_CACHE_DIR": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    plain = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, env=environ)
    options = ["--context", "gpu", "--policy", "prefer_mxnet"]
    there = subprocess.run(
        [sys.executable, str(HERE / "run_simulated.py"), str(tmp_path / "report"), *options, str(program)],
        capture_output=True, text=True, env=environ,
    )  # fmt: skip
    assert there.returncode == 0, there.stderr
    assert there.stdout == plain.stdout or not plain.stdout
    report = json.loads((tmp_path / "report").read_text())
    assert report["kernels"] > 1000
    assert report["uploaded"] < most, report


def test_an_example_on_two_cards(tmp_path) -> None:
    pytest.importorskip("sklearn", reason="the examples' data")
    environ = os.environ | {"PYTHONPATH": str(HERE), "MINPY_CACHE_DIR": str(tmp_path / "cache")}
    there = subprocess.run(
        [sys.executable, str(HERE / "run_simulated.py"), str(tmp_path / "report"), "--policy", "prefer_mxnet",
         str(EXAMPLES / "mlp.py"), "--short", "--gpus", "2"],
        capture_output=True, text=True, env=environ,
    )  # fmt: skip
    assert there.returncode == 0, there.stderr
    found = re.search(r"test accuracy: ([\d.]+)%", there.stdout)
    assert found is not None and float(found.group(1)) > 80.0
    report = json.loads((tmp_path / "report").read_text())
    assert report["kernels"] > report["other_kernels"] > 1000


# ----- contexts, policies, several cards --------------------------------------------------------------------


def test_contexts(machine) -> None:
    with gpu(0), PreferMXNetPolicy():
        a = routed.np.exp(x(3))
        with gpu(1):
            b = routed.np.exp(x(3))
            c = a + b  # what is elsewhere comes over
            assert (b.context, c.context) == (gpu(1), gpu(1))
            with cpu(), OnlyNumPyPolicy():
                assert type(routed.np.exp(x(3))) is np.ndarray
        assert current_context() == gpu(0)
    assert not entry.is_active()
    np.testing.assert_allclose(np.asarray(c), 2 * np.exp(x(3)), rtol=1e-14)
    assert machine.cards[1].kernels >= 2


def test_writes_across_cards(machine) -> None:
    with PreferMXNetPolicy():
        with gpu(0):
            a = routed.np.exp(x(4, 3))
        with gpu(1):
            b = routed.np.exp(x(3))
            a[1] = b
            a[2] += b
    want = np.exp(x(4, 3))
    want[1] = np.exp(x(3))
    want[2] += np.exp(x(3))
    np.testing.assert_allclose(np.asarray(a), want, rtol=1e-14)


def test_an_index_out_of_range(machine) -> None:
    with pytest.raises(DeviceError, match=r"gpu\(2\).*sees 2 GPUs") as caught:
        gpu(2).device()
    assert "\n" not in str(caught.value)
    with pytest.raises(DeviceError):
        set_context(gpu(7))
    assert current_context() == cpu()


def test_threads_share_a_card(machine) -> None:
    wrong: list[Any] = []

    def work(i: int) -> None:
        try:
            with gpu(i % 2), PreferMXNetPolicy():
                a = routed.np.exp(x(40) + i)
                for _ in range(20):
                    a = routed.np.sqrt(a * a)
                np.testing.assert_allclose(np.asarray(a), np.exp(x(40) + i), rtol=1e-12)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


def test_policies(card) -> None:
    np_ = routed.np
    with OnlyMXNetPolicy():
        assert np_.exp(x(3)).context == gpu(0)
        with pytest.raises(PolicyError, match=r"linalg\.svd"):
            np_.linalg.svd(x(3, 3))
    with OnlyNumPyPolicy():
        assert type(np_.exp(x(3))) is np.ndarray
    tries: list[str] = []

    def refuse(name: str) -> None:
        if name == "cosh":
            tries.append(name)
            raise RuntimeError("kernel failed")

    card.before = refuse
    with AutoBlacklistPolicy(gen_rule=True):
        for _ in range(3):
            np.testing.assert_array_equal(np.asarray(np_.cosh(x(3))), np.cosh(x(3)))
    assert len(tries) == 1


def test_a_matrix_and_its_transpose_are_sent_once(machine) -> None:
    x, h = np.arange(600.0).reshape(100, 6), np.arange(400.0).reshape(100, 4)
    with gpu(0), PreferMXNetPolicy():
        for _ in range(3):
            far = routed.np.dot(x, x.T)
            slope = routed.np.dot(x.T, h)
        x[3] = 7.0  # what is sent again is sent as a whole
        changed = routed.np.dot(x.T, h)
    assert machine.cards[0].uploads == 3
    np.testing.assert_allclose(np.asarray(changed), x.T @ h, rtol=1e-12)
    x[3] = np.arange(600.0).reshape(100, 6)[3]
    np.testing.assert_allclose(np.asarray(far), x @ x.T, rtol=1e-12)
    np.testing.assert_allclose(np.asarray(slope), x.T @ h, rtol=1e-12)


def test_layouts_of_copies() -> None:
    a = np.arange(24.0).reshape(2, 3, 4)
    views = (
        a, a.T, a[:, 1], a[:, :, 1], a[::-1], a[:, ::-2], a.transpose(1, 0, 2), a[0, 0], a[:1].T, np.asfortranarray(a),
        np.broadcast_to(a[0], (5, 3, 4)), a[:, :1].transpose(0, 2, 1), a[:0], np.array(3.0),
    )  # fmt: skip
    for view in views:
        for order in "CFAK":
            said, is_so = is_copied_as_c(view, order), view.copy(order=order).flags.c_contiguous
            doubtful = 0 in view.strides or not view.size or order == "F"
            assert said == is_so or (is_so and doubtful), (view.shape, view.strides, order)


TAKEN = {
    "take": lambda np, a: np.take(a, 7), "method": lambda np, a: a.take(-7),
    "axis": lambda np, a: np.take(a, 7, axis=0),
    "last axis": lambda np, a: np.take(a, np.int32(-2), axis=-1), "item": lambda np, a: a.item(7),
    "items": lambda np, a: a.item(7, -3), "tuple": lambda np, a: a.item((7, 3)), "last": lambda np, a: a.item(-1),
    "beyond": lambda np, a: a.item(90_000), "beyond axis": lambda np, a: a.item(3, 300), "none": lambda np, a: a.item(),
    "no index": lambda np, a: a.item(1.5), "contains": lambda np, a: 14.0 in a, "contains not": lambda np, a: 15.0 in a,
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken_or_asked_for_comes_alone(machine, name: str) -> None:
    card, want = machine.cards[0], np.arange(90_000.0).reshape(300, 300) * 2.0

    def outcome(np: Any, a: Any) -> Any:
        try:
            return TAKEN[name](np, a)
        except (TypeError, ValueError, IndexError) as error:
            return repr(error)

    with gpu(0), PreferMXNetPolicy():
        a = routed.np.multiply(np.arange(90_000.0).reshape(300, 300), 2.0)
        got, expected = outcome(routed.np, a), outcome(np, want)
        assert getattr(got, "dtype", type(got)) == getattr(expected, "dtype", type(expected))
        assert np.array_equal(got.asnumpy() if type(got) is Array else got, expected)
        assert card.downloaded <= 2400
        if type(got) is Array:
            got[...] = 0.0  # it is a copy
            assert routed.np.take(a, 7) == 14.0
    with gpu(0):
        a[0, 0] = 1.0
        assert np.array_equal(np.asarray(outcome(routed.np, a)), expected)


def test_an_element_comes_alone(machine) -> None:
    """As long as that is less work than to fetch them all."""
    card, want = machine.cards[0], np.arange(90_000.0).reshape(300, 300) * 2.0
    with gpu(0), PreferMXNetPolicy():
        a = routed.np.multiply(np.arange(90_000.0).reshape(300, 300), 2.0)
        for k, index in enumerate([(3, 4), (-1, -300), (7, 0)]):
            assert a[index] == want[index] and type(a[index]) is np.float64
            assert card.downloaded == 16 * (k + 1)
        for index in [(300, 0), (0, -301)]:
            with pytest.raises(IndexError) as ours:
                a[index]
            with pytest.raises(IndexError) as numpys:
                want[index]
            assert str(ours.value) == str(numpys.value)
        before = card.downloaded
        assert [a[5, k] for k in range(300)] == want[5].tolist()
        assert card.downloaded - before == a.nbytes
        a[0, 0] = 5.0  # there; the host's copy is old again
        before, row = card.downloaded, np.array(want[3, ::-2])
        assert str(a[3, ::-2]) == str(row) and a[3, ::-2].tolist() == row.tolist()
        assert f"{a[3, ::-2]}" == f"{row}" and (a[3, ::-2].asnumpy() == row).all()
        assert card.downloaded - before == 4 * row.nbytes
        a[0, 0] = 5.0
        before = card.downloaded
        assert a[0, 0] == 5.0 and a[0][1] == want[0, 1]
        assert card.downloaded - before == 16
        card.poison = lambda name: name == "exp"
        b = routed.np.exp(a)
        with pytest.raises(DeviceFailure):
            b[3, 3]


# ----- failures ---------------------------------------------------------------------------------------------


def test_a_full_card(machine, recorder, monkeypatch) -> None:
    monkeypatch.setenv("MINPY_DEVICE_MEMORY", "4000")
    with gpu(0), PreferMXNetPolicy():
        np_ = routed.np
        a = np_.exp(x(100))  # operand and result
        kept = [np_.exp(x(100) + i) for i in range(10)]
        np.testing.assert_allclose(np.asarray(a), np.exp(x(100)), rtol=1e-14)
        for i, each in enumerate(kept):
            np.testing.assert_allclose(np.asarray(each), np.exp(x(100) + i), rtol=1e-14)
        device = gpu(0).device()
        assert device._pool.freed > 0
        assert any(reason.startswith("MP108") for reason in recorder.reasons["exp"])
        with pytest.raises(DeviceMemoryError) as caught:
            device.upload(np.zeros(1000))
        assert isinstance(caught.value, MemoryError) and caught.value.code == "MP022"
        # What the host holds as well makes room.
        big = np_.exp(x(120))
        np.testing.assert_allclose(np.asarray(big), np.exp(x(120)), rtol=1e-14)
        assert device.memory()["used"] <= 4000


def test_a_write_into_a_full_card(machine, monkeypatch) -> None:
    monkeypatch.setenv("MINPY_DEVICE_MEMORY", "1700")
    with gpu(0), PreferMXNetPolicy():
        a = routed.np.exp(x(100))
        a[:60] = x(60)
    want = np.exp(x(100))
    want[:60] = x(60)
    np.testing.assert_allclose(np.asarray(a), want, rtol=1e-14)


@pytest.mark.parametrize("text", ["much", "-1", "0", "5 apples"])
def test_a_limit_that_is_none(machine, monkeypatch, text: str) -> None:
    monkeypatch.setenv("MINPY_DEVICE_MEMORY", text)
    with pytest.raises(UsageError, match="MINPY_DEVICE_MEMORY"):
        gpu(0).device()


@pytest.mark.parametrize("text, size", [("50%", 1 << 29), ("2GiB", 2 << 30), ("3MB", 3_000_000), ("77", 77)])
def test_limits(machine, monkeypatch, text: str, size: int) -> None:
    monkeypatch.setenv("MINPY_DEVICE_MEMORY", text)
    assert gpu(0).device()._pool.limit == size


def test_a_kernel_that_fails_at_once_runs_on_the_host(card, recorder) -> None:
    def refuse(name: str) -> None:
        if name == "exp":
            raise RuntimeError("no kernel image is available")

    a = routed.np.sqrt(x(4))
    card.before = refuse
    np.testing.assert_array_equal(np.asarray(routed.np.exp(a)), np.exp(np.sqrt(x(4))))
    assert list(recorder.reasons["exp"]) == [
        "MP107 the device raised RuntimeError: no kernel image is available"
    ]
    with pytest.raises(RuntimeError, match="no kernel image"), OnlyMXNetPolicy():
        routed.np.exp(a)


def test_a_kernel_that_fails_later_never_gives_a_number(card, recorder) -> None:
    a = routed.np.sqrt(x(4))
    held = routed.np.sqrt(x(5))
    assert held.asnumpy().shape == (5,)  # the host holds it, too
    card.poison = lambda name: name == "exp"
    b = routed.np.exp(a)  # started, nothing known yet
    for _ in range(2):
        with pytest.raises(DeviceFailure, match=r"gpu\(0\).*cudaErrorIllegalAddress") as caught:
            b.asnumpy()
        assert caught.value.code == "MP023" and isinstance(caught.value, DeviceError)
    with pytest.raises(DeviceFailure):
        a.asnumpy()  # whatever it was, it is gone
    # What the host holds goes on there.
    np.testing.assert_allclose(np.asarray(routed.np.square(held)), x(5), rtol=1e-14)
    np.testing.assert_allclose(np.asarray(routed.np.exp(x(3))), np.exp(x(3)))
    assert any(reason.startswith("MP109") for reason in recorder.reasons["exp"])
    held[0] = 5.0
    assert held.asnumpy()[0] == 5.0


def test_a_card_that_fails_during_a_gradient(card) -> None:
    card.poison = lambda name: name == "tanh"
    with pytest.raises((DeviceFailure, minpy.errors.GradientError)):
        minpy.grad(lambda u: routed.np.sum(routed.np.tanh(u) ** 2))(x(4))
    assert not any(t for t in [minpy.runtime.record.current_tape()])


def test_device_arrays_become_nothing_by_accident(machine) -> None:
    with gpu(0).device()._here():
        far = machine.cupy.zeros((3,), dtype=np.float64)
        for use in (
            np.asarray,
            float,
            bool,
            list,
            len,
            lambda z: np.add(z, 1),
            lambda z: np.sum(z),
            iter,
            memoryview,
        ):
            with pytest.raises((TypeError, AttributeError)):
                use(far)
        with pytest.raises(TypeError):
            machine.cupy.add(far, np.zeros(3))
    with pytest.raises(AssertionError, match="outside"):
        machine.cupy.zeros((3,), dtype=np.float64)


def test_a_device_is_made_once(machine) -> None:
    assert gpu(0).device() is gpu(0).device() is backends.device_for("gpu", 0) is not gpu(1).device()
    assert str(gpu(0).device()) == "<CuPy gpu(0)>" and gpu(0).device().label == "cupy-gpu"
    assert Context("gpu", 1).device().memory()["total"] == 1 << 30


def test_a_forced_precision(machine) -> None:
    from minpy.runtime import precision

    precision.force("float32")
    try:
        with gpu(0), PreferMXNetPolicy():
            np_ = routed.np
            a = np_.exp(np_.array(x(30)))
            b = np_.zeros(30)
            b += a
            assert a.dtype == b.dtype == np.float32 and np_.dot(a, a).dtype == np.float32
            assert machine.cards[0].uploaded <= 30 * 4 * 2
            gradient = minpy.grad(lambda u: np_.sum(np_.tanh(u)))(a)
            assert gradient.dtype == np.float32
    finally:
        precision.force("program")
    np.testing.assert_allclose(np.asarray(a), np.exp(x(30)), rtol=1e-6)


def test_values_of_all_kinds_are_written_as_numpy_does(card) -> None:
    a, want = routed.np.exp(x(6, 6)), np.exp(x(6, 6))
    ints = np.arange(6)
    for index, value in (
        (0, [1.0] * 6), (1, np.float32(2)), (2, ints), (slice(3, 5), ints[:, None][:2]), ((5, 0), np.int64(3)),
        (np.array([0, 0, 1]), np.arange(18.0).reshape(3, 6)), ((slice(None), 1), True), (4, np.array(7.5)),
    ):  # fmt: skip
        a[index] = value
        want[index] = value
        np.testing.assert_array_equal(a.asnumpy(), want)
    for index, value in ((0, [1.0, 2.0]), (1, "text"), (np.array([0, 1]), np.ones((3, 6)))):
        with pytest.raises(ValueError) as numpys:
            want[index] = value
        with pytest.raises(ValueError) as ours:
            a[index] = value
        assert str(ours.value) == str(numpys.value)
    np.testing.assert_array_equal(a.asnumpy(), want)
