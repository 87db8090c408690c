"""CuPy as a device: every NVIDIA card that its CUDA supports, with NumPy's dtypes, strides and views.

A handle is a ``cupy.ndarray`` with the memory layout of the host array that describes it, so a part of it is a view of
the same strides, and is read and written in place. All work of a device is in one stream of its own, whichever thread
asks; copies of large arrays go through pinned buffers, the next piece being filled while one is under way.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from minpy.errors import DeviceError, DeviceFailure, DeviceMemoryError, UsageError
from minpy.runtime.backends import cupy_fused, cupy_kernels, cupy_windows
from minpy.runtime.backends.base import arrays_in, promoted, refused
from minpy.runtime.backends.cupy_staging import Staging
from minpy.runtime.backends.known import Known
from minpy.runtime.backends.library import Library
from minpy.runtime.primitives.table import Kernel, Primitive, Scalar

MOST_ELEMENTS = 2**62  # no limit of its own
_REDUCES = {"sum": "sum", "mean": "mean", "max": "max", "min": "min", "amax": "max", "amin": "min"}
_OFF = ("0", "off", "no", "false")
_REST = 0.9  # of the memory that is free at the start: what may be used


def _bring() -> Any:
    import cupy

    return cupy


library = Library(
    "CuPy",
    _bring,
    lambda error: (
        f"CuPy is not installed or does not load ({' '.join(str(error).split())[:200]}). "
        "Install it with: pip install 'minpy[cupy]' (CUDA 12) or 'minpy[cupy13]' (CUDA 13)"
    ),
)
load = library.load


class CuPyDevice:
    """One GPU, driven by CuPy.

    Parameters
    ----------
    device_type : str
        ``"gpu"``.
    device_id : int
        Its number among those that CUDA shows.

    Raises
    ------
    DeviceError
        If there is no such GPU.
    """

    backend = "cupy"
    strided = True

    def __init__(self, device_type: str, device_id: int) -> None:
        self.cupy = cupy = load()
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except Exception as error:
            raise DeviceError(
                f"CuPy finds no GPU: {type(error).__name__}: {error}. `minpy doctor` says why"
            ) from None
        if device_type != "gpu" or device_id >= count:
            raise DeviceError(
                f"{device_type}({device_id}) is not there: CuPy sees {count} GPU{'s' if count != 1 else ''}. "
                "`minpy doctor` says why"
            )
        self.device_type, self.device_id = device_type, device_id
        self.name, self.label = f"{device_type}({device_id})", "cupy-gpu"
        self.broken: str | None = None
        self._device = cupy.cuda.Device(device_id)
        with self._device:
            self._stream = cupy.cuda.Stream(non_blocking=True)
            self._pool = cupy.cuda.MemoryPool()
            free, _ = cupy.cuda.runtime.memGetInfo()
        self._pool.set_limit(_limit(free))
        self.F = _Names(cupy)
        self._staging = Staging(cupy)
        self._refused: set[tuple] = set()
        self._known = Known()
        self.fuser = cupy_fused.Fuser(cupy)
        self.fuses = self.fuser.works and os.environ.get("MINPY_FUSE", "auto").lower() not in _OFF
        if self.fuses:
            self.F.window_kernels = cupy_windows.Kernels(self.F)
        self._copying = threading.Lock()

    def __repr__(self) -> str:
        return f"<CuPy {self.name}>"

    @contextlib.contextmanager
    def _here(self) -> Iterator[None]:
        """On this card, in its stream and pool; what CUDA says in the family's words."""
        cuda = self.cupy.cuda
        try:
            with self._device, self._stream, cuda.using_allocator(self._pool.malloc):
                yield
        except (DeviceError, UsageError):
            raise
        except cuda.memory.OutOfMemoryError as error:
            raise DeviceMemoryError(f"{self.name} is full: {' '.join(str(error).split())[:200]}") from error
        except self._errors() as error:
            text = " ".join(str(error).split())[:200]
            if "OutOfMemory" in text or "MemoryAllocation" in text:
                raise DeviceMemoryError(f"{self.name} is full: {text}") from error
            self.broken = f"{self.name} failed: {type(error).__name__}: {text}"
            raise DeviceFailure(self.broken) from error

    def _errors(self) -> tuple[type, ...]:
        cuda = self.cupy.cuda
        return cuda.runtime.CUDARuntimeError, cuda.driver.CUDADriverError

    # ----- memory -------------------------------------------------------------------------------------------

    def upload(self, host: np.ndarray) -> Any:
        """See `Device.upload`; what is laid out in Fortran's order stays so."""
        turned = host.flags.f_contiguous and not host.flags.c_contiguous
        data = np.ascontiguousarray(host.T if turned else host)
        data = data.reshape(1) if not data.ndim else data
        with self._here(), self._copying:
            handle = self.cupy.empty(data.shape, data.dtype)
            self._staging.upload(handle, data, self._stream)
        return handle.T if turned else handle

    def download(self, handle: Any, host: np.ndarray) -> None:
        """See `Device.download`."""
        if self.broken is not None:
            raise DeviceFailure(self.broken)
        with self._here(), self._copying:
            handle = self.fuser.array(handle)
            if host.ndim and _is_laid_out(handle, host) and host.flags.forc:
                turned = not host.flags.c_contiguous
                self._staging.download(
                    handle.T if turned else handle, host.T if turned else host, self._stream
                )
                return
            whole = np.empty(host.shape, host.dtype)
            flat = self.cupy.ascontiguousarray(handle).reshape(-1)
            self._staging.download(flat, whole.reshape(-1), self._stream)
        host[...] = whole

    def broadcast(self, handle: Any, shape: tuple[int, ...]) -> Any:
        """See `Device.broadcast`: a view, as NumPy's is."""
        strides = tuple([0 if m == 1 else s for m, s in zip(handle.shape, handle.strides, strict=True)])
        with self._here():
            handle = self.fuser.array(handle)
            return self.cupy.ndarray(shape, handle.dtype, handle.data, strides)

    def copy(self, handle: Any) -> Any:
        """See `Device.copy`."""
        with self._here():
            return self.fuser.array(handle).copy()

    def shape(self, handle: Any) -> tuple[int, ...]:
        """See `Device.shape`."""
        return handle.shape

    def dtype(self, handle: Any) -> np.dtype:
        """See `Device.dtype`."""
        return np.dtype(handle.dtype)

    def memory(self) -> dict[str, int]:
        """See `Device.memory`."""
        with self._here():
            free, total = self.cupy.cuda.runtime.memGetInfo()
        return {"total": total, "free": free, "used": self._pool.used_bytes()}

    def free(self) -> None:
        """See `Device.free`."""
        if self.broken is None:
            with self._here():
                self._stream.synchronize()
                self._pool.free_all_blocks()

    def synchronize(self) -> None:
        """See `Device.synchronize`."""
        if self.broken is None:
            with self._here():
                self.fuser.settle()
                self._stream.synchronize()

    # ----- parts of handles ---------------------------------------------------------------------------------

    def part(self, handle: Any, view: np.ndarray, base: np.ndarray) -> Any | None:
        """The view of `handle` that corresponds to `view` of `base`; None if their layouts differ."""
        if not _is_laid_out(handle, base) or view.dtype != base.dtype or not view.size:
            return None
        start = view.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        item = view.itemsize
        if start % item or any(stride % item for stride in view.strides):
            return None
        with self._here():
            handle = self.fuser.array(handle)
            return self.cupy.ndarray(view.shape, view.dtype, handle.data + start, view.strides)

    def read(self, handle: Any, view: np.ndarray, base: np.ndarray) -> Any | None:
        """See `Device.read`."""
        return self.part(handle, view, base)

    def write(self, handle: Any, view: np.ndarray, base: np.ndarray, value: Any) -> bool:
        """See `Device.write`."""
        part = self.part(handle, view, base)
        if part is None:
            return False
        return self._written(part, ..., value, handle)

    def put(
        self, handle: Any, view: np.ndarray, base: np.ndarray, index: Any, value: Any, handle_of: Any
    ) -> bool:
        """See `Device.put`."""
        part = self.part(handle, view, base)
        if part is None or cupy_kernels.in_bounds(index, view.shape) is not None:
            return False
        if hasattr(value, "dtype") and cupy_kernels.repeats(index):
            return False  # the last of the values for a place wins with NumPy, any with a GPU
        with self._here():
            index = self._placed(index, handle_of)
        return self._written(part, index, value, handle)

    def _written(self, part: Any, index: Any, value: Any, handle: Any) -> bool:
        with self._here():
            value, handle = self.fuser.array(value), self.fuser.array(handle)
            self.fuser.before_write(part)
            try:
                if hasattr(value, "dtype") and self.cupy.may_share_memory(value, handle):
                    value = value.copy()
                part[index] = value
            except (MemoryError, *self._errors()):
                raise
            except Exception:  # a kernel that does not compile or load: nothing was written
                return False
        return True

    def _placed(self, index: Any, handle_of: Any) -> Any:
        if type(index) is tuple:
            return tuple([self._placed(part, handle_of) for part in index])
        if type(index) is list:
            index = np.asarray(index)
        if isinstance(index, np.ndarray) and index.ndim:
            return self.fuser.array(handle_of(self, index))
        return index

    # ----- kernels ------------------------------------------------------------------------------------------

    def kernel(self, primitive: Primitive) -> Kernel | str:
        """See `Device.kernel`."""
        return cupy_kernels.of(primitive)

    def unsupported(self, primitive: Primitive, args: tuple, kwargs: dict) -> str | None:
        """See `Device.unsupported`."""
        if primitive.elementwise and not kwargs and self._known.find(primitive, args) is not None:
            return None
        kernel = cupy_kernels.KERNELS[primitive.name]
        if self._refused and self._signature(primitive, args) in self._refused:
            return "MP102 CuPy's result is of another dtype than NumPy's"
        return refused("CuPy", kernel, cupy_kernels.DTYPES, MOST_ELEMENTS, primitive, args, kwargs)

    def _signature(self, primitive: Primitive, args: tuple) -> tuple:
        return primitive.name, *[a.dtype.str if isinstance(a, np.ndarray) else type(a) for a in args]

    def run(self, primitive: Primitive, args: tuple, kwargs: dict, handle_of: Any) -> Any:
        """See `Device.run`."""
        if primitive.elementwise and not kwargs:
            known = self._known.find(primitive, args)
            if known is not None and self.fuses and primitive.name in cupy_fused.OPERATIONS:
                lazy = self._put_off(primitive.name, args, known.dtype, known.wanted, handle_of)
                if lazy is not None:
                    return lazy
        kernel = cupy_kernels.KERNELS[primitive.name]
        wanted = cupy_kernels.expected(kernel, primitive, args, kwargs)
        dtype = promoted(args) if kernel.cast else None
        if dtype is not None and wanted is not None and dtype.kind in "iu" and wanted.kind in "iu":
            dtype = wanted  # NumPy's choice between signed and unsigned depends on the values of numbers
        given: list[Any] = []

        def place(value: Any) -> Any:
            if isinstance(value, np.ndarray):
                if not value.ndim:
                    value = value[()] if type(value) is np.ndarray else value.contents[()]
                    return dtype.type(value) if dtype is not None else value
                handle = handle_of(self, value)
                if lazily:
                    return handle
                return self._ready(handle, dtype, given)
            if dtype is not None and isinstance(value, (bool, int, float, complex, np.generic)):
                return dtype.type(value)
            if type(value) in (list, tuple):
                return type(value)(map(place, value))
            return value

        lazily = (
            self.fuses
            and not kwargs
            and primitive.name in cupy_fused.OPERATIONS
            and wanted is not None
            and len(args) <= 3
            and all(isinstance(a, (np.ndarray, np.generic, bool, int, float)) for a in args)
        )
        if primitive.elementwise and not kwargs:
            self._known.put(primitive, args, dtype, wanted)
        with self._here():
            if self.fuses and primitive.name in _REDUCES:
                result = self._reduced(primitive.name, args, kwargs, wanted, handle_of)
                if result is not None:
                    return result
            placed = [place(a) for a in args]
            if lazily:
                lazy = self._deferred(primitive.name, placed, dtype, wanted)
                if lazy is not None:
                    return lazy
                placed = [self._ready(p, dtype, given) for p in placed]
            named = {k: place(v) for k, v in kwargs.items()}
            result = kernel.run(self.F, *placed, **named)
            if type(result) in (list, tuple):
                return type(result)([self._owned(r, given) for r in result])
            if wanted is not None and result.dtype != wanted:
                self._refused.add(self._signature(primitive, args))
                self._known.forget()
                raise TypeError(f"{primitive.name}: {result.dtype} where NumPy gives {wanted}")
            return self._owned(result, given)

    def _put_off(self, name: str, args: tuple, dtype: Any, wanted: Any, handle_of: Any) -> Any:
        """As `_deferred`, of operands that are known to be arrays and numbers."""
        arrays = [a for a in args if isinstance(a, np.ndarray)]
        kind = arrays[0].dtype if dtype is None else dtype
        if wanted is None or (dtype is None and wanted != kind):
            return None
        first, last = arrays[0].shape, arrays[-1].shape
        shape = first if first == last else np.broadcast_shapes(first, last)
        with self._here(), self.fuser.lock:
            operands = [handle_of(self, a) if isinstance(a, np.ndarray) else kind.type(a) for a in args]
            return self.fuser.defer(name, operands, kind, wanted, shape)

    def _ready(self, handle: Any, dtype: Any, given: list[Any]) -> Any:
        """An operand as kernels take it."""
        if not hasattr(handle, "ndim") or isinstance(handle, np.generic):
            return handle
        handle = self.fuser.array(handle)
        given.append(handle)
        return handle.astype(dtype) if dtype is not None and handle.dtype != dtype else handle

    def _deferred(self, name: str, operands: list[Any], dtype: Any, wanted: np.dtype) -> Any:
        """The handle of element-wise work that is put off; None if it is not of the kind."""
        arrays = [o for o in operands if hasattr(o, "ndim") and not isinstance(o, np.generic)]
        kind = dtype if dtype is not None else arrays[0].dtype
        if name == "where":
            kind = wanted
            if len(operands) != 3 or operands[0] is not arrays[0]:
                return None
            operands = [o if any(o is a for a in arrays) else kind.type(o) for o in operands]
        elif dtype is None and wanted.name != kind.name:
            return None
        if not all(isinstance(o, np.generic) or any(o is a for a in arrays) for o in operands):
            return None
        shape = np.broadcast_shapes(*[o.shape for o in arrays])
        with self.fuser.lock:
            return self.fuser.defer(name, operands, kind, wanted, shape)

    def _reduced(self, name: str, args: tuple, kwargs: dict, wanted: Any, handle_of: Any) -> Any:
        """A reduction of what is put off, over all axes or the last ones; None if it is another."""
        x, *rest = args
        options = dict(zip(("axis",), rest, strict=False)) | kwargs
        axis, keepdims = options.pop("axis", None), bool(options.pop("keepdims", False))
        if len(rest) > 1 or any(v is not None for v in options.values()) or x.dtype != wanted:
            return None
        axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        kept = x.ndim - len(axes)
        if sorted(a % x.ndim for a in axes) != list(range(kept, x.ndim)):
            return None
        handle = handle_of(self, x)
        if type(handle) is not cupy_fused.Lazy:
            return None
        with self.fuser.lock:
            result = self.fuser.reduce(_REDUCES[name], handle, kept)
        if result is None:
            return None
        if keepdims:
            result = result.reshape(*x.shape[:kept], *(1,) * (x.ndim - kept))
        return result if result.ndim else Scalar(result)

    def _owned(self, result: Any, given: list[Any]) -> Any:
        """A result in C order and in memory of its own."""
        if not result.flags.c_contiguous:
            result = self.cupy.ascontiguousarray(result)
        if any(result is g for g in given) or (
            result.base is not None and any(self.cupy.may_share_memory(result, g) for g in given)
        ):
            result = result.copy()
        return result if result.ndim else Scalar(result)


def _is_laid_out(handle: Any, host: np.ndarray) -> bool:
    """Whether an array of CuPy's has the shape and the strides of one of NumPy's; those of length 1 do not count."""
    if handle.shape != host.shape:
        return False
    return all(
        m == n or length == 1 for m, n, length in zip(handle.strides, host.strides, host.shape, strict=True)
    )


def _limit(free: int) -> int:
    """How many bytes the pool may take: what ``MINPY_DEVICE_MEMORY`` says (``4GiB``, ``50%``), else most of all."""
    text = os.environ.get("MINPY_DEVICE_MEMORY", "").strip()
    if not text:
        return int(_REST * free)
    units = {"%": free / 100, "GiB": 2**30, "MiB": 2**20, "GB": 1e9, "MB": 1e6, "": 1}
    number = text.rstrip("%GiMB")
    try:
        size = int(float(number) * units[text[len(number) :].strip()])
    except (KeyError, ValueError):
        raise UsageError(
            f"MINPY_DEVICE_MEMORY={text!r} is no amount of memory: write 4GiB, 500MB or 50%"
        ) from None
    if size <= 0:
        raise UsageError(f"MINPY_DEVICE_MEMORY={text!r} must be more than nothing")
    return size


class _Names:
    """CuPy's names, as kernels ask for them."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._cupy, name)
        setattr(self, name, found)
        return found

    def raising(self) -> Any:
        """Let solvers say that there is no solution; they wait for it."""
        from importlib import import_module

        return import_module("cupyx").errstate(linalg="raise")


def count() -> int:
    """How many GPUs CuPy sees; 0 if it is not there."""
    try:
        return load().cuda.runtime.getDeviceCount()
    except Exception:
        return 0


__all__ = ["CuPyDevice", "arrays_in", "count", "load"]
