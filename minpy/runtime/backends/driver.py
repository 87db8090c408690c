"""The GPUs of this machine as NVIDIA's driver names them, without loading CUDA, MXNet or CuPy.

The driver is asked through ``ctypes``. No kernel is ever started to find something out: one that the card has no code
for leaves an error behind that later calls would report as theirs.
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass, field
from typing import Any

_MAJOR, _MINOR = 75, 76  # numbers of cuDeviceGetAttribute


@dataclass(frozen=True)
class Card:
    """One GPU.

    Attributes
    ----------
    index : int
        Its number, as in ``gpu(index)``.
    name : str
        What NVIDIA calls it.
    capability : tuple of int
        Which machine code it runs: ``(9, 0)``.
    memory : int
        Bytes.
    """

    index: int
    name: str
    capability: tuple[int, int]
    memory: int


@dataclass(frozen=True)
class Driver:
    """What the driver says.

    Attributes
    ----------
    version : tuple of int or None
        The newest CUDA that it runs; None without a driver.
    cards : tuple of Card
        The GPUs that this process may use.
    reason, repair : str
        Why there are none, and what to do; empty if there are.
    """

    version: tuple[int, int] | None = None
    cards: tuple[Card, ...] = field(default=())
    reason: str = ""
    repair: str = ""


# What cuInit says, for people.
_ERRORS = {
    3: "it has not started",
    34: "only a stub of it is installed",
    100: "it sees no GPU",
    101: "the GPU's number is wrong",
    802: "the GPUs are still starting up",
    803: "its kernel module and its library are of different versions",
    804: "the GPU does not support the compatibility mode that is in use",
    999: "an unknown error",
}
_REPAIRS = {
    34: "install the driver of the machine (the stub is for compiling only)",
    802: "wait for nvidia-fabricmanager, or start it",
    803: "reboot, or reload the kernel modules of the driver",
}


def library() -> Any:
    """The driver's library.

    Raises
    ------
    OSError
        If there is none.
    """
    return ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")


def query() -> Driver:
    """Ask the driver; never raises."""
    try:
        cuda = library()
    except OSError as error:
        text = " ".join(str(error).split())
        missing = "cannot open shared object file" in text or "Could not find module" in text
        return Driver(
            reason="no NVIDIA driver" if missing else f"the NVIDIA driver's library does not load ({text})",
            repair="install NVIDIA's driver (in a container: start it with --gpus all)",
        )
    status = cuda.cuInit(0)
    if status:
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        what = _ERRORS.get(status, "it does not start")
        repair = _REPAIRS.get(status, "look at what nvidia-smi says")
        if status == 100 and hidden is not None:
            what, repair = f"CUDA_VISIBLE_DEVICES={hidden} hides all GPUs", "unset CUDA_VISIBLE_DEVICES"
        return Driver(reason=f"the NVIDIA driver: {what} (cuInit: error {status})", repair=repair)
    number, device = ctypes.c_int(), ctypes.c_int()
    version = None
    if not cuda.cuDriverGetVersion(ctypes.byref(number)):
        version = number.value // 1000, number.value % 1000 // 10
    if cuda.cuDeviceGetCount(ctypes.byref(number)):
        return Driver(
            version, (), "the NVIDIA driver does not count the GPUs", "look at what nvidia-smi says"
        )
    cards = []
    for index in range(number.value):
        if cuda.cuDeviceGet(ctypes.byref(device), index):
            continue
        name, memory = ctypes.create_string_buffer(100), ctypes.c_size_t()
        major, minor = ctypes.c_int(), ctypes.c_int()
        cuda.cuDeviceGetName(name, 100, device)
        cuda.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device)
        cuda.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device)
        cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
        cards.append(
            Card(index, name.value.decode(errors="replace"), (major.value, minor.value), memory.value)
        )
    if not cards:
        return Driver(version, (), "the driver sees no GPU", "look at what nvidia-smi says")
    return Driver(version, tuple(cards))
