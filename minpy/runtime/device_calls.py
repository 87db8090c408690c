"""What a call has to do with devices: whether one runs it, handles of operands, and the arrays that it makes."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import numpy as np

from minpy.errors import DeviceFailure, DeviceMemoryError
from minpy.runtime import entry, precision, profile, transfers
from minpy.runtime.context import current_context
from minpy.runtime.geometry import covers
from minpy.runtime.policy import current_policy
from minpy.runtime.primitives.table import Primitive, Scalar, by_name
from minpy.runtime.storage import WEAK, Storage

NOT_RUN = object()

# Whether a device's 0-d results stay there for the time being: who asks for a number waits for the device.
keeps_scalars: ContextVar[bool] = ContextVar("minpy_keeps_scalars", default=False)


def wanted_device(policy: Any = None) -> Any:
    """The device that work may go to here, under the policy that is in force; None if all stays on the host."""
    if not entry.others:
        return None
    context = current_context()
    return context.device() if (policy or current_policy()).wants_device(context.is_host) else None


def refusal(policy: Any, device: Any, primitive: Primitive, args: tuple, kwargs: dict) -> str | None:
    """Why the device does not run this call under this policy; None if it does."""
    if device.broken is not None:
        return f"MP109 {device.broken}"
    kernel = device.kernel(primitive)
    reason: str | None
    if type(kernel) is str:
        reason = f"MP101 {kernel}"
    else:
        reason = device.unsupported(primitive, args, kwargs)
    if reason is not None:
        if not reason.startswith("MP103"):  # a number or an empty array is no work that any device could do
            policy.unsupported(primitive, reason)
        return reason
    return policy.refuse(primitive, args, kwargs)


def attempt(
    policy: Any, device: Any, primitive: Primitive, args: tuple, kwargs: dict
) -> tuple[Any, str | None]:
    """What the device makes of a call, or NOT_RUN and the reason why it does not run it."""
    if not profile.recorders and policy.is_left(device, primitive, args, kwargs):
        return NOT_RUN, None  # nobody asks why
    for arg in args:
        if type(arg) is Array and arg.scalar:
            args = _without_scalars(primitive, args)
            break
    reason = refusal(policy, device, primitive, args, kwargs)
    if reason is not None:
        return NOT_RUN, reason
    try:
        result = _run(device, primitive, args, kwargs)
    except DeviceFailure as error:
        # What it held is lost; what the host still has may go on.
        return NOT_RUN, f"MP109 {str(error).rpartition(' [')[0]}"
    except Exception as error:
        reason = policy.failed(primitive, args, kwargs, error)
        if reason is None:
            raise
        return NOT_RUN, reason
    if precision.forced is not None and primitive.creates:
        result = precision.narrow(result)
    return result, None


def _without_scalars(primitive: Primitive, args: tuple) -> tuple:
    """The operands as kernels take them: scalars on the tape are numbers to Python, and may live on the device."""
    dtypes = [a.dtype for a in args if isinstance(a, np.ndarray) and a.ndim]
    stays = bool(dtypes) and (primitive.elementwise or primitive.name == "where")
    dtype = np.result_type(*dtypes) if stays else None

    def one(arg: Any) -> Any:
        if type(arg) is not Array or not arg.scalar:
            return arg
        storage = arg.storage
        if stays and arg.window.dtype == dtype and storage.handle is not None and not storage.host_ok:
            return Array(arg.window.reshape(1), storage)  # of its type among arrays, one element is as good
        value = arg.contents
        return value.item() if arg.scalar is WEAK else value[()]

    return tuple(map(one, args))


def _run(device: Any, primitive: Primitive, args: tuple, kwargs: dict) -> Any:
    try:
        result = device.run(primitive, args, kwargs, handle_of)
    except DeviceMemoryError:
        transfers.release(device)
        result = device.run(primitive, args, kwargs, handle_of)
    return adopt(device, result)


def made_on(device: Any, name: str, *args: Any) -> Any:
    """What the primitive `name` makes out of nothing, on a device; None if that does not make it."""
    primitive = by_name[name]
    if device.broken is not None or type(device.kernel(primitive)) is str:
        return None
    if device.unsupported(primitive, args, {}) is not None:
        return None
    try:
        return adopt(device, device.run(primitive, args, {}, handle_of))
    except Exception:  # a full card, one that fails, a kernel that does not load: the host makes it
        return None


def adopt(device: Any, value: Any) -> Any:
    """What a kernel gave, as arrays that live on the device."""
    if type(value) in (list, tuple):
        return type(value)(adopt(device, v) for v in value)
    scalar = type(value) is Scalar
    handle = value.handle if scalar else value
    view = np.empty(() if scalar else device.shape(handle), device.dtype(handle))
    return Array(view, Storage(view, device, handle), scalar=scalar)


def handle_of(device: Any, value: Any) -> Any:
    """The handle on `device` of an operand (an `Array` or a plain array)."""
    if type(value) is not Array:
        return transfers.upload(device, np.asarray(value))
    storage = value.storage
    if covers(value.window, storage.host):
        return storage.to_device(device)
    alike = value.window.dtype == storage.host.dtype  # (else the real part of complex numbers, or such)
    if (
        alike
        and storage.handle is None
        and not storage.shared
        and 2 * value.window.nbytes >= storage.host.nbytes
    ):
        storage.to_device(device)  # a part that is most of the whole: others of it will be wanted
    if storage.handle is not None and storage.device is device:
        part = device.read(storage.handle, value.window, storage.host)
        if part is not None:
            return part
    return transfers.upload(device, value.contents)


# To fetch a part alone takes as long as to fetch so many bytes more of the whole.
_LATENCY = 1 << 17


def element(array: Any, index: Any) -> Any:
    """The element of an array that only the device has; None, and the host has it all, if it is time to fetch that."""
    found = part(array.storage, array.window[(*index, None) if type(index) is tuple else (index, None)])
    return None if found is None else found[0]


def part(storage: Storage, view: np.ndarray) -> np.ndarray | None:
    """A copy of the contents of a view of what only the device has; None, and the host has it all: as `element`."""
    remote = storage.remote
    if remote.device is None:
        storage.to_host()
        return None
    most = storage.host.nbytes // (_LATENCY + view.nbytes)
    if remote.looks > most or remote.shared or remote.device.broken is not None:
        storage.to_host()
        return None
    there = remote.device.read(remote.handle, view, storage.host)
    if there is None:
        return None
    remote.looks += 1
    found = np.empty(view.shape, view.dtype)
    transfers.fetch(remote.device, there, found)
    return found


def near(value: Any, other: Any) -> Any:
    """The small plain `value` as an array that counts as living where `other` lives."""
    if type(other) is not Array or type(value) is Array or other.storage.handle is None:
        return value
    boxed = np.asarray(value)
    return Array(boxed, Storage(boxed, other.storage.device))


def settle(result: Any) -> Any:
    """A device's 0-d result as the NumPy scalar that NumPy would have returned."""
    if type(result) is Array and result.scalar:
        return result.contents[()]
    if type(result) in (list, tuple):
        return type(result)(map(settle, result))
    return result


# At the end: array.py leads here.
from minpy.runtime.array import Array  # noqa: E402
