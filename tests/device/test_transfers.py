"""Copies to devices: as few as can be proved to be enough, and never a stale one."""

from __future__ import annotations

import ctypes
import gc
from typing import Any

import numpy as np
import pytest

from minpy import routed
from minpy.runtime import profile, transfers
from minpy.runtime.array import Array
from minpy.runtime.backends import device_for
from minpy.runtime.policy import PreferMXNetPolicy

pytestmark = pytest.mark.mxnet


@pytest.fixture(autouse=True)
def forgotten():
    """Nothing that another test sent is known."""
    transfers.uploads().clear()
    yield
    transfers.uploads().clear()


@pytest.fixture
def copies():
    """Counts copies: ``copies()`` gives ``(to the device, to the host)`` since it was asked last."""
    recorder = profile.start(profile.Recorder())

    def count() -> tuple[int, int]:
        found = tuple(recorder.copies.get(way, [0])[0] for way in ("host to device", "device to host"))
        recorder.copies.clear()
        return found  # type: ignore[return-value]

    with PreferMXNetPolicy():
        yield count
    profile.stop(recorder)


def plain(n: int = 1000) -> np.ndarray:
    return np.arange(n, dtype=np.float64)


def test_a_plain_array_that_stays_is_sent_once(copies) -> None:
    a = plain()
    for _ in range(5):
        routed.np.exp(a)
    assert copies() == (1, 0)
    batches = [a[i : i + 100] for i in range(0, 1000, 100)]
    for _ in range(3):
        for batch in batches:
            routed.np.exp(batch)
    assert copies() == (10, 0)


# Ways to write into an array that no statement of rewritten code shows.
def _through_a_view(a: np.ndarray) -> None:
    memoryview(a)[3] = -1.0


def _through_an_address(a: np.ndarray) -> None:
    ctypes.c_double.from_address(a.__array_interface__["data"][0] + 3 * 8).value = -1.0


def _through_bytes(a: np.ndarray) -> None:
    a.view(np.uint8)[24] ^= 255


def _locked_and_unlocked(a: np.ndarray) -> None:
    a.flags.writeable = True
    a[3] = -1.0
    a.flags.writeable = False


def _the_last_bit(a: np.ndarray) -> None:
    a.view(np.int64)[-1] ^= 1


@pytest.mark.parametrize(
    "change", [_through_a_view, _through_an_address, _through_bytes, _locked_and_unlocked, _the_last_bit]
)
def test_no_write_goes_unseen(copies, change) -> None:
    a = plain()
    routed.np.exp(a)
    change(a)
    copies()
    np.testing.assert_array_equal(routed.np.negative(a).asnumpy(), -a)
    assert copies() == (1, 1)


def test_memory_that_comes_back_as_another_array(copies) -> None:
    for i in range(20):
        a = np.full(1000, float(i))  # as a rule at the address of the last one
        np.testing.assert_array_equal(routed.np.negative(a).asnumpy(), -a)
        del a
        gc.collect()


def test_equal_bytes_of_another_dtype_or_shape(copies) -> None:
    a = plain(64)
    assert routed.np.negative(a).dtype == np.float64
    assert routed.np.negative(a.view(np.int64)).dtype == np.int64
    assert routed.np.negative(a.reshape(8, 8)).shape == (8, 8)
    np.testing.assert_array_equal(routed.np.negative(a.view(np.int64)).asnumpy(), -a.view(np.int64))


def test_what_changes_all_the_time_is_not_kept(copies) -> None:
    a = plain()
    for i in range(10):
        a[0] = i
        np.testing.assert_array_equal(routed.np.negative(a).asnumpy()[0], -i)
    (kept,) = [k for key, k in transfers.uploads()._kept.items() if key[3] == (1000,)]
    assert kept.sent is None and kept.changes >= 3
    for _ in range(40):
        routed.np.exp(a)
    copies()
    routed.np.exp(a)
    assert copies() == (0, 0)  # it has settled


def test_the_room_is_limited(copies) -> None:
    store = transfers.Uploads(most=4 * 8000)
    device = device_for("cpu", 0)
    arrays = [plain() + i for i in range(8)]
    for a in arrays:
        store.handle(device, a)
    assert store.bytes <= 4 * 8000 and len(store._kept) == 4
    assert (
        store.handle(device, np.zeros(10**4)) is not None and store.bytes <= 4 * 8000
    )  # too large to be kept
    store.clear(device)
    assert store.bytes == 0 and not store._kept


def test_copies_of_arrays_that_are_gone_are_dropped(copies) -> None:
    store = transfers.Uploads(most=1 << 20)
    device = device_for("cpu", 0)
    a = plain()
    store.handle(device, a[100:200])
    assert len(store._kept) == 1
    del a
    store.handle(device, plain(3))
    assert [key[3] for key in store._kept] == [(3,)]


def test_results_are_not_views_of_what_is_kept(copies) -> None:
    a = plain(16)
    np_ = routed.np
    for make in (np_.copy, np_.positive, lambda x: np_.array(x), lambda x: np_.reshape(np_.exp(x), (4, 4))):
        made: Any = make(a)
        made[...] = 7.0
        np.testing.assert_array_equal(np_.negative(a).asnumpy(), -plain(16))


def test_a_loop_that_updates_in_place_copies_its_data_once(copies) -> None:
    np_ = routed.np
    rng = np_.random.default_rng(1)
    x = plain(600).reshape(100, 6) / 600
    w = rng.normal(size=(6, 4))
    v = np_.zeros((6, 4))
    assert isinstance(w, Array) and isinstance(rng, np.random.Generator)
    for _ in range(20):
        h = np_.dot(x, w)
        h[h <= 0.1] = 0.0
        v *= 0.9
        v -= 0.1 * np_.dot(x.T, h)
        w += v
    assert copies() == (3, 0)  # x, x.T, w
    plain_rng = np.random.default_rng(1)
    want, u, data = plain_rng.normal(size=(6, 4)), np.zeros((6, 4)), plain(600).reshape(100, 6) / 600
    for _ in range(20):
        h = np.dot(data, want)
        h[h <= 0.1] = 0.0
        u *= 0.9
        u -= 0.1 * np.dot(data.T, h)
        want += u
    np.testing.assert_allclose(w.asnumpy(), want, rtol=1e-12)


def test_generators_draw_numpys_numbers_and_pass_for_numpys(copies) -> None:
    import pickle

    door = routed.np.random
    for made, plain_one in (
        (door.default_rng(3), np.random.default_rng(3)),
        (door.Generator(np.random.PCG64(3)), np.random.Generator(np.random.PCG64(3))),
        (door.RandomState(3), np.random.RandomState(3)),
    ):
        assert isinstance(made, type(plain_one)) and isinstance(
            plain_one, getattr(door, type(plain_one).__name__)
        )
        np.testing.assert_array_equal(made.normal(size=5).asnumpy(), plain_one.normal(size=5))
        assert made.uniform() == plain_one.uniform() and type(made.uniform()) is float
        plain_one.uniform()
        again = pickle.loads(pickle.dumps(made))
        assert type(again) is type(plain_one)
        np.testing.assert_array_equal(again.permutation(7), plain_one.permutation(7))
        assert repr(made).startswith(type(plain_one).__name__)
    given = np.random.default_rng(4)
    assert door.default_rng(given) is given


def test_without_a_device_generators_are_numpys() -> None:
    from minpy.runtime import entry

    entry.activate(tape=True)
    try:
        assert type(routed.np.random.default_rng(3)) is np.random.Generator
        assert type(routed.np.random.RandomState(3)) is np.random.RandomState
    finally:
        entry.deactivate(tape=True)


def test_storages_go_to_the_device_whole(copies) -> None:
    np_ = routed.np
    a = np_.linspace(0.0, 1.0, 1000)  # NumPy's, so it is on the host at first
    first, second = a[:800], a[800:]
    np_.exp(first), np_.exp(second), np_.exp(a)
    assert copies()[0] == 1


def test_writes_stay_where_the_array_is(copies) -> None:
    np_ = routed.np
    a = np_.exp(plain(24).reshape(4, 6) / 24)
    b = np_.exp(plain(6) / 6)
    copies()
    a[1] = b
    a[:, 2] = 3
    a[a > 2.0] = 1.5
    a[2, ::2] *= 2.0
    assert copies()[1] == 0
    want = np.exp(plain(24).reshape(4, 6) / 24)
    want[1] = np.exp(plain(6) / 6)
    want[:, 2] = 3
    want[want > 2.0] = 1.5
    want[2, ::2] *= 2.0
    np.testing.assert_allclose(a.asnumpy(), want, rtol=1e-12)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("value", [1.5, float("nan"), 2**40, -1, True])
@pytest.mark.parametrize("dtype", ["int32", "uint8", "float32", "bool"])
def test_numbers_that_do_not_fit_are_written_as_numpy_does(copies, dtype: str, value: Any) -> None:
    def written(np_: Any) -> Any:
        a = np_.array(np.ones((2, 3), dtype))
        a = np_.maximum(a, a) if dtype != "bool" else np_.logical_or(a, a)
        with np.errstate(all="ignore"):
            try:
                a[0] = value
                a[1, 1:] = value
            except Exception as error:
                return type(error), str(error)
        return np.array(a.tolist(), dtype)

    np.testing.assert_array_equal(written(routed.np), written(np))
