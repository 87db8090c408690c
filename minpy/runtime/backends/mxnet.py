"""MXNet 1.9.1 as a device: loaded when a device operation is first chosen, used forward only.

MXNet has no strides, no 0-d arrays and no promotion; what it lacks is refused here with a reason, and NumPy
runs it. Its kernels run asynchronously: an error inside one would surface at a later copy, so conditions are
checked before a kernel is started.
"""

from __future__ import annotations

import ctypes
import functools
import math
import os
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minpy import mxnet_import
from minpy.errors import DeviceError, DeviceFailure, DeviceMemoryError
from minpy.runtime.backends import mxnet_fused
from minpy.runtime.backends.base import promoted, refused
from minpy.runtime.backends.c_errors import forget
from minpy.runtime.backends.library import Library
from minpy.runtime.primitives.table import DEVICE_DTYPES, Kernel, Scalar, by_name

# MXNet's tensors hold at most this many elements.
MOST_ELEMENTS = 2**31 - 1


def bring() -> Any:
    """The library, with its own words for what is wrong."""
    mxnet_import.install()
    import mxnet

    return mxnet


library = Library(
    "MXNet",
    bring,
    lambda error: (
        f"MXNet is not installed ({error}). Install it with: pip install 'minpy[cpu]' (Python 3.10 to 3.12)"
    ),
)
load = library.load


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


def host_of(handle: Any) -> np.ndarray:
    """The contents of an ``NDArray`` of float32, once it is computed: its own memory on the CPU, a copy elsewhere."""
    shape = handle.shape
    if handle.context.device_type != "cpu":
        value = np.empty(shape, np.float32)
        copy_out(handle, value)
        return value
    base = load().base
    handle.wait_to_read()
    place = ctypes.c_void_p()
    base.check_call(base._LIB.MXNDArrayGetData(handle.handle, ctypes.byref(place)))
    if not place.value:
        return np.empty(shape, np.float32)
    memory = (ctypes.c_float * math.prod(shape)).from_address(place.value)
    memory.handle = handle  # as long as somebody looks at the memory
    return np.frombuffer(memory, np.float32).reshape(shape)


class MXNetDevice:
    """One MXNet context."""

    backend = "mxnet"
    strided = False

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
        self.label = f"mxnet-{device_type}"
        self.broken: str | None = None
        self.F = mx.nd
        self.context = mx.Context(device_type, device_id)
        self.fuser = mxnet_fused.Fuser(mx, lambda name: by_name[name].mxnet.run)
        # On the host's processors it was not measured to pay: what it saves in the engine it costs in Python.
        mode = os.environ.get("MINPY_FUSE", "auto").lower()
        self.fuses = mode.startswith("force") or (
            device_type == "gpu" and mode not in ("0", "off", "no", "false")
        )
        self._places = functools.lru_cache(maxsize=256)(self._make_places)

    def __repr__(self) -> str:
        return f"<MXNet {self.name}>"

    def upload(self, host: np.ndarray) -> Any:
        """See `Device.upload`."""
        data = np.ascontiguousarray(host)
        try:
            handle = self.F.empty(data.shape or (1,), ctx=self.context, dtype=data.dtype)
            copy_in(handle, data)
        except Exception as error:
            raise self._told(error) from error
        return handle

    def download(self, handle: Any, host: np.ndarray) -> None:
        """See `Device.download`."""
        target = host if host.flags.c_contiguous else np.empty(host.shape, host.dtype)
        try:
            copy_out(self.fuser.array(handle), target)
        except Exception as error:
            raise self._told(error) from error
        if target is not host:
            host[...] = target

    def broadcast(self, handle: Any, shape: tuple[int, ...]) -> Any:
        """See `Device.broadcast`."""
        handle = self.fuser.array(handle)
        if self.dtype(handle).name in ("float32", "float64"):
            if handle.size == 1:
                return self.F.broadcast_to(handle.reshape((1,)), shape=(int(np.prod(shape)),)).reshape(shape)
            if len(shape) <= 5:
                return self.F.broadcast_to(handle, shape=shape)
        host = np.empty(handle.shape, self.dtype(handle))
        self.download(handle, host)
        return self.upload(np.broadcast_to(host, shape))

    def copy(self, handle: Any) -> Any:
        """See `Device.copy`."""
        return self.fuser.array(handle).copy()

    def shape(self, handle: Any) -> tuple[int, ...]:
        """See `Device.shape`."""
        return handle.shape

    def dtype(self, handle: Any) -> np.dtype:
        """See `Device.dtype`."""
        return np.dtype(handle.dtype)

    def memory(self) -> dict[str, int] | None:
        """See `Device.memory`."""
        if self.device_type != "gpu":
            return None
        free, total = load().context.gpu_memory_info(self.device_id)
        return {"total": total, "free": free}

    def free(self) -> None:
        """See `Device.free`."""
        self.fuser.free()
        self.context.empty_cache()

    def synchronize(self) -> None:
        """See `Device.synchronize`."""
        try:
            self.fuser.settle()
            self.F.waitall()
        except Exception as error:
            raise self._told(error) from error

    def _told(self, error: Exception) -> Exception:
        """An error of MXNet's in the family's words; after one of CUDA's the card is not used any more."""
        text = " ".join(str(error).split())
        if "out of memory" in text or "Memory allocation failed" in text:
            return DeviceMemoryError(f"{self.name} is full: {text[-160:]}")
        if self.device_type == "gpu" and "CUDA" in text.upper():
            self.broken = f"{self.name} failed: {text[-160:]}"
            return DeviceFailure(self.broken)
        return error

    # ----- views --------------------------------------------------------------------------------------------

    def read(self, handle: Any, view: np.ndarray, base: np.ndarray) -> Any | None:
        """See `Device.read`."""
        place = self._place(view, base)
        if place is None:
            return None
        flat = self.fuser.array(handle).reshape((-1,))
        if type(place) is slice:
            return flat[place].reshape(view.shape)
        return self.F.take(flat, place).reshape(view.shape)

    def write(self, handle: Any, view: np.ndarray, base: np.ndarray, value: Any) -> bool:
        """See `Device.write`."""
        place = self._place(view, base)
        if place is None:
            return False
        self.fuser.settle()  # what still has to read what is written to
        handle, value = self.fuser.array(handle), self.fuser.array(value)
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

    def put(
        self, handle: Any, view: np.ndarray, base: np.ndarray, index: Any, value: Any, handle_of: Any
    ) -> bool:
        """See `Device.put`: masks of the part's shape, and numbers."""
        if not isinstance(value, (int, float)) or not isinstance(index, np.ndarray):
            return False
        if index.dtype != np.bool_ or index.shape != view.shape or view.dtype == np.bool_:
            return False
        part = self.read(handle, view, base)
        if part is None:
            return False
        mask = self.fuser.array(handle_of(self, index)).astype("uint8")
        filled = self.F.full(view.shape, value, ctx=self.context, dtype=view.dtype)
        return self.write(handle, view, base, self.F.where(mask, filled, part))

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

    def kernel(self, primitive: Any) -> Kernel | str:
        """See `Device.kernel`."""
        return primitive.mxnet

    def unsupported(self, primitive: Any, args: tuple, kwargs: dict) -> str | None:
        """See `Device.unsupported`."""
        return refused("MXNet", primitive.mxnet, DEVICE_DTYPES, MOST_ELEMENTS, primitive, args, kwargs)

    def run(self, primitive: Any, args: tuple, kwargs: dict, handle_of: Any) -> Any:
        """See `Device.run`."""
        kernel: Kernel = primitive.mxnet
        dtype = promoted(args) if kernel.cast else None

        def place(value: Any) -> Any:
            if isinstance(value, np.ndarray):
                if kernel.cast and not value.ndim:
                    return np.asarray(value).item() if type(value) is np.ndarray else value.contents.item()
                handle = self.fuser.array(handle_of(self, value))
                return (
                    handle.astype(dtype) if dtype is not None and np.dtype(handle.dtype) != dtype else handle
                )
            if isinstance(value, np.generic):
                return value.item()
            if type(value) in (list, tuple):
                return type(value)(map(place, value))
            return value

        if self.fuses and not kwargs and primitive.name in mxnet_fused.OPERATIONS:
            lazy = self._deferred(primitive.name, args, handle_of)
            if lazy is not None:
                return lazy
        with self.context:
            forget()
            return kernel.run(self.F, *map(place, args), **{k: place(v) for k, v in kwargs.items()})

    def _deferred(self, name: str, args: tuple, handle_of: Any) -> Any:
        """The handle of element-wise work that is put off; None if it is not of the kind."""
        arrays = [a for a in args if isinstance(a, np.ndarray) and a.ndim]
        dtype = arrays[0].dtype if arrays else None
        if dtype is None or dtype.name not in ("float32", "float64") or any(a.dtype != dtype for a in arrays):
            return None
        operands: list[Any] = []
        for a in args:
            if isinstance(a, np.ndarray):
                if a.ndim:
                    operands.append(a)
                    continue
                a = a[()] if type(a) is np.ndarray else a.contents[()]
            if not isinstance(a, (int, float, np.generic)) or promoted(args) != dtype:
                return None
            operands.append(dtype.type(a))
        with self.fuser.lock:
            placed = [handle_of(self, o) if isinstance(o, np.ndarray) else o for o in operands]
            return self.fuser.defer(name, placed, dtype)


__all__ = ["MXNetDevice", "Scalar", "copy_in", "copy_out", "load", "promoted"]
