"""What several devices of one back end do together: the sum of what each holds, copies of what the first holds."""

from __future__ import annotations

from typing import Any, Protocol

from minpy.errors import DeviceError, UsageError
from minpy.runtime.backends.base import Device

# MXNet's names for where sums are made: on the host; on the devices; on the devices, by NCCL or not at all.
KINDS = ("local", "device", "nccl")


class Collective(Protocol):
    """Devices that exchange arrays.

    Attributes
    ----------
    way : str
        How, for reports.
    """

    way: str

    def reduce(self, arrays: list[list[Any]]) -> list[Any]:
        """The sum of each array over the devices, as handles of the first; operands are added in the devices' order.

        Parameters
        ----------
        arrays : list of list of handle
            For each array its handle on each device, all of one shape and dtype.
        """

    def broadcast(self, handles: list[Any]) -> list[list[Any]]:
        """Copies of what handles of the first device hold: for each other device, one of each."""


def choose(devices: list[Device], kind: str, store: Any = None) -> tuple[Collective | None, str | None]:
    """How these devices work together, and why not better; None if by way of the host.

    Parameters
    ----------
    devices : list of Device
        Different ones.
    kind : {'local', 'device', 'nccl'}
        Where sums are made.
    store : mxnet.kv.KVStore, optional
        Makes them, where MXNet drives the devices.

    Raises
    ------
    UsageError
        If different libraries drive the devices.
    DeviceError
        If NCCL was asked for and is not there.
    """
    drivers = {device.backend for device in devices}
    if len(drivers) > 1:
        found = ", ".join(f"{device.name} by {device.backend}" for device in devices)
        raise UsageError(
            f"devices that work together must be driven by one library, but these are: {found}. "
            "MINPY_GPU_BACKEND=cupy has CuPy drive all"
        )
    if drivers == {"cupy"}:
        from minpy.runtime.backends import cupy_collective

        return cupy_collective.choose(devices, kind)
    if drivers == {"mxnet"}:
        from minpy.runtime.backends.mxnet_collective import Store

        return Store(devices, kind, store), None
    if kind == "nccl":
        raise DeviceError(f"NCCL sums on NVIDIA's GPUs, not on {devices[0].name}")
    return None, f"{devices[0].backend} has no operation between devices"
