"""Back ends: where kernels run. NumPy is the host; MXNet and CuPy drive devices (see `base.Device`)."""

from __future__ import annotations

import threading
from typing import Any

_devices: dict[tuple[str, int], Any] = {}
_lock = threading.Lock()


def device_for(device_type: str, device_id: int) -> Any:
    """The device of a context; made once.

    Raises
    ------
    DeviceError
        If it is not there, or no back end can drive it.
    """
    key = (device_type, device_id)
    device = _devices.get(key)
    if device is None:
        with _lock:
            device = _devices.get(key)
            if device is None:
                device = _devices[key] = _made(device_type, device_id)
    return device


def _made(device_type: str, device_id: int) -> Any:
    if device_type == "gpu":
        from minpy.runtime.backends import choice

        if choice.backend_for(device_id) == "cupy":
            from minpy.runtime.backends.cupy import CuPyDevice

            return CuPyDevice(device_type, device_id)
    from minpy.runtime.backends.mxnet import MXNetDevice

    return MXNetDevice(device_type, device_id)
