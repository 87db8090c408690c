"""GPUs that CuPy drives: NCCL sums and spreads, or copies from card to card do.

NCCL's kernels wait for each other on the cards. One on a card that has failed never comes, and the others would wait
for ever; so the work on all cards is waited for before, where a failure is met and told.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

from minpy.errors import DeviceError, DeviceFailure
from minpy.runtime.backends.cupy import CuPyDevice, load

# What NCCL can add, by NCCL's names for dtypes.
_KINDS = {
    "float16": "NCCL_FLOAT16",
    "float32": "NCCL_FLOAT32",
    "float64": "NCCL_FLOAT64",
    "int32": "NCCL_INT32",
    "int64": "NCCL_INT64",
}


def choose(devices: list[CuPyDevice], kind: str) -> tuple[Any, str | None]:
    """How these cards work together, and why not better; None if by way of the host, as was asked for.

    Raises
    ------
    DeviceError
        If NCCL was asked for and does not work here.
    """
    if kind == "local":
        return None, None
    nccl, reason = _nccl()
    if nccl is not None:
        try:
            return Nccl(devices, nccl), None
        except nccl.NcclError as error:
            reason = f"NCCL does not start: {' '.join(str(error).split())[:160]}"
    if kind == "nccl":
        raise DeviceError(f"{reason}. kvstore='device' sums by copies from card to card then")
    return Peers(devices), reason


def _nccl() -> tuple[Any, str]:
    """CuPy's module for NCCL, or None and why."""
    cuda = load().cuda
    found = getattr(cuda, "nccl", None)
    if found is None:
        try:
            found = importlib.import_module("cupy.cuda.nccl")
        except ImportError:
            found = None
    if found is None or not getattr(found, "available", False):
        return None, "CuPy finds no NCCL; pip install nvidia-nccl-cu12 (or -cu13, as CuPy's CUDA) brings it"
    return found, ""


class _Cards:
    """What both ways have in common."""

    def __init__(self, devices: list[CuPyDevice]) -> None:
        self.devices, self.cupy = devices, load()

    def _ready(self, device: CuPyDevice, handle: Any) -> Any:
        """The array of a handle, its computation started, in C order."""
        with device._here():
            return self.cupy.ascontiguousarray(device.fuser.array(handle))

    def _started(self, arrays: list[list[Any]]) -> list[list[Any]]:
        """All arrays of all cards; all work is under way everywhere before anything is waited for."""
        each = [
            [self._ready(device, handles[number]) for handles in arrays]
            for number, device in enumerate(self.devices)
        ]
        for device in self.devices:
            if device.broken is not None:
                raise DeviceFailure(device.broken)
        return [list(handles) for handles in zip(*each, strict=True)]


class Nccl(_Cards):
    """NCCL, one communicator a card.

    Parameters
    ----------
    devices : list of CuPyDevice
    nccl : module
        ``cupy.cuda.nccl``.
    """

    way = "NCCL"

    def __init__(self, devices: list[CuPyDevice], nccl: Any) -> None:
        super().__init__(devices)
        self._nccl = nccl
        self._comms = nccl.NcclCommunicator.initAll([device.device_id for device in devices])
        self._kinds = {name: getattr(nccl, kind) for name, kind in _KINDS.items()}
        self._peers = Peers(devices)  # for dtypes that NCCL does not know
        self._failed: str | None = None

    def reduce(self, arrays: list[list[Any]]) -> list[Any]:
        """See `Collective.reduce`."""
        arrays, first = self._started(arrays), self.devices[0]
        self._wait()
        totals = []
        with first._here():
            for handles in arrays:
                known = handles[0].dtype.name in self._kinds
                totals.append(self.cupy.empty(handles[0].shape, handles[0].dtype) if known else None)
        with self._grouped():
            for handles, total in zip(arrays, totals, strict=True):
                if total is None:
                    continue
                for comm, device, handle in zip(self._comms, self.devices, handles, strict=True):
                    # Only the first card receives; NCCL asks the others for a place, too.
                    to = total if device is first else handle
                    comm.reduce(
                        handle.data.ptr, to.data.ptr, handle.size, self._kinds[handle.dtype.name],
                        self._nccl.NCCL_SUM, 0, device._stream.ptr,
                    )  # fmt: skip
        rest = iter(self._peers.reduce([h for h, total in zip(arrays, totals, strict=True) if total is None]))
        return [next(rest) if total is None else total for total in totals]

    def broadcast(self, handles: list[Any]) -> list[list[Any]]:
        """See `Collective.broadcast`; bytes are bytes, so any dtype will do."""
        first = self.devices[0]
        handles = [self._ready(first, handle) for handle in handles]
        self._wait()
        copies = []
        for device in self.devices[1:]:
            with device._here():
                copies.append([self.cupy.empty(handle.shape, handle.dtype) for handle in handles])
        with self._grouped():
            for number, handle in enumerate(handles):
                targets = [handle, *(made[number] for made in copies)]
                for comm, device, target in zip(self._comms, self.devices, targets, strict=True):
                    for start in range(0, handle.nbytes, _MOST):
                        place = target.data.ptr + start  # in place: the first card's is what is sent
                        count = min(_MOST, handle.nbytes - start)
                        comm.broadcast(place, place, count, self._nccl.NCCL_UINT8, 0, device._stream.ptr)
        return copies

    def _wait(self) -> None:
        if self._failed is not None:
            raise DeviceFailure(self._failed)
        for device in self.devices:
            if device.broken is not None:
                raise DeviceFailure(device.broken)
            device.synchronize()

    @contextlib.contextmanager
    def _grouped(self) -> Iterator[None]:
        """NCCL takes calls for several cards of one process only as a group."""
        try:
            self._nccl.groupStart()
            try:
                yield
            finally:
                self._nccl.groupEnd()
        except self._nccl.NcclError as error:
            names = ", ".join(device.name for device in self.devices)
            self._failed = f"NCCL failed between {names}: {' '.join(str(error).split())[:160]}"
            for comm in self._comms:
                comm.abort()
            raise DeviceFailure(self._failed) from error


_MOST = 1 << 30  # bytes in one broadcast: CuPy's count is a C int


class Peers(_Cards):
    """Copies from card to card, each after what makes its source; the first card adds them."""

    way = "copies between the cards"

    def reduce(self, arrays: list[list[Any]]) -> list[Any]:
        """See `Collective.reduce`."""
        first, *others = self.devices
        totals = []
        for total, *rest in self._started(arrays):
            for device, handle in zip(others, rest, strict=True):
                part = self._copied(device, handle, first)
                with first._here():
                    total = self.cupy.add(total, part)
            totals.append(total)
        return totals

    def broadcast(self, handles: list[Any]) -> list[list[Any]]:
        """See `Collective.broadcast`."""
        first = self.devices[0]
        handles = [self._ready(first, handle) for handle in handles]
        return [[self._copied(first, handle, device) for handle in handles] for device in self.devices[1:]]

    def _copied(self, source: CuPyDevice, handle: Any, target: CuPyDevice) -> Any:
        with source._here():
            made = source._stream.record()
        with target._here():
            copy = self.cupy.empty(handle.shape, handle.dtype)
            target._stream.wait_event(made)
            copy.data.copy_from_device_async(handle.data, handle.nbytes, target._stream)
            done = target._stream.record()
        with source._here():
            source._stream.wait_event(done)  # its memory may be used again only then
        return copy
