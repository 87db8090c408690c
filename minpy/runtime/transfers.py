"""Copies to devices: made once where that can be proved to be enough, counted, and given up when memory is short.

A plain array belongs to the program: any code, C included, may write into it at any time without a word. So a device
copy of one is kept together with the bytes that were sent, and serves again only if the array holds *exactly these
bytes* now. That is compared at each use, at the speed of memory; nothing else is believed: not the identity of the
array, not its flags, not that no statement of the program wrote to it. An address that comes back with other bytes is
sent again, one that does so all the time is not kept.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import weakref
from collections import OrderedDict, deque
from functools import lru_cache
from typing import Any

import numpy as np

from minpy.errors import DeviceFailure, DeviceMemoryError, MinPyError
from minpy.runtime import profile
from minpy.runtime.backends.base import Device

_SHARE, _MOST = 16, 1 << 30  # of the memory that this process may use, and bytes: what may be kept of it
_ENTRIES = 4096
_GIVE_UP, _TRY_AGAIN = 3, 32  # after so many changes at an address nothing is kept, for so many uses


@lru_cache(maxsize=1)
def _memcmp() -> Any:
    """The C library's ``memcmp``; None if there is none to be had."""
    try:
        found = ctypes.CDLL(None).memcmp
    except (OSError, AttributeError, TypeError):
        return None
    found.argtypes, found.restype = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t), ctypes.c_int
    return found


class _Kept:
    """What was sent to a device from an address, and where it is there."""

    __slots__ = ("changes", "handle", "owner", "sent", "skipped")

    def __init__(self) -> None:
        self.handle: Any = None
        self.sent: np.ndarray | None = None
        self.changes = self.skipped = 0
        self.owner: Any = None


class Uploads:
    """Device copies of plain arrays; those used longest ago go first.

    Parameters
    ----------
    most : int
        Bytes that may be kept, on the host as on the devices.
    """

    def __init__(self, most: int) -> None:
        self.most, self.bytes = most, 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple, _Kept] = OrderedDict()
        self._gone: deque[tuple] = deque()  # keys of arrays that are no more; a callback may come at any time

    def handle(self, device: Device, host: np.ndarray) -> Any:
        """A handle that holds what `host` holds now; it must not be written to."""
        compare = _memcmp()
        if compare is None or not host.flags.forc or not 0 < host.nbytes <= self.most // 4:
            return send(device, host)
        key = (id(device), host.__array_interface__["data"][0], host.strides, host.shape, host.dtype.str)
        with self._lock:
            while self._gone:
                self._forget(self._gone.popleft())
            kept = self._kept.get(key)
            if kept is None:
                kept = self._kept[key] = _Kept()
                kept.owner = _watch(host, key, self._gone)
            else:
                self._kept.move_to_end(key)
            if kept.sent is not None:
                if not compare(key[1], kept.sent.__array_interface__["data"][0], host.nbytes):
                    kept.changes = 0
                    return kept.handle
                kept.changes += 1
                self._drop(kept)
            elif kept.changes >= _GIVE_UP:
                kept.skipped += 1
                if kept.skipped == _TRY_AGAIN:
                    kept.skipped, kept.changes = 0, _GIVE_UP - 1
            keep = kept.changes < _GIVE_UP
        if not keep:
            return send(device, host)
        # What is sent is the copy: nobody writes into that meanwhile.
        sent = host.copy("K")
        handle = send(device, sent)
        with self._lock:
            if kept.sent is None and self._kept.get(key) is kept:
                kept.handle, kept.sent = handle, sent
                self.bytes += sent.nbytes
                while self._kept and (self.bytes > self.most or len(self._kept) > _ENTRIES):
                    self._forget(next(iter(self._kept)))
        return handle

    def knows(self, device: Device, host: np.ndarray) -> bool:
        """Whether a copy of `host` is likely to be there; its bytes are not compared."""
        host = host.T if _is_turned(device, host) else host
        key = (id(device), host.__array_interface__["data"][0], host.strides, host.shape, host.dtype.str)
        kept = self._kept.get(key)
        return kept is not None and kept.sent is not None

    def _drop(self, kept: _Kept) -> None:
        if kept.sent is not None:
            self.bytes -= kept.sent.nbytes
        kept.handle = kept.sent = None

    def _forget(self, key: tuple) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._drop(kept)

    def clear(self, device: Device | None = None) -> None:
        """Forget all copies (on one device)."""
        with self._lock:
            for key in [k for k in self._kept if device is None or k[0] == id(device)]:
                self._forget(key)


def _watch(host: np.ndarray, key: tuple, gone: deque) -> Any:
    owner = host
    while type(owner.base) is np.ndarray:
        owner = owner.base
    return weakref.ref(owner, lambda _: gone.append(key))


@lru_cache(maxsize=1)
def uploads() -> Uploads:
    """The copies of this process."""
    from minpy import memory

    return Uploads(min((memory.available() or 1 << 32) // _SHARE, _MOST))


# Storages whose contents are valid in both memories: the device's copy may go when there is no room.
double: weakref.WeakSet[Any] = weakref.WeakSet()


def upload(device: Device, host: np.ndarray) -> Any:
    """A handle on `device` that holds what the array `host` of the program's holds now; it must not be written to."""
    if host.size > 1 and 0 in host.strides:
        # Of a broadcast array only what is in memory is sent.
        once = [slice(0, 1) if n == 0 else slice(None) for n in host.strides]
        part = host[tuple(once)]
        if part.size < host.size:
            return device.broadcast(uploads().handle(device, part), host.shape)
    if _is_turned(device, host):
        # A matrix and its transpose are the same memory, and sent once.
        whole = host.T
        found = device.read(uploads().handle(device, whole), host, whole)
        if found is not None:
            return found
    return uploads().handle(device, host)


def _is_turned(device: Device, host: np.ndarray) -> bool:
    return device.strided and host.flags.f_contiguous and not host.flags.c_contiguous


def send(device: Device, host: np.ndarray) -> Any:
    """A new handle on `device` with the contents of `host`.

    Raises
    ------
    DeviceMemoryError
        If there is no room for it, and none can be made.
    """
    with profile.copying("host to device", host.nbytes):
        try:
            return device.upload(host)
        except DeviceMemoryError:
            release(device)
            return device.upload(host)


def fetch(device: Device, handle: Any, host: np.ndarray) -> None:
    """Copy the contents of a handle into `host`.

    Raises
    ------
    DeviceFailure
        If they are lost: the device failed, or a kernel that was started earlier did.
    """
    writeable = host.flags.writeable
    host.flags.writeable = True
    try:
        with profile.copying("device to host", host.nbytes):
            device.download(handle, host)
    except MinPyError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[-200:]
        raise DeviceFailure(
            f"an array of shape {host.shape} on {device.name} cannot be fetched: {type(error).__name__}: {text}. "
            "What was computed there is lost; run with --policy only_numpy or on another device"
        ) from error
    finally:
        host.flags.writeable = writeable
    placement = sys.modules.get("minpy.runtime.placement")
    if placement is not None:
        placement.fetched(device, host.nbytes)


def release(device: Device) -> None:
    """Free what the device holds that the host holds as well, and what the back end keeps for reuse."""
    uploads().clear(device)
    for storage in list(double):
        remote = storage.remote
        if remote is not None and remote.device is device and remote.host_ok:
            remote.handle = None
    double.clear()
    device.free()
