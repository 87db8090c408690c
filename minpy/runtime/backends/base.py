"""What a device back end provides. The rest of the runtime knows a device only through this.

A device is a place with its own memory where kernels run. A *handle* is whatever the back end uses for an array in that
memory; only the back end looks into it. Views exist on the host alone: the runtime describes a part of a handle by two
NumPy arrays, `base` (the geometry of the whole) and `view` (that of the part), whose contents are never looked at.

Kernels may run after the call that started them returns. An error of such a kernel is raised by whichever later call
meets it; the back end then calls itself `broken`, and nothing that it still holds may be believed.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from minpy.errors import DeviceFailure, DeviceMemoryError
from minpy.runtime.primitives.table import Kernel, Primitive, Scalar


class Device(Protocol):
    """One device.

    Attributes
    ----------
    name : str
        As messages name it: ``gpu(0)``.
    backend : str
        The library behind it, as reports name it: ``mxnet``, ``cupy``.
    device_type, device_id : str, int
        The context it belongs to.
    label : str
        What the cost model calls it: ``mxnet-gpu``.
    strided : bool
        Whether handles have strides, so that a transpose is a view.
    broken : str or None
        Why the device is not used any more, once it has failed.
    """

    name: str
    backend: str
    device_type: str
    device_id: int
    label: str
    strided: bool
    broken: str | None

    # ----- memory

    def upload(self, host: np.ndarray) -> Any:
        """A handle that holds a copy of `host` (any layout; the copy is C-contiguous, 0-d as shape ``(1,)``)."""

    def copy(self, handle: Any) -> Any:
        """A handle with memory of its own."""

    def broadcast(self, handle: Any, shape: tuple[int, ...]) -> Any:
        """The handle, of as many axes as `shape`, repeated to it; to be read only."""

    def download(self, handle: Any, host: np.ndarray) -> None:
        """Copy the handle's elements into `host`, which has its shape and dtype; waits for pending work."""

    def shape(self, handle: Any) -> tuple[int, ...]:
        """The handle's shape."""

    def dtype(self, handle: Any) -> np.dtype:
        """The handle's dtype, as NumPy's."""

    def memory(self) -> dict[str, int] | None:
        """Bytes ``total``, ``free`` and ``used`` (by this process, through the back end); None if not known."""

    def free(self) -> None:
        """Give memory that is kept for reuse back."""

    # ----- parts of handles

    def read(self, handle: Any, view: np.ndarray, base: np.ndarray) -> Any | None:
        """The part of `handle` that `view` covers of `base` (same geometry as the handle); None: no kernel for it.

        It may share the handle's memory.
        """

    def write(self, handle: Any, view: np.ndarray, base: np.ndarray, value: Any) -> bool:
        """Write the handle or number `value` into that part, in place; False if it has no kernel for that."""

    def put(
        self, handle: Any, view: np.ndarray, base: np.ndarray, index: Any, value: Any, handle_of: Any
    ) -> bool:
        """Write `value` (a number or a handle) where the fancy `index` says in that part; False: no kernel for it.

        The index is as the program gave it; ``handle_of(device, array)`` gives the handle of an array in it.
        """

    # ----- kernels

    def kernel(self, primitive: Primitive) -> Kernel | str:
        """The kernel of a row of the table, or the reason why there is none."""

    def unsupported(self, primitive: Primitive, args: tuple, kwargs: dict) -> str | None:
        """Why this device cannot run the primitive on these operands; None if it can."""

    def run(self, primitive: Primitive, args: tuple, kwargs: dict, handle_of: Any) -> Any:
        """Run the primitive's kernel; ``handle_of(device, array)`` gives the handle of an array operand.

        Returns
        -------
        handle, Scalar, or list of these
            With memory of their own. A back end may put the work off, and do it together with other work, as long
            as nothing but `synchronize`, a download, a write or another kernel can tell.
        """

    # ----- time

    def synchronize(self) -> None:
        """Wait for all pending work (before a clock is read)."""


def arrays_in(values: Any) -> Any:
    """The arrays among `values`, also inside lists and tuples."""
    for value in values:
        if isinstance(value, np.ndarray):
            yield value
        elif type(value) in (list, tuple):
            yield from arrays_in(value)


def promoted(args: tuple) -> np.dtype:
    """The dtype that NumPy's promotion gives the operands of an element-wise operation."""
    return np.result_type(*[_kind(a) if isinstance(a, np.ndarray) else a for a in args])


def _kind(array: Any) -> Any:
    # 0-d arrays take part in promotion with their value.
    if array.ndim:
        return array.dtype
    return array[()] if type(array) is np.ndarray else array.contents[()]


_NAMES = {np.dtype(c).num: np.dtype(c).name for c in "?bhilqBHILQefdgFDG"}


def name_of(dtype: np.dtype) -> str:
    """The name of a dtype, which NumPy puts together at each use."""
    return _NAMES.get(dtype.num) or dtype.name


def refused(
    device: str,
    kernel: Kernel,
    dtypes: frozenset[str],
    most: int,
    primitive: Primitive,
    args: Any,
    kwargs: Any,
) -> str | None:
    """What every back end asks of the operands before a kernel runs.

    Parameters
    ----------
    device : str
        The back end, for the reasons.
    kernel : Kernel
        The kernel; its own condition is asked last.
    dtypes : frozenset of str
        The dtypes that the device has at all.
    most : int
        The most elements of an array.
    """
    found = list(arrays_in((*args, *kwargs.values())))
    if not found and not primitive.creates:
        return "MP103 no array operand"
    for array in found:
        if type(array) is not np.ndarray and not hasattr(array, "storage"):
            return f"an operand is a {type(array).__name__}: a subclass with a meaning of its own"
        if name_of(array.dtype) not in kernel.dtypes:
            what = (
                f"{device} has no dtype"
                if name_of(array.dtype) not in dtypes
                else "the kernel is not used for dtype"
            )
            return f"MP102 {what} {array.dtype}"
        if not array.dtype.isnative:
            return "MP102 the bytes are in the other machine's order"
        if not array.size:
            return "MP103 an empty array: nothing for a device to do"
        if array.size > most:
            return f"MP103 more than {most:,} elements"
    if found and not any(array.ndim for array in found):
        return "MP103 only 0-d operands: nothing for a device to do"
    if kernel.cast:
        if not all(isinstance(a, (np.ndarray, np.generic, int, float, complex)) for a in args):
            return "an operand is neither an array nor a number"
        dtype = promoted(args)
        if name_of(dtype) not in kernel.dtypes:
            return f"MP102 the operands promote to {dtype}, which the kernel is not used for"
    reason = kernel.unless(*args, **kwargs) if kernel.unless is not None else None
    return None if reason is None else f"MP104 {reason}"


__all__ = [
    "Device",
    "DeviceFailure",
    "DeviceMemoryError",
    "Scalar",
    "arrays_in",
    "promoted",
    "refused",
]
