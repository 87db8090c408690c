"""Storages: buffers with a host copy and perhaps a device copy, of which at least one is valid.

The host copy is always *allocated*, so that NumPy itself computes shapes, strides, aliasing and index errors
of every view; while the device holds the only valid contents its pages are never touched, and untouched pages
cost address space only.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.runtime import profile
from minpy.runtime.backends.base import Device

# What `Array.scalar` says of a Python number (True is a NumPy scalar): NumPy 2 gives its operations the type of the
# other operand. NumPy 1 makes no difference between the two.
WEAK = 2
PYTHON_SCALAR: int = True if np.lib.NumpyVersion(np.__version__) < "2.0.0b1" else WEAK


class Storage:
    """A buffer that arrays are views of.

    Attributes
    ----------
    host : numpy.ndarray
        The host memory; its contents count only while `host_ok`.
    handle : object or None
        The copy on `device`; counts only while not None.
    device : Device or None
        Where the buffer lives; None for a storage on the host.
    host_ok : bool
        The host copy is current.
    shared : bool
        Code that is not rewritten holds the host memory and may write to it at any time: the host copy is the
        truth from then on, and device copies are made afresh for each use.
    tape : Tape or None
        The innermost tape on which this buffer is active (see `minpy.runtime.tape`).
    cotangent : numpy.ndarray, Array or None
        During a reverse sweep, the gradient with respect to the buffer.
    owned : bool
        The cotangent is a buffer of its own, laid out as the storage: it may be written in place.
    """

    __slots__ = ("__weakref__", "cotangent", "device", "handle", "host", "host_ok", "owned", "shared", "tape")

    def __init__(self, host: np.ndarray, device: Device | None = None, handle: Any = None) -> None:
        self.host = host
        self.device = device
        self.handle = handle
        self.host_ok = handle is None
        self.shared = False
        self.tape = None
        self.cotangent = None
        self.owned = False

    def to_host(self) -> np.ndarray:
        """The host memory, made current."""
        if not self.host_ok:
            writeable = self.host.flags.writeable
            self.host.flags.writeable = True
            with profile.copying("device to host", self.host.nbytes):
                self.device.download(self.handle, self.host)
            self.host.flags.writeable = writeable
            self.host_ok = True
        return self.host

    def to_device(self, device: Device) -> Any:
        """A current handle on `device`."""
        if self.handle is not None and self.device is device:
            return self.handle
        host = self.to_host()
        with profile.copying("host to device", host.nbytes):
            handle = device.upload(host)
        if not self.shared:
            self.device, self.handle = device, handle
        return handle

    def wrote_host(self) -> None:
        """The host memory was written: the device copy is stale."""
        self.handle = None

    def wrote_device(self) -> None:
        """The device copy was written: the host memory is stale."""
        self.host_ok = False

    def share(self) -> np.ndarray:
        """Hand the host memory to code that is not rewritten."""
        host = self.to_host()
        self.shared = True
        self.handle = None
        return host
