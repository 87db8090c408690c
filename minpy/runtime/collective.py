"""Several devices, one piece of work: what each holds is added up, what the first holds is given to all.

Arrays that are not on the devices, because the policy left work on the host, are added there, in the same order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from minpy.errors import DeviceFailure, DeviceMemoryError
from minpy.runtime import device_calls, profile, transfers
from minpy.runtime.array import Array, host
from minpy.runtime.backends import collective
from minpy.runtime.context import Context
from minpy.runtime.policy import current_policy

KINDS = collective.KINDS


class Group:
    """Devices that work on one thing.

    Parameters
    ----------
    contexts : sequence of Context
        Different ones, of one type.
    kind : {'local', 'device', 'nccl'}
        Where sums are made: on the host; on the devices, by NCCL if it is there; by NCCL.
    store : mxnet.kv.KVStore, optional
        Makes them, where MXNet drives the devices.

    Raises
    ------
    DeviceError
        If a device is not there, or NCCL was asked for and is not.
    UsageError
        If different libraries drive the devices.
    """

    def __init__(self, contexts: Sequence[Context], kind: str = "device", store: Any = None) -> None:
        self.contexts, self.kind, self.store = tuple(contexts), kind, store
        self._found: tuple[list[Any], Any, str | None] | None = None
        if not self.contexts[0].is_host or kind == "nccl":
            self._devices()  # what is not there is said now

    def _devices(self) -> tuple[list[Any], Any, str | None]:
        if self._found is None:
            devices = [context.device() for context in self.contexts]
            self._found = (devices, *collective.choose(devices, self.kind, self.store))
        return self._found

    @property
    def way(self) -> str:
        """How sums are made of arrays on the devices."""
        _, together, _ = self._devices()
        return "the host" if together is None else together.way

    def check(self) -> None:
        """See whether all devices still work.

        Raises
        ------
        DeviceFailure
            If one has failed.
        """
        for device in self._found[0] if self._found is not None else ():
            if device.broken is not None:
                raise DeviceFailure(device.broken)

    def sum(self, parts: Sequence[Sequence[Any] | None]) -> list[Any]:
        """The sums of the arrays over the devices, each where the first device's is.

        Parameters
        ----------
        parts : sequence of sequence of array
            For each device the arrays it has, of the same shapes and dtypes everywhere; None for one that has none.
        """
        given = [part for part in parts if part is not None]
        totals: list[Any] = [None] * len(given[0])
        far = []
        if len(given) == len(self.contexts) > 1:
            far = [number for number in range(len(totals)) if self._are_there([p[number] for p in given])]
        if far:
            devices, together, _ = self._devices()
            if together is None:
                far = []
            else:
                handles = [
                    [
                        device_calls.handle_of(device, part[number])
                        for device, part in zip(devices, given, strict=True)
                    ]
                    for number in far
                ]
                found = self._run(
                    "sum_over_devices", lambda: together.reduce(handles), [given[0][n] for n in far]
                )
                for number, handle in zip(far, found, strict=True):
                    totals[number] = device_calls.adopt(devices[0], handle)
        for number, total in enumerate(totals):
            if total is None:
                totals[number] = self._host_sum([part[number] for part in given])
        return totals

    def spread(self, values: Sequence[Any]) -> list[list[Any]]:
        """The values for each device: themselves for the first, copies for the others where the first holds them."""
        spread = [list(values) for _ in self.contexts]
        far = [number for number, value in enumerate(values) if self._is_at(value, 0)]
        if len(spread) > 1 and far:
            devices, together, _ = self._devices()
            if together is not None:
                handles = [device_calls.handle_of(devices[0], values[number]) for number in far]
                copies = self._run(
                    "copy_to_devices", lambda: together.broadcast(handles), [values[n] for n in far]
                )
                for there, device, made in zip(spread[1:], devices[1:], copies, strict=True):
                    for number, handle in zip(far, made, strict=True):
                        there[number] = device_calls.adopt(device, handle)
        return spread

    def _is_at(self, value: Any, place: int) -> bool:
        if type(value) is not Array or not value.window.ndim or not value.window.size:
            return False
        storage = value.storage
        if storage.handle is None or storage.shared:
            return False
        return storage.device is self._devices()[0][place]

    def _are_there(self, values: list[Any]) -> bool:
        return all(self._is_at(value, place) for place, value in enumerate(values))

    def _host_sum(self, values: list[Any]) -> Any:
        recorders, reason = profile.recorders, None
        start = time.perf_counter() if recorders else 0.0
        total = host(values[0])
        for value in values[1:]:
            total = total + host(value)
        if recorders and len(values) > 1:
            context = self.contexts[0]
            if current_policy().wants_device(context.is_host):
                why = self._devices()[2] or (
                    "kvstore='local' asks for it"
                    if self.kind == "local"
                    else "not every device has a part of it"
                )
                reason = f"MP111 by way of the host: {why}"
            for recorder in recorders:
                recorder.operation("sum_over_devices", profile.NUMPY, time.perf_counter() - start, reason)
        return total

    def _run(self, name: str, work: Callable[[], Any], arrays: list[Any]) -> Any:
        """Do it; where there is no room, once more with all that can be freed."""
        devices, together, reason = self._devices()
        recorders = profile.recorders
        start = profile.timer(recorders, devices[0]) if recorders else 0.0
        try:
            result = work()
        except DeviceMemoryError:
            for device in devices:
                transfers.release(device)
            result = work()
        if recorders:
            seconds = profile.timer(recorders, devices[0]) - start
            nbytes = sum(array.nbytes for array in arrays) * (len(devices) - 1)
            for recorder in recorders:
                recorder.operation(name, devices[0].backend, seconds, None)
                why = f" (MP111: {reason})" if reason else ""
                recorder.copy(f"from device to device, by {together.way}{why}", nbytes, seconds)
        return result
