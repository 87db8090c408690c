"""Devices that MXNet drives: its parameter store sums, its own copies carry."""

from __future__ import annotations

from typing import Any

from minpy.errors import DeviceError
from minpy.runtime.backends.mxnet import MXNetDevice, load


class Store:
    """A KVStore of MXNet's in this process.

    Parameters
    ----------
    devices : list of MXNetDevice
    kind : str
        What store to make: ``local``, ``device`` or ``nccl``.
    store : mxnet.kv.KVStore, optional
        One that is there already.

    Raises
    ------
    DeviceError
        If MXNet was built without NCCL, which was asked for.
    """

    def __init__(self, devices: list[MXNetDevice], kind: str, store: Any = None) -> None:
        self.devices = devices
        if store is None:
            mx = load()
            try:
                store = mx.kv.create(kind)
            except mx.base.MXNetError as error:
                raise DeviceError(
                    f"MXNet has no store {kind!r} here: {str(error).strip().splitlines()[-1][-160:]}. "
                    "kvstore='device' sums without NCCL"
                ) from error
        self._store, self._known = store, set[str]()
        self.way = f"MXNet's KVStore {store.type!r}"

    def reduce(self, arrays: list[list[Any]]) -> list[Any]:
        """See `Collective.reduce`."""
        first = self.devices[0]
        totals = []
        try:
            for number, lazily in enumerate(arrays):
                handles = [
                    device.fuser.array(each) for device, each in zip(self.devices, lazily, strict=True)
                ]
                like = handles[0]
                # An array's place in the store is for its shape and dtype.
                key = f"minpy{id(self)}.{number}.{like.shape}.{first.dtype(like)}"
                total = first.F.empty(like.shape, ctx=first.context, dtype=like.dtype)
                if key not in self._known:
                    self._store.init(key, like)
                    self._known.add(key)
                self._store.push(key, handles, priority=-number)
                self._store.pull(key, out=total, priority=-number)
                totals.append(total)
        except Exception as error:
            raise first._told(error) from error
        return totals

    def broadcast(self, handles: list[Any]) -> list[list[Any]]:
        """See `Collective.broadcast`."""
        copies = []
        handles = [self.devices[0].fuser.array(handle) for handle in handles]
        for device in self.devices[1:]:
            try:
                copies.append([handle.copyto(device.context) for handle in handles])
            except Exception as error:
                raise device._told(error) from error
        return copies
