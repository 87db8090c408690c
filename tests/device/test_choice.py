"""Which back end drives which GPU, and what is said where none does: against a driver that answers as told."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from minpy import doctor_devices, doctor_text, mxnet_import
from minpy.errors import DeviceError, UsageError
from minpy.runtime import backends
from minpy.runtime.backends import choice, driver
from minpy.runtime.backends.choice import Installed
from minpy.runtime.backends.driver import Card, Driver
from minpy.runtime.context import gpu

GIB = 2**30
T4 = Card(0, "Tesla T4", (7, 5), 16 * GIB)
A100 = Card(0, "NVIDIA A100", (8, 0), 80 * GIB)
L4 = Card(0, "NVIDIA L4", (8, 9), 24 * GIB)
H200 = Card(0, "NVIDIA H200", (9, 0), 141 * GIB)
B200 = Card(0, "NVIDIA B200", (10, 0), 180 * GIB)
P100 = Card(0, "Tesla P100", (6, 0), 16 * GIB)
K80 = Card(0, "Tesla K80", (3, 7), 12 * GIB)

BOTH = Installed("mxnet-cu112", "cupy-cuda12x")
NONE = Installed()


@pytest.mark.parametrize(
    "card, version, found, wanted, backend, said",
    [
        (T4, (12, 4), BOTH, "auto", "mxnet", "has code for Tesla T4 (capability 7.5)"),
        (A100, (12, 4), BOTH, "auto", "mxnet", "mxnet-cu112"),
        (L4, (12, 4), BOTH, "auto", "mxnet", "mxnet-cu112"),
        (H200, (12, 4), BOTH, "auto", "cupy", "MXNet 1.9.1 has no code for NVIDIA H200"),
        (B200, (12, 8), BOTH, "auto", "cupy", "no code for NVIDIA B200"),
        (A100, (12, 4), BOTH, "cupy", "cupy", "drives NVIDIA A100"),
        (A100, (12, 4), Installed("", "cupy-cuda12x"), "auto", "cupy", "no mxnet-cu112 is installed"),
        (A100, (13, 0), NONE, "auto", "", "pip install 'minpy[cupy13]'"),
        (P100, (13, 0), NONE, "auto", "", "pip install 'minpy[cupy]'"),
        (H200, (12, 4), NONE, "auto", "", "pip install 'minpy[cupy]'"),
        (H200, (12, 4), Installed("mxnet-cu112", ""), "auto", "", "pip install 'minpy[cupy]'"),
        (H200, (12, 4), BOTH, "mxnet", "", "MXNet 1.9.1 has no code for NVIDIA H200"),
        (A100, (12, 4), Installed("", "cupy-cuda12x"), "mxnet", "", "pip install 'minpy[cu112]'"),
        (H200, (12, 4), Installed("", "cupy-cuda13x"), "auto", "", "needs a driver for CUDA 13.0"),
        (P100, (13, 0), Installed("", "cupy-cuda13x"), "auto", "", "has no code for Tesla P100"),
        (P100, (13, 0), Installed("", "cupy-cuda13x"), "auto", "", "pip install cupy-cuda12x"),
        (A100, (11, 4), NONE, "auto", "", "pip install cupy-cuda11x"),
        (H200, (10, 2), NONE, "auto", "", "update NVIDIA's driver"),
        (K80, (11, 4), NONE, "auto", "", "pip install cupy-cuda11x"),
        (Card(0, "Old", (2, 0), GIB), (11, 4), NONE, "auto", "", "too old"),
        (A100, (12, 4), Installed("", "cupy"), "auto", "cupy", "cupy drives NVIDIA A100"),
    ],
)
def test_choices(card, version, found, wanted, backend, said) -> None:
    made = choice.choose(card, Driver(version, (card,)), found, wanted)
    assert made.backend == backend
    assert said in f"{made.why}; {made.repair}"
    assert bool(made.repair) == (not backend)


class FakeCuda:
    """The driver's library, which sees `cards`."""

    def __init__(
        self, cards: tuple[Card, ...] = (), init: int = 0, version: int = 12040, counts: int = 0
    ) -> None:
        self.cards, self.init, self.version, self.counts = cards, init, version, counts

    def cuInit(self, flags: int) -> int:
        return self.init

    def cuDriverGetVersion(self, number: Any) -> int:
        number._obj.value = self.version
        return 0

    def cuDeviceGetCount(self, number: Any) -> int:
        number._obj.value = len(self.cards)
        return self.counts

    def cuDeviceGet(self, device: Any, index: int) -> int:
        device._obj.value = index
        return 0

    def cuDeviceGetName(self, name: Any, size: int, device: Any) -> int:
        name.value = self.cards[device.value].name.encode()
        return 0

    def cuDeviceGetAttribute(self, number: Any, attribute: int, device: Any) -> int:
        number._obj.value = self.cards[device.value].capability[attribute - 75]
        return 0

    def cuDeviceTotalMem_v2(self, size: Any, device: Any) -> int:
        size._obj.value = self.cards[device.value].memory
        return 0


@pytest.fixture
def cuda(monkeypatch):
    """Puts a library of the driver's in place: an object, or the error that loading it raises."""
    monkeypatch.delenv("MINPY_GPU_BACKEND", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(backends, "_devices", {})

    def place(library: Any, found: Installed = NONE) -> None:
        def load() -> Any:
            if isinstance(library, OSError):
                raise library
            return library

        monkeypatch.setattr(driver, "library", load)
        monkeypatch.setattr(choice, "installed", lambda: found)

    return place


def test_the_driver_is_read(cuda) -> None:
    cards = (H200, Card(1, "NVIDIA L4", (8, 9), 24 * GIB))
    cuda(FakeCuda(cards, version=13000))
    assert driver.query() == Driver((13, 0), cards)


@pytest.mark.parametrize(
    "library, environ, said, repair",
    [
        (
            OSError("libcuda.so.1: cannot open shared object file: No such file"),
            {},
            "no NVIDIA driver",
            "--gpus all",
        ),
        (OSError("libcuda.so.1: invalid ELF header"), {}, "does not load", "install"),
        (FakeCuda(init=100), {}, "it sees no GPU", "nvidia-smi"),
        (
            FakeCuda(init=100),
            {"CUDA_VISIBLE_DEVICES": ""},
            "CUDA_VISIBLE_DEVICES= hides",
            "unset CUDA_VISIBLE_DEVICES",
        ),
        (FakeCuda(init=803), {}, "different versions", "reboot"),
        (FakeCuda(init=34), {}, "only a stub", "install the driver"),
        (FakeCuda(init=802), {}, "starting up", "fabricmanager"),
        (FakeCuda(init=12345), {}, "error 12345", "nvidia-smi"),
        (FakeCuda(), {}, "sees no GPU", "nvidia-smi"),
        (FakeCuda((H200,), counts=3), {}, "does not count", "nvidia-smi"),
    ],
)
def test_no_gpu_at_run_time_and_for_the_doctor(cuda, monkeypatch, library, environ, said, repair) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    cuda(library, BOTH)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DeviceError) as caught:
        gpu(0).device()
    text = str(caught.value)
    assert said in text and repair in text and "\n" not in text and text.startswith("gpu(0)")
    report = doctor_devices.examine_gpus()
    assert said in report["reason"] and repair in report["repair"] and not report["devices"]
    assert any(said in value for _, value in doctor_text._gpus(report))


def test_an_index_out_of_range_names_what_there_is(cuda) -> None:
    cuda(FakeCuda((H200, H200)), BOTH)
    with pytest.raises(
        DeviceError, match=r"gpu\(2\) is not there: this machine has gpu\(0\), gpu\(1\)|gpu\(0\)"
    ):
        gpu(2).device()


def test_a_card_that_nothing_drives(cuda) -> None:
    cuda(FakeCuda((H200,)), Installed("mxnet-cu112", ""))
    with pytest.raises(DeviceError, match=r"gpu\(0\) cannot be used.*pip install 'minpy\[cupy\]'"):
        gpu(0).device()


def test_the_backend_that_is_asked_for(cuda, monkeypatch) -> None:
    cuda(FakeCuda((A100,)), BOTH)
    assert choice.backend_for(0) == "mxnet"
    monkeypatch.setenv("MINPY_GPU_BACKEND", "CuPy")
    assert choice.backend_for(0) == "cupy"
    monkeypatch.setenv("MINPY_GPU_BACKEND", "torch")
    with pytest.raises(UsageError, match="auto, mxnet or cupy"):
        choice.backend_for(0)
    assert doctor_devices.examine_gpus()["devices"][0]["backend"] == "mxnet"


def test_the_doctor_says_which_and_why(cuda) -> None:
    cuda(FakeCuda((H200, L4)), BOTH)
    report = doctor_devices.examine_gpus()
    assert [card["backend"] for card in report["devices"]] == ["cupy", "mxnet"]
    text = "\n".join(" ".join(row) for row in doctor_text._gpus(report))
    assert "gpu:0 NVIDIA H200, capability 9.0, 141 GiB" in text
    assert "driven by cupy: MXNet 1.9.1 has no code for NVIDIA H200 (capability 9.0)" in text
    assert "driven by mxnet: mxnet-cu112 has code for NVIDIA L4" in text


@pytest.mark.parametrize(
    "tried, state, said, repair",
    [
        ({"loads": True, "version": "13.6.0"}, "loads", "", ""),
        (
            {"loads": False, "text": "ImportError: libnvrtc.so.12: cannot open"},
            "broken",
            "library of CUDA's",
            "[ctk]",
        ),
        (
            {"loads": False, "text": "AttributeError: module numpy has no x"},
            "broken",
            "AttributeError",
            "--force-reinstall",
        ),
        ({"loads": False, "text": "Crash: signal 11"}, "broken", "signal 11", "--force-reinstall"),
    ],
)
def test_the_doctor_tries_cupy(cuda, monkeypatch, tried, state, said, repair) -> None:
    cuda(FakeCuda((H200,)), BOTH)
    asked: list[Any] = []
    monkeypatch.setattr(
        doctor_devices, "_in_a_child", lambda program, arguments=None: asked.append(arguments) or tried
    )
    found = doctor_devices.examine_cupy(doctor_devices.examine_gpus())
    assert asked == [["0"]]
    assert (found["state"], said in found["reason"], repair in found["repair"]) == (state, True, True)
    assert doctor_text._cupy(found)
    cuda(FakeCuda((H200,)), NONE)
    assert doctor_devices.examine_cupy(doctor_devices.examine_gpus())["state"] == "absent"


@pytest.mark.parametrize(
    "error, text, said, repair",
    [
        (
            "OSError",
            "libcuda.so.1: cannot open shared object file",
            "no NVIDIA driver",
            "pip install 'minpy[cpu]'",
        ),
        (
            "OSError",
            "libcudnn.so.8: cannot open shared object file",
            "a CUDA library is missing",
            "minpy[cu112]",
        ),
        ("OSError", "libquadmath.so.0: cannot open shared object file", "a system library", "libquadmath0"),
    ],
)
def test_what_the_doctor_makes_of_mxnets_errors(monkeypatch, error, text, said, repair) -> None:
    monkeypatch.setattr(doctor_devices, "_spec", lambda name: True)
    monkeypatch.setattr(doctor_devices, "version", lambda name: {"numpy": "1.26.4"}.get(name))
    why, what = doctor_devices.diagnose(error, text, ["mxnet-cu112"])
    assert said in why and repair in what


def test_the_wrong_cudnn(monkeypatch) -> None:
    monkeypatch.setattr(doctor_devices, "_spec", lambda name: True)
    monkeypatch.setattr(
        doctor_devices,
        "version",
        lambda name: {"numpy": "1.26.4", "nvidia-cudnn-cu11": "9.10.2.21"}.get(name),
    )
    why, what = doctor_devices.diagnose(
        "OSError", "libcudnn.so.8: cannot open shared object file", ["mxnet-cu112"]
    )
    assert "cuDNN 9.10.2.21 is installed" in why and what == "pip install 'nvidia-cudnn-cu11>=8.9,<9'"


def test_cudas_libraries_are_loaded_out_of_their_wheels(tmp_path, monkeypatch) -> None:
    order: list[str] = []
    wrong = "libcufft.so.10"

    def load(path: str) -> object:
        name = path.rpartition("/")[2]
        if name == wrong:
            raise OSError("damaged")
        order.append(name)
        return object()

    for package, name in mxnet_import.CUDA_LIBRARIES:
        if name != "libnccl.so.2":
            (tmp_path / "nvidia" / package / "lib").mkdir(parents=True, exist_ok=True)
            (tmp_path / "nvidia" / package / "lib" / name).write_bytes(b"")
    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("CUDA_MODULE_LOADING", "EAGER")
    found = mxnet_import.preload()
    assert (
        found
        == order
        == [name for _, name in mxnet_import.CUDA_LIBRARIES if name not in (wrong, "libnccl.so.2")]
    )
    import os

    assert os.environ["CUDA_MODULE_LOADING"] == "EAGER" and os.environ["MXNET_CUDNN_LIB_CHECKING"] == "0"


def test_only_the_build_for_gpus_preloads(monkeypatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(mxnet_import, "preload", lambda: asked.append(1))
    for is_for_gpus in (False, True):
        monkeypatch.setattr(mxnet_import, "_is_for_gpus", lambda yes=is_for_gpus: yes)
        with mxnet_import.prepared():
            pass
        assert len(asked) == is_for_gpus
