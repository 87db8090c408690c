"""MXNet 1.9.1 as a device: loaded when a device operation is first chosen, used forward only.

MXNet has no strides, no 0-d arrays and no promotion; what it lacks is refused here with a reason, and NumPy
runs it. Its kernels run asynchronously: an error inside one would surface at a later copy, so conditions are
checked before a kernel is started.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minpy import mxnet_import
from minpy.errors import DeviceError
from minpy.runtime.primitives.table import DEVICE_DTYPES, Kernel, Scalar

_lock = threading.RLock()
_module: Any = None
_failure: str | None = None
# MXNet's tensors hold at most this many elements.
MOST_ELEMENTS = 2**31 - 1


def load() -> Any:
    """The module ``mxnet``, imported once.

    Raises
    ------
    DeviceError
        If it is not installed or does not load; says why and what to do.
    """
    global _module, _failure
    if _module is not None:
        return _module
    with _lock:
        if _module is None and _failure is None:
            try:
                _module = _import()
            except ImportError as error:
                _failure = (
                    f"MXNet is not installed ({error}). "
                    "Install it with: pip install 'minpy[cpu]' (Python 3.10 to 3.12)"
                )
            except (
                Exception
            ) as error:  # a broken wheel fails in many ways: OSError, AttributeError, RuntimeError
                _failure = f"MXNet does not load: {type(error).__name__}: {error}. `minpy doctor` says how to repair it"
    if _failure is not None:
        raise DeviceError(_failure)
    return _module


def _import() -> Any:
    mxnet_import.install()
    import mxnet

    return mxnet


def copy_in(handle: Any, host: np.ndarray) -> None:
    """Copy a C-contiguous array into an ``NDArray`` of the same dtype; done when this returns."""
    base = load().base
    pointer = host.ctypes.data_as(ctypes.c_void_p)
    base.check_call(base._LIB.MXNDArraySyncCopyFromCPU(handle.handle, pointer, ctypes.c_size_t(host.size)))


def copy_out(handle: Any, host: np.ndarray) -> None:
    """Copy an ``NDArray``, once it is computed, into a C-contiguous array of the same dtype."""
    base = load().base
    pointer = host.ctypes.data_as(ctypes.c_void_p)
    base.check_call(base._LIB.MXNDArraySyncCopyToCPU(handle.handle, pointer, ctypes.c_size_t(host.size)))


class MXNetDevice:
    """One MXNet context."""

    backend = "mxnet"

    def __init__(self, device_type: str, device_id: int) -> None:
        mx = load()
        if device_type == "gpu":
            count = mx.context.num_gpus()
            if device_id >= count:
                raise DeviceError(
                    f"gpu({device_id}) is not there: MXNet sees {count} GPU{'s' if count != 1 else ''}. "
                    "`minpy doctor` says why"
                )
        self.device_type, self.device_id = device_type, device_id
        self.name = f"{device_type}({device_id})"
        self.F = mx.nd
        self.context = mx.Context(device_type, device_id)
        self._places = functools.lru_cache(maxsize=256)(self._make_places)

    def __repr__(self) -> str:
        return f"<MXNet {self.name}>"

    def upload(self, host: np.ndarray) -> Any:
        """See `Device.upload`."""
        data = np.ascontiguousarray(host)
        handle = self.F.empty(data.shape or (1,), ctx=self.context, dtype=data.dtype)
        copy_in(handle, data)
        return handle

    def download(self, handle: Any, host: np.ndarray) -> None:
        """See `Device.download`."""
        target = host if host.flags.c_contiguous else np.empty(host.shape, host.dtype)
        copy_out(handle, target)
        if target is not host:
            host[...] = target

    def copy(self, handle: Any) -> Any:
        """See `Device.copy`."""
        return handle.copy()

    def shape(self, handle: Any) -> tuple[int, ...]:
        """See `Device.shape`."""
        return handle.shape

    def dtype(self, handle: Any) -> np.dtype:
        """See `Device.dtype`."""
        return np.dtype(handle.dtype)

    def synchronize(self) -> None:
        """See `Device.synchronize`."""
        self.F.waitall()

    # ----- views --------------------------------------------------------------------------------------------

    def read(self, handle: Any, view: np.ndarray, base: np.ndarray) -> Any | None:
        """See `Device.read`."""
        place = self._place(view, base)
        if place is None:
            return None
        flat = handle.reshape((-1,))
        if type(place) is slice:
            return flat[place].reshape(view.shape)
        return self.F.take(flat, place).reshape(view.shape)

    def write(self, handle: Any, view: np.ndarray, base: np.ndarray, value: Any) -> bool:
        """See `Device.write`."""
        place = self._place(view, base)
        if place is None:
            return False
        flat = handle.reshape((-1,))
        if type(place) is slice:
            flat[place] = value if isinstance(value, (int, float)) else value.reshape((-1,))
            return True
        if isinstance(value, (int, float)):
            value = self.F.full((view.size,), value, ctx=self.context, dtype=base.dtype)
        # The kernel must not read what it writes: a value taken from the same buffer is copied first.
        value = value.reshape((-1,)).copy()
        self.F._internal._scatter_set_nd(
            lhs=flat, rhs=value, indices=place.reshape((1, -1)), shape=flat.shape, out=flat
        )
        return True

    def _place(self, view: np.ndarray, base: np.ndarray) -> Any | None:
        """Where `view` lies in the flattened `base`: a slice if contiguous, else a handle of element numbers."""
        if not base.flags.c_contiguous or view.dtype != base.dtype or not view.size:
            return None
        start = view.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        item = view.itemsize
        if start % item or any(s % item for s in view.strides):
            return None
        if view.flags.c_contiguous:
            return slice(start // item, start // item + view.size)
        return self._places(start // item, view.shape, tuple(s // item for s in view.strides))

    def _make_places(self, start: int, shape: tuple[int, ...], steps: tuple[int, ...]) -> Any:
        low = sum((n - 1) * s for n, s in zip(shape, steps, strict=True) if s < 0)
        high = sum((n - 1) * s for n, s in zip(shape, steps, strict=True) if s > 0)
        numbers = np.arange(start + low, start + high + 1, dtype=np.int64)
        item = numbers.itemsize
        places = as_strided(numbers[-low:], shape, tuple(s * item for s in steps))
        return self.upload(places.reshape(-1))

    # ----- kernels ------------------------------------------------------------------------------------------

    def unsupported(self, primitive: Any, args: tuple, kwargs: dict) -> str | None:
        """See `Device.unsupported`."""
        kernel: Kernel = primitive.mxnet
        arrays = list(_arrays((*args, *kwargs.values())))
        if not arrays and not primitive.creates:
            return "MP103 no array operand"
        for array in arrays:
            if type(array) is not np.ndarray and not hasattr(array, "storage"):
                return f"an operand is a {type(array).__name__}: a subclass with a meaning of its own"
            if array.dtype.name not in kernel.dtypes:
                what = (
                    "MXNet has no dtype"
                    if array.dtype.name not in DEVICE_DTYPES
                    else "the kernel is not used for dtype"
                )
                return f"MP102 {what} {array.dtype}"
            if not array.dtype.isnative:
                return "MP102 the bytes are in the other machine's order"
            if not array.size:
                return "MP103 an empty array: nothing for a device to do"
            if array.size > MOST_ELEMENTS:
                return "MP103 more than 2**31 - 1 elements"
        if arrays and not any(array.ndim for array in arrays):
            return "MP103 only 0-d operands: nothing for a device to do"
        if kernel.cast:
            if not all(isinstance(a, (np.ndarray, np.generic, int, float, complex)) for a in args):
                return "an operand is neither an array nor a number"
            dtype = promoted(args)
            if dtype.name not in kernel.dtypes:
                return f"MP102 the operands promote to {dtype}, which the kernel is not used for"
        reason = kernel.unless(*args, **kwargs) if kernel.unless is not None else None
        return None if reason is None else f"MP104 {reason}"

    def run(self, primitive: Any, args: tuple, kwargs: dict, handle_of: Any) -> Any:
        """See `Device.run`."""
        kernel: Kernel = primitive.mxnet
        dtype = promoted(args) if kernel.cast else None

        def place(value: Any) -> Any:
            if isinstance(value, np.ndarray):
                if kernel.cast and not value.ndim:
                    return np.asarray(value).item() if type(value) is np.ndarray else value.contents.item()
                handle = handle_of(self, value)
                return (
                    handle.astype(dtype) if dtype is not None and np.dtype(handle.dtype) != dtype else handle
                )
            if isinstance(value, np.generic):
                return value.item()
            if type(value) in (list, tuple):
                return type(value)(map(place, value))
            return value

        with self.context:
            return kernel.run(self.F, *map(place, args), **{k: place(v) for k, v in kwargs.items()})


def promoted(args: tuple) -> np.dtype:
    """The dtype that NumPy's promotion gives the operands of an element-wise operation."""
    return np.result_type(*[_kind(a) if isinstance(a, np.ndarray) else a for a in args])


def _kind(array: Any) -> Any:
    # 0-d arrays take part in promotion with their value.
    if array.ndim:
        return array.dtype
    return array[()] if type(array) is np.ndarray else array.contents[()]


def _arrays(values: Any) -> Any:
    for value in values:
        if isinstance(value, np.ndarray):
            yield value
        elif type(value) in (list, tuple):
            yield from _arrays(value)


__all__ = ["MXNetDevice", "Scalar", "copy_in", "copy_out", "load", "promoted"]
