"""Back ends: where kernels run. NumPy is the host; MXNet is the first device."""

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
                from minpy.runtime.backends.mxnet import MXNetDevice

                device = _devices[key] = MXNetDevice(device_type, device_id)
    return device
