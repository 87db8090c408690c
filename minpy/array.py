"""Arrays under the original's names, and what its arrays could be asked for.

In the original every array was an object of its own. Here arrays on the host are plain ``numpy.ndarray``, and
`minpy.Array` exists for those on a device or on a tape. So that programs written for the original find what they ask
for, importing this module (``import minpy.numpy`` does) gives plain arrays and NumPy's numbers the few names that the
original's had and NumPy's have not: `asnumpy`, `context`, `wait_to_read` … An object made for it would cost each call
and each operator more than they are worth; this costs nothing. Subclasses of ``ndarray`` do not get them.
"""

from __future__ import annotations

import ctypes
import gc
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from minpy.array_variants import ArrayType
from minpy.errors import GradientError, MinPyWarning, UsageError
from minpy.runtime.array import Array as _Array
from minpy.runtime.array import host
from minpy.runtime.context import Context, current_context
from minpy.runtime.record import current_tape, tape_of
from minpy.runtime.storage import DIFFERENTIABLE, Storage
from minpy.utils import log as _log

__all__ = ["Array", "Number", "Value", "wrap"]

# The copies between memories are told here, from INFO on (`minpy.runtime.profile`).
_log.get_logger(__name__)


# ----- what arrays and numbers can be asked for -------------------------------------------------------------------


def asnumpy(self: Any) -> np.ndarray:
    """A copy as a ``numpy.ndarray``; no gradient flows through it."""
    return np.array(self)


def context(self: Any) -> Context:
    """Where it lives."""
    return Context("cpu")


def identity(self: Any) -> int:
    """A number that no other array or number has as long as this one is there: `id` of the object."""
    return id(self)


def wait_to_read(self: Any) -> None:
    """Wait until pending work on it is done: there is none."""


def has_type(self: Any, atype: int) -> bool:
    """Whether there is a current copy of this kind: ``ArrayType.NUMPY`` or ``ArrayType.MXNET``."""
    kind = _kind(atype)
    if type(self) is not _Array:
        return kind is ArrayType.NUMPY
    storage = self.storage
    return storage.host_ok if kind is ArrayType.NUMPY else storage.handle is not None


def get_data(self: Any, dtype: int) -> Any:
    """The array of a kind that others take: a ``numpy.ndarray`` (the same memory), or an ``mxnet.nd.NDArray`` (a copy).

    No gradient flows through it.
    """
    if _kind(dtype) is ArrayType.NUMPY:
        return _unwrapped(self)
    from minpy.runtime.backends import device_for
    from minpy.runtime.context import current_context

    where = self.context if type(self) is _Array else current_context()
    device = device_for(where.device_type, where.device_id)
    plain = np.asarray(host(self))
    return device.upload(plain).reshape(plain.shape or (1,))


def get_data_mutable(self: Any, dtype: int) -> Any:
    """As `get_data`, to be written to: only the memory of a NumPy array can be."""
    if _kind(dtype) is ArrayType.NUMPY:
        return self if type(self) is np.ndarray else _unwrapped(self)
    raise UsageError(
        "what is written into an NDArray does not come back: write to the array itself, x[...] = value"
    )


def copyto(self: Any, other: Any) -> Any:
    """Copy the contents into another array, or to another device.

    Parameters
    ----------
    other : array or Context

    Returns
    -------
    array
        `other`, or the array there.
    """
    if isinstance(other, Context):
        with other:
            made = np.array(host(self))
            return made if other.is_host else _Array(made, Storage(made, other.device()))
    if not isinstance(other, np.ndarray):
        raise UsageError(f"copyto takes an array or a context, not {type(other).__name__}")
    other[...] = self
    return other


def is_marked_for_bp(self: Any, tape: Any) -> bool:
    """Whether derivatives with respect to it are recorded."""
    return type(self) is _Array and tape_of(self.storage) is not None


def mark_for_bp(self: Any, tape: Any) -> None:
    """Begin to record derivatives with respect to it.

    Raises
    ------
    GradientError
        If it was not wrapped while the tape records (see `wrap`), or has no derivatives.
    """
    current = current_tape()
    if type(self) is not _Array or current is None:
        raise GradientError(
            "only what was wrapped while a tape records (minpy.array.wrap) can be marked; minpy.grad does both"
        )
    if self.dtype.char not in DIFFERENTIABLE:
        raise GradientError(f"an array of {self.dtype} has no derivatives")
    self.storage.tape = current


def val(self: Any) -> Any:
    """The number, as Python's."""
    return self.item()


def _kind(atype: int) -> ArrayType:
    try:
        return ArrayType(atype)
    except ValueError:
        raise UsageError(
            f"the kind of an array is ArrayType.NUMPY or ArrayType.MXNET, not {atype!r}"
        ) from None


_FUNCTIONS = (
    asnumpy, wait_to_read, has_type, get_data, get_data_mutable, copyto, is_marked_for_bp, mark_for_bp,
)  # fmt: skip


class _Asked:
    """A method or property that exact arrays and numbers have, and subclasses have not.

    (A record array has its fields as attributes: one called ``context`` must stay what it is.)
    """

    __slots__ = ("function", "is_property", "name")

    def __init__(self, function: Callable[..., Any], is_property: bool, name: str = "") -> None:
        self.function, self.is_property = function, is_property
        self.name = name or function.__name__

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self.function
        kind = type(instance)
        if kind is not np.ndarray and issubclass(kind, np.ndarray):
            raise AttributeError(f"{kind.__name__!r} object has no attribute {self.name!r}")
        return self.function(instance) if self.is_property else types.MethodType(self.function, instance)


def _give() -> None:
    for function in (*_FUNCTIONS, val):
        if not hasattr(_Array, function.__name__):
            setattr(_Array, function.__name__, property(function) if function is val else function)
    _Array.id = property(identity)  # type: ignore[attr-defined]
    plain = {function.__name__: _Asked(function, False) for function in _FUNCTIONS}
    plain["context"] = _Asked(context, True)
    plain["id"] = _Asked(identity, True, "id")
    for kind, more in ((np.ndarray, {}), (np.number, {"val": _Asked(val, True)}), (np.bool_, {})):
        # A class that C defines has no setattr; its dictionary is behind a proxy.
        (found,) = gc.get_referents(vars(kind))
        for name, value in {**plain, **more}.items():
            if name not in found or type(found[name]).__name__ == _Asked.__name__:
                found[name] = value
        ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))


try:
    _give()
except Exception as error:  # not CPython as we know it
    warnings.warn(
        f"plain arrays have no asnumpy() in this Python ({type(error).__name__}: {error}): "
        "use minpy.core.minpy_to_numpy",
        MinPyWarning,
        stacklevel=2,
    )


# ----- classes ----------------------------------------------------------------------------------------------------


class _Instances(type):
    """Answers ``isinstance`` for the values that stand for the original's."""

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, cls.kinds) and not isinstance(value, bool)

    def __subclasscheck__(cls, kind: type) -> bool:
        return type.__subclasscheck__(cls, kind) or issubclass(kind, cls.kinds)


class Value(metaclass=_Instances):
    """An array or a number."""

    kinds: tuple[type, ...] = (np.ndarray, np.number, np.bool_, float, int)


class Number(Value):
    """A number: NumPy's or Python's. ``Number(val)`` is that number."""

    kinds = (np.number, np.bool_, float, int)

    def __new__(cls, val: Any, context: Context | None = None) -> Any:
        """The number itself, as NumPy's."""
        return val if isinstance(val, (np.number, _Array)) else np.asarray(val)[()]


class Array(Value):
    """An array, wherever it lives.

    ``Array(data, atype)`` is the array `data` itself, or NumPy's copy of an ``NDArray``; in a `context` that is a
    device, an array there.
    """

    kinds = (np.ndarray,)

    def __new__(cls, data: Any, atype: int = ArrayType.NUMPY, context: Context | None = None) -> Any:
        """The array."""
        _kind(atype)
        found = wrap(data)
        if not isinstance(found, np.ndarray):
            raise UsageError(f"Array takes an array, not {type(data).__name__}")
        return found if context is None or context.is_host else copyto(found, context)


def wrap(data: Any) -> Any:
    """What stands for `data` among MinPy's arrays; of an array the same memory.

    Plain arrays stay what they are, unless a tape records (then derivatives may be recorded, see `mark_for_bp`) or
    operators should go to a device (a policy or context that wants one). An ``mxnet.nd.NDArray`` is copied. What is
    neither array nor number comes back as it is.
    """
    if type(data) is _Array:
        return data
    if isinstance(data, (int, float, np.number)) and not isinstance(data, bool):
        if current_tape() is None:
            return data
        boxed = np.asarray(data, float) if isinstance(data, int) else np.asarray(data)
        return _Array(boxed, Storage(boxed), scalar=True)
    if type(data) is np.ndarray:
        if data.dtype.kind not in "biufc" or (current_tape() is None and not _wants_device()):
            return data
        storage = Storage(data)
        storage.shared = True  # the program has the memory too
        return _Array(data, storage)
    if not isinstance(data, np.ndarray) and _is_ndarray_of_mxnet(data):
        return wrap(data.asnumpy())
    return data


def _is_ndarray_of_mxnet(data: Any) -> bool:
    return any(
        kind.__name__ == "NDArray" and kind.__module__.startswith("mxnet.") for kind in type(data).__mro__
    )


def _wants_device() -> bool:
    from minpy.runtime import entry
    from minpy.runtime.policy import current_policy

    return entry.others > 0 and current_policy().wants_device(current_context().is_host)


def _unwrapped(value: Any) -> Any:
    """An array as a plain one: the same memory where it is on the host and off the tape."""
    if type(value) is not _Array:
        return value
    if tape_of(value.storage) is not None:
        return value.asnumpy()
    return np.asarray(value) if not value.scalar else value.contents[()]
