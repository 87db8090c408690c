"""Element-wise work that MXNet does as one CachedOp: the results of the separate operations, bit for bit."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minpy
from minpy import routed
from minpy.runtime import profile
from minpy.runtime.backends import device_for, mxnet_fused
from minpy.runtime.policy import PreferMXNetPolicy

pytestmark = pytest.mark.mxnet


@pytest.fixture
def device(monkeypatch) -> Iterator[Any]:
    """MXNet's CPU, on which work is put off, and every structure is made a CachedOp at once."""
    found = device_for("cpu", 0)
    monkeypatch.setattr(found, "fuses", True)
    monkeypatch.setattr(found, "fuser", mxnet_fused.Fuser(found.fuser.mxnet, found.fuser.kernels))
    monkeypatch.setattr(mxnet_fused, "_OFTEN", 1)
    with PreferMXNetPolicy():
        yield found
    found.fuser.settle()


def x(*shape: int, dtype: str = "float64") -> np.ndarray:
    return np.linspace(0.1, 0.9, int(np.prod(shape))).reshape(shape).astype(dtype)


def separately(device: Any, work: Any) -> np.ndarray:
    """What the operations give one by one."""
    device.fuses = False
    try:
        return np.asarray(work())
    finally:
        device.fuses = True


SPECIAL = np.array([0.0, -0.0, 1.5, -2.5, np.nan, np.inf, -np.inf, 0.3, 5e-324, 1e300])
OTHER = np.array([1.0, np.nan, -1.5, 2.0, 0.3, 2.0, -np.inf, 0.3, 3.0, 1e300])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", sorted(mxnet_fused.OPERATIONS))
def test_each_operation_is_the_separate_one(device, name: str, dtype: str) -> None:
    function: Any = getattr(routed.np, name)
    with np.errstate(all="ignore"):
        a, b = SPECIAL.astype(dtype), OTHER.astype(dtype)
        ways: list[Any] = [lambda: function(routed.np.negative(a)) * 1.0]
        if getattr(np, name).nin == 2:
            ways = [
                lambda: function(routed.np.negative(a), b) * 1.0,
                lambda: function(routed.np.negative(a), 0.7) * 1.0,
                lambda: function(2.5, routed.np.negative(a)) * 1.0,
                lambda: function(routed.np.negative(np.array([a, b])), b) * 1.0,
            ]
        for way in ways:
            want = separately(device, way)
            called = device.fuser.called
            got = way()
            assert type(got.storage.handle) is mxnet_fused.Lazy
            got = got.asnumpy()
            assert device.fuser.called == called + 1, device.fuser.why
            assert got.dtype == want.dtype == dtype
            np.testing.assert_array_equal(got.view(f"u{got.itemsize}"), want.view(f"u{got.itemsize}"))


def test_a_chain_is_one_call(device) -> None:
    np_ = routed.np
    a, b = np_.array(x(700)), np_.array(x(700)[::-1].copy())
    np_.negative(a).asnumpy(), np_.negative(b).asnumpy()
    before = device.fuser.called
    c = np_.tanh(a * b + a) - np_.exp(-b)
    assert device.fuser.called == before
    got = c.asnumpy()
    assert device.fuser.called == before + 1
    np.testing.assert_allclose(
        got, np.tanh(x(700) * x(700)[::-1] + x(700)) - np.exp(-x(700)[::-1]), atol=1e-15
    )


def test_results_are_memory_of_their_own(device) -> None:
    np_ = routed.np
    found = []
    for k in range(4):
        a = np_.negative(x(50) + k)
        found.append(a * a + a)
        found[-1].asnumpy()
    assert device.fuser.made == 1
    for k, each in enumerate(found):
        np.testing.assert_array_equal(np_.negative(each).asnumpy(), -((x(50) + k) ** 2 - (x(50) + k)))


def test_other_shapes_and_numbers_are_other_ones(device) -> None:
    for n, k in ((10, 2.0), (1000, 2.0), (10, 3.0), (10, 2.0)):
        a = routed.np.negative(-x(n))
        np.testing.assert_array_equal((a * k + 1.0).asnumpy(), x(n) * k + 1.0)
    assert device.fuser.made == 3


def test_what_is_held_is_computed_with_it(device) -> None:
    np_ = routed.np
    a = np_.negative(-x(50))
    b = a * 2.0
    c = np_.exp(b)
    d = c + b
    np.testing.assert_allclose(d.asnumpy(), np.exp(x(50) * 2) + x(50) * 2, rtol=1e-14)
    called = device.fuser.called
    np.testing.assert_allclose(c.asnumpy(), np.exp(x(50) * 2), rtol=1e-14)
    np.testing.assert_array_equal(b.asnumpy(), x(50) * 2)
    assert device.fuser.called == called


def test_writes_come_after_what_has_still_to_read(device) -> None:
    np_ = routed.np
    a = np_.negative(-x(6, 5))
    b = a * 2.0 + 1.0
    part = a[1] - a[2]
    a[1] = 7.0
    a[a > 0.85] = 0.0
    a += 1.0
    want = x(6, 5)
    np.testing.assert_array_equal(b.asnumpy(), want * 2.0 + 1.0)
    np.testing.assert_array_equal(part.asnumpy(), want[1] - want[2])
    want[1] = 7.0
    want[want > 0.85] = 0.0
    want += 1.0
    np.testing.assert_array_equal(a.asnumpy(), want)


def test_long_chains_are_cut(device) -> None:
    a, want = routed.np.negative(-x(30)), x(30)
    b = a
    for _ in range(100):
        b = b * 1.01 + a
        want = want * 1.01 + x(30)
    np.testing.assert_allclose(b.asnumpy(), want, rtol=1e-12)
    assert 5 <= device.fuser.called <= 16


def test_gradients(device) -> None:
    np_ = routed.np

    def f(u: Any) -> Any:
        v = np_.tanh(u * u + 1.0) / (1.0 + np_.exp(-u))
        return np_.sum(np_.maximum(v, 0.2) * np_.dot(v, np_.sqrt(v)))

    got = minpy.grad(f)(x(40))
    assert device.fuser.called > 0
    with minpy.OnlyNumPyPolicy():
        want = minpy.grad(f)(x(40))
    np.testing.assert_allclose(np.asarray(got), want, rtol=1e-11)


def test_what_comes_seldom_is_computed_one_by_one(device, monkeypatch) -> None:
    monkeypatch.setattr(mxnet_fused, "_OFTEN", 3)
    for k in range(5):
        a = routed.np.negative(-x(30))
        np.testing.assert_array_equal((a * 2.0 + a).asnumpy(), x(30) * 2 + x(30))
        assert device.fuser.made == (k >= 2)


def test_a_cached_op_that_fails_is_done_without(device, monkeypatch) -> None:
    def refuse(*args: Any) -> None:
        raise RuntimeError("no fusion here")

    monkeypatch.setattr(device.fuser, "_make", refuse)
    for _ in range(2):
        a = routed.np.negative(-x(30))
        np.testing.assert_array_equal((a * 2.0 + a).asnumpy(), x(30) * 2 + x(30))
    assert device.fuser.made == 0 and "no fusion here" in device.fuser.why


def test_memory_is_given_back(device) -> None:
    a = routed.np.negative(-x(30))
    (a * 2.0 + a).asnumpy()
    assert device.fuser._cached
    b = a * 3.0 + a
    device.fuser.free()
    assert not device.fuser._cached
    np.testing.assert_array_equal(b.asnumpy(), x(30) * 3 + x(30))


INFINITE = {
    "isinf": lambda np_, x: np_.isinf(x),
    "isfinite": lambda np_, x: np_.isfinite(x),
    "isnan": lambda np_, x: np_.isnan(x),
    "maximum": lambda np_, x: np_.maximum(x, -np.inf),
    "greater": lambda np_, x: np_.greater(x, -np.inf),
    "a chain": lambda np_, x: np_.minimum(x * 2.0, np.inf) + 1.0,
    "full": lambda np_, x: np_.full((2, 3), np.inf),
}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", INFINITE)
def test_infinities_after_an_error_of_the_c_library(name: str, dtype: str) -> None:
    """MXNet took them for numbers out of range as soon as any code had met such a number (MP107)."""
    x = np.array([0.0, np.inf, -np.inf, np.nan, 1.5, -2.0], dtype)
    library = ctypes.CDLL(None)
    library.strtod.restype, library.strtod.argtypes = ctypes.c_double, (ctypes.c_char_p, ctypes.c_void_p)
    recorder = profile.start(profile.Recorder())
    try:
        with PreferMXNetPolicy(), np.errstate(all="ignore"):
            library.strtod(b"1e-999", None)
            found = np.asarray(INFINITE[name](routed.np, x))
    finally:
        profile.stop(recorder)
    np.testing.assert_array_equal(found, INFINITE[name](np, x))
    assert not [r for reasons in recorder.reasons.values() for r in reasons if r.startswith("MP107")]
