"""Contexts: the device that work may be placed on."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest

import minpy
from minpy import routed
from minpy.errors import DeviceError, UsageError
from minpy.runtime import backends, entry
from minpy.runtime.array import Array
from minpy.runtime.context import Context, cpu, current_context, gpu, set_context
from minpy.runtime.policy import PreferMXNetPolicy


@pytest.fixture(autouse=True)
def restored():
    """Every test ends on the host with nothing active."""
    yield
    set_context(cpu())
    assert not entry.is_active()


@pytest.fixture
def one_gpu(monkeypatch) -> list[tuple[str, int]]:
    """A machine with ``gpu(0)`` (a stand-in that is never asked to compute) and no other."""
    asked: list[tuple[str, int]] = []

    def device_for(device_type: str, device_id: int):
        asked.append((device_type, device_id))
        if device_id:
            raise DeviceError(f"gpu({device_id}) is not there")
        return object()

    monkeypatch.setattr(backends, "device_for", device_for)
    return asked


def test_the_default_is_the_host() -> None:
    assert current_context() == cpu() == cpu(0) == Context("cpu") == Context(cpu())
    assert str(current_context()) == repr(current_context()) == "cpu(0)"
    assert current_context().is_host and current_context().device_typeid == 1


def test_equality_and_hash() -> None:
    assert gpu(1) == gpu(1) != gpu(0) != cpu()
    assert len({cpu(), cpu(0), gpu(), gpu(0), gpu(1)}) == 3
    assert cpu() != "cpu(0)"
    assert pickle.loads(pickle.dumps(gpu(2))) == gpu(2)
    assert Context(gpu(3)) == gpu(3)
    assert Context.devtype2str[2] == "gpu" and Context.devstr2type["cpu_pinned"] == 3


@pytest.mark.parametrize("wrong", [("tpu", 0), ("", 0), ("gpu", -1), ("gpu", "0"), ("gpu", 1.5)])
def test_wrong_contexts(wrong) -> None:
    with pytest.raises(UsageError):
        Context(*wrong)


@pytest.mark.parametrize("wrong", ["gpu(0)", None, 0])
def test_set_context_wants_a_context(wrong) -> None:
    with pytest.raises(UsageError, match="cpu"):
        set_context(wrong)
    assert current_context() == cpu()


def test_host_contexts_stay_idle() -> None:
    with cpu(0):
        assert not entry.is_active() and routed.np is np
        with Context("cpu_pinned"):
            assert str(current_context()) == "cpu_pinned(0)" and routed.np is np
        assert current_context() == cpu()


def test_a_device_context_activates_and_ends(one_gpu) -> None:
    with gpu(0) as entered:
        assert entered == gpu(0) == current_context() and entry.is_active()
        with cpu():
            assert current_context() == cpu() and entry.is_active()
        assert current_context() == gpu(0)
    assert current_context() == cpu() and not entry.is_active()
    assert one_gpu == [("gpu", 0)]
    with pytest.raises(KeyError), gpu(0):
        raise KeyError
    assert current_context() == cpu() and not entry.is_active()


def test_the_same_context_object_twice(one_gpu) -> None:
    g = gpu(0)
    with g, g:
        assert current_context() is g
    assert current_context() == cpu() and not entry.is_active()


def test_set_context(one_gpu) -> None:
    set_context(gpu(0))
    assert current_context() == gpu(0) and entry.is_active()
    with cpu():
        assert current_context() == cpu()
    set_context(gpu(0))
    set_context(cpu())
    assert current_context() == cpu() and not entry.is_active()


def test_a_gpu_that_is_not_there_changes_nothing(one_gpu) -> None:
    with pytest.raises(DeviceError, match=r"gpu\(1\)"):
        set_context(gpu(1))
    assert current_context() == cpu() and not entry.is_active()
    with pytest.raises(DeviceError), gpu(1):
        raise AssertionError("not reached")
    assert current_context() == cpu() and not entry.is_active()


def test_set_context_is_for_all_threads_and_with_for_one(one_gpu) -> None:
    seen: list[Context] = []

    def look() -> None:
        seen.append(current_context())

    with gpu(0):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join(20)
    set_context(gpu(0))
    thread = threading.Thread(target=look)
    thread.start()
    thread.join(20)
    assert seen == [cpu(), gpu(0)]


def test_names_at_the_root_and_of_the_original() -> None:
    from minpy import context

    assert minpy.cpu is context.cpu is cpu and minpy.Context is Context
    assert minpy.gpu is gpu and context.current_context is current_context


@pytest.mark.mxnet
def test_arrays_know_where_they_are() -> None:
    with PreferMXNetPolicy():
        a = routed.np.ones((2, 2)) * 2
    assert type(a) is Array and a.context == cpu()
    assert str(cpu().as_mxnet_context()) == "cpu(0)"
    assert cpu().device() is cpu().device()


@pytest.mark.mxnet
def test_a_missing_gpu_is_one_clear_line() -> None:
    mx = pytest.importorskip("mxnet", reason="the back end under test")
    count = mx.context.num_gpus()
    with pytest.raises(DeviceError, match="minpy doctor") as caught:
        gpu(count).device()
    assert "\n" not in str(caught.value)
