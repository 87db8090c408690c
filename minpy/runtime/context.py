"""Contexts: the device that array work may be placed on.

The names and the behaviour of the original: ``cpu()``, ``gpu(i)``, ``set_context``, ``with gpu(0):``,
``current_context()``. The ``with`` form is local to the thread or task; `set_context` is for the whole
process.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, ClassVar

from minpy.errors import UsageError
from minpy.runtime import entry


class Context:
    """A device, usable in a ``with`` statement.

    Parameters
    ----------
    device_type : {'cpu', 'gpu', 'cpu_pinned'} or Context
        The type of device; a context is copied.
    device_id : int
        Its number, from 0.

    Raises
    ------
    UsageError
        If there is no such type of device.
    """

    devtype2str: ClassVar[dict[int, str]] = {1: "cpu", 2: "gpu", 3: "cpu_pinned"}
    devstr2type: ClassVar[dict[str, int]] = {"cpu": 1, "gpu": 2, "cpu_pinned": 3}

    def __init__(self, device_type: str | Context, device_id: int = 0) -> None:
        if isinstance(device_type, Context):
            device_type, device_id = device_type.device_type, device_type.device_id
        if device_type not in self.devstr2type:
            raise UsageError(
                f"unknown device type {device_type!r}: choose from {', '.join(self.devstr2type)}"
            )
        if not isinstance(device_id, int) or device_id < 0:
            raise UsageError(f"a device number is an integer from 0, not {device_id!r}")
        self.device_type = device_type
        self.device_id = device_id

    @property
    def device_typeid(self) -> int:
        """The type's number in MXNet."""
        return self.devstr2type[self.device_type]

    @property
    def is_host(self) -> bool:
        """Whether the device shares memory with NumPy."""
        return self.device_type != "gpu"

    def device(self) -> Any:
        """The back end's device behind this context (loads the back end).

        Raises
        ------
        DeviceError
            If the device is not there or its back end cannot be loaded.
        """
        from minpy.runtime.backends import device_for

        return device_for(self.device_type, self.device_id)

    def as_mxnet_context(self) -> Any:
        """The ``mxnet.Context`` of the same device."""
        from minpy.runtime.backends.mxnet import load

        return load().Context(self.device_type, self.device_id)

    def where_mxnet_runs(self) -> Any:
        """The ``mxnet.Context`` where MXNet's operators run: this device, or the host if MXNet does not drive it."""
        from minpy.runtime.backends.mxnet import load

        here = self.is_host or self.device().backend == "mxnet"
        return self.as_mxnet_context() if here else load().cpu()

    def __enter__(self) -> Context:
        if not self.is_host:
            self.device()
            entry.activate(device=True)
        _local.set((*_local.get(), self))
        return self

    def __exit__(self, *exc: object) -> None:
        _local.set(_local.get()[:-1])
        if not self.is_host:
            entry.deactivate(device=True)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Context):
            return NotImplemented
        return (self.device_type, self.device_id) == (other.device_type, other.device_id)

    def __hash__(self) -> int:
        return hash((self.device_type, self.device_id))

    def __str__(self) -> str:
        return f"{self.device_type}({self.device_id})"

    __repr__ = __str__


def cpu(device_id: int = 0) -> Context:
    """The host: NumPy, or MXNet's CPU kernels where the policy asks for them.

    Parameters
    ----------
    device_id : int
        Taken for the original's sake: there is one host.

    Returns
    -------
    Context
    """
    return Context("cpu", device_id)


def gpu(device_id: int = 0) -> Context:
    """A GPU; it is looked for when the context is entered, set or first used.

    Parameters
    ----------
    device_id : int
        Its number, from 0.

    Returns
    -------
    Context
    """
    return Context("gpu", device_id)


# The contexts entered in this thread or task, innermost last.
_local: ContextVar[tuple[Context, ...]] = ContextVar("minpy_context", default=())
_global = Context("cpu", 0)


def current_context() -> Context:
    """The context of this thread or task, else the one that `set_context` gave the process."""
    entered = _local.get()
    return entered[-1] if entered else _global


def set_context(ctx: Context) -> None:
    """Make `ctx` the process's default.

    Parameters
    ----------
    ctx : Context
        As `cpu` and `gpu` give it.

    Raises
    ------
    UsageError
        If `ctx` is not a `Context`.
    DeviceError
        If the device is not there; the default stays as it was.
    """
    global _global
    if not isinstance(ctx, Context):
        raise UsageError(f"set_context takes a context such as cpu() or gpu(0), not {ctx!r}")
    if not ctx.is_host:
        ctx.device()
        entry.activate(device=True)
    if not _global.is_host:
        entry.deactivate(device=True)
    _global = ctx
