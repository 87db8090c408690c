"""`Array`: a view of a storage that lives on a device or is being differentiated. Everything else is a
plain ``numpy.ndarray``.
"""

from __future__ import annotations

import builtins
import math
import operator
import sys
from typing import Any

import numpy as np

from minpy.errors import TraceError
from minpy.runtime.geometry import covers, is_basic, is_plainly_basic
from minpy.runtime.record import Line, current_tape, formats_text, replace_in, tape_of
from minpy.runtime.storage import NEEDED, Storage

_REMEDY = (
    "Use minpy.stop_gradient(x) or x.asnumpy() if that is meant; "
    "if the code should be differentiated, run it rewritten (minpy run, minpy.accelerate)"
)


class Array:
    """An array whose buffer NumPy alone cannot keep: on a device, or on a tape.

    Behaves as a ``numpy.ndarray`` (as a NumPy scalar where NumPy would have returned one), and says that it
    is one to ``isinstance``.

    Attributes
    ----------
    window : numpy.ndarray
        The geometry: a view of the storage's host memory. Its contents count only while the storage's host copy is
        current; use `contents` for the contents.
    storage : Storage
        The buffer.
    scalar : bool or int
        NumPy would have given a scalar here: immutable, hashable. An `int` (`storage.PYTHON_SCALAR`): Python would have
        given a number.
    path : tuple or None
        Of a view that was taken from the whole storage by basic indices: these, in order.

    Notes
    -----
    What a small operation costs on a tape is mostly the making of its result, so `minpy.runtime.fast` makes an
    array without a storage: `tape` and `cell`, which are the storage's where there is one, are its own, until
    somebody asks for the storage. Only then (`_storage` is not None) it is made.
    """

    __slots__ = ("__weakref__", "_storage", "cell", "path", "scalar", "tape", "window")
    __array_priority__ = 100.0

    def __init__(self, window: np.ndarray, storage: Storage, scalar: int = False, path: Any = None) -> None:
        self.window, self._storage, self.scalar, self.path = window, storage, scalar, path

    @property
    def storage(self) -> Storage:
        """The buffer."""
        storage = self._storage
        if storage is None:
            storage = Storage(self.window)
            storage.tape, storage.cell = self.tape, self.cell
            self._storage, self.path = storage, None
        return storage

    # ----- what it passes for ---------------------------------------------------------------------

    @property
    def __class__(self) -> type:  # isinstance, match and singledispatch ask this
        scalar = self.scalar
        if not scalar:
            return np.ndarray
        kind = self.window.dtype
        return kind.type if scalar is True else complex if kind.kind == "c" else float

    @property
    def contents(self) -> np.ndarray:
        """The contents on the host, made current (not a copy, and not to be written to: the tape would not know)."""
        storage = self._storage
        if storage is not None and storage.remote is not None:
            storage.to_host()
        return self.window

    shape = property(lambda self: self.window.shape, lambda self, shape: _reshape_in_place(self, shape))
    dtype = property(lambda self: self.window.dtype)
    ndim = property(lambda self: self.window.ndim)
    size = property(lambda self: self.window.size)
    strides = property(lambda self: self.window.strides)
    itemsize = property(lambda self: self.window.itemsize)
    nbytes = property(lambda self: self.window.nbytes)
    flags = property(lambda self: self.window.flags)
    base = property(lambda self: None if self.window is self.storage.host else self)
    T = property(lambda self: self.transpose())
    real = property(
        lambda self: _part(self, "real"),
        lambda self, v: writes.write(dispatch.apply("real", self), None, v),
    )
    imag = property(
        lambda self: _part(self, "imag"),
        lambda self, v: writes.write(dispatch.apply("imag", self), None, v),
    )
    flat = property(lambda self: Flat(self), lambda self, v: _set_flat(self, v))

    @property
    def context(self) -> Any:
        """The context of the device that holds it, of the host if none does."""
        from minpy.runtime.context import Context, cpu

        device = self.storage.device
        return cpu() if device is None else Context(device.device_type, device.device_id)

    def asnumpy(self) -> np.ndarray:
        """A copy as a plain ``numpy.ndarray``; no gradient flows through it."""
        return np.array(self._seen())

    def wait_to_read(self) -> None:
        """Wait until pending device work on it is done."""
        if self.storage.device is not None:
            self.storage.device.synchronize()

    # ----- protocols ------------------------------------------------------------------------------

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if tape_of(self.storage) is not None:
            from minpy.runtime.scientific import in_library

            raise TraceError(
                f"a value that is being differentiated (shape {self.shape}, {self.dtype}) would become a "
                "plain array, and its gradient would "
                f"be lost, at {Line()}. {in_library()}{_REMEDY}"
            )
        if copy or (dtype is not None and dtype != self.dtype) or self.scalar:
            return np.array(self.contents, dtype=dtype)
        self.storage.share()
        return self.window

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return protocols.ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: tuple, kwargs: dict) -> Any:
        if any(t is not Array and t.__array_function__ is not np.ndarray.__array_function__ for t in types):
            return NotImplemented  # a class that handles NumPy's functions itself
        return protocols.function(function, args, kwargs)

    def __reduce_ex__(self, protocol: int) -> Any:
        return self._plain().__reduce_ex__(protocol)

    def __copy__(self) -> Array:
        return self if self.scalar else self.copy()  # (numbers do not change)

    def __deepcopy__(self, memo: dict) -> Array:
        return self if self.scalar else self.copy()

    # ----- text and Python scalars ----------------------------------------------------------------

    def _plain(self) -> Any:
        """The array, or the number, itself."""
        return host(self, False)

    def _seen(self) -> np.ndarray:
        """The contents to be looked at: of a part of what only a device has, a copy."""
        storage = self._storage
        if storage is not None and not storage.host_ok and 2 * self.window.nbytes <= storage.host.nbytes:
            found = device_calls.part(storage, self.window) if self.window.ndim else None
            if found is not None:
                return found
        return self.contents

    def __repr__(self) -> str:
        return repr(self._plain() if self.scalar else self._seen())

    def __str__(self) -> str:
        return str(self._plain() if self.scalar else self._seen())

    def __format__(self, spec: str) -> str:
        return format(self._plain() if self.scalar else self._seen(), spec)

    def __hash__(self) -> int:
        return hash(self._plain())

    def __len__(self) -> int:
        return len(self._plain() if self.scalar else self.window)

    def __bool__(self) -> bool:
        return bool(self._plain())

    def __contains__(self, value: Any) -> bool:
        if self._storage is not None and not self._storage.host_ok:
            return bool((self == value).any())  # where it is; as NumPy says it
        return (host(value) if type(value) is Array else value) in self.contents

    def __iter__(self) -> Any:
        if not self.window.ndim:
            return iter(self._plain())
        return (self[i] for i in range(len(self.window)))

    def _number(self, kind: Any) -> Any:
        if tape_of(self.storage) is not None and not (kind is float and formats_text(sys._getframe(2))):
            raise TraceError(
                f"{kind.__name__}() of a value that is being differentiated, or storing it into a plain array, would "
                f"cut its gradient, at {Line()}. {_REMEDY}"
            )
        return kind(self._plain())

    def __float__(self) -> float:
        return self._number(float)

    def __complex__(self) -> complex:
        return self._number(complex)

    def __int__(self) -> int:
        return int(self._plain())  # piecewise constant: nothing is lost

    def __floor__(self) -> int:
        return math.floor(self._plain())

    def __ceil__(self) -> int:
        return math.ceil(self._plain())

    def __trunc__(self) -> int:
        return math.trunc(self._plain())

    def __index__(self) -> int:
        return operator.index(self._plain())

    def item(self, *args: Any) -> Any:
        """An element as a Python scalar (cuts the gradient, and says so, while a tape records)."""
        if tape_of(self.storage) is not None:
            return self._number(float)
        storage = self._storage
        if storage is not None and not storage.host_ok:
            self.window.item(*args)  # raises what NumPy raises; what is read is stale
            index = args[0] if len(args) == 1 else args or 0
            if type(index) is not tuple:
                index = np.unravel_index(operator.index(index) % self.size, self.shape)
            found = device_calls.element(self, index)
            if found is not None:
                return found.item()
        return self.contents.item(*args)

    def tolist(self) -> Any:
        """The contents as nested Python lists."""
        if tape_of(self.storage) is not None:
            self._number(list)
        return self._seen().tolist()

    # ----- indexing -------------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> Any:
        plain = is_plainly_basic(index)
        if not plain:
            held = self._storage
            if held is None or held.remote is None or held.remote.handle is None:
                index = host(index)  # else an index that lives on a device stays there
        if self.scalar:
            self._plain()[index]  # raises what a scalar raises
        if plain or is_basic(index):
            window = self.window
            part = window[index]
            if type(part) is np.ndarray:
                storage = self.storage
                if window is storage.host:
                    path: Any = (index,)
                else:
                    path = self.path
                    path = None if path is None else (*path, index)
                return Array(part, storage, False, path)
            storage = self._storage
            if storage is None:
                tape = self.tape
            else:
                tape = storage.tape if storage.remote is None else None
            if (
                tape is not None
                and tape.open
                and tape.put is not None
                and not entry.others
                and part.dtype is window.dtype
            ):
                return direct.item(tape, self, index, part)
            if storage is not None and not storage.host_ok and tape_of(storage) is None:
                found = device_calls.element(self, index)
                if found is not None:
                    return found
        return dispatch.apply("getitem", self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        if self.scalar:
            raise TypeError(
                f"'{self.__class__.__module__}.{self.__class__.__name__}' object does not support item assignment"
            )
        writes.write(self, index, value)

    def __delitem__(self, index: Any) -> None:
        del self._plain()[index]  # raises what an array raises

    # ----- methods that are not functions of the same name ----------------------------------------

    def astype(
        self, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True
    ) -> Any:
        """As ``numpy.ndarray.astype``."""
        if not copy and np.dtype(dtype) == self.dtype:
            return self
        return dispatch.apply("astype", self, dtype, casting=casting)

    def reshape(self, *shape: Any, order: str = "C") -> Any:
        """As ``numpy.ndarray.reshape``."""
        return dispatch.apply("reshape", self, shape[0] if len(shape) == 1 else shape, order=order)

    def transpose(self, *axes: Any) -> Any:
        """As ``numpy.ndarray.transpose``."""
        if not axes:
            return dispatch.apply("transpose", self)
        return dispatch.apply("transpose", self, axes[0] if len(axes) == 1 else axes)

    def flatten(self, order: str = "C") -> Any:
        """As ``numpy.ndarray.flatten``: a copy."""
        return dispatch.apply("copy", dispatch.apply("ravel", self, order))

    def copy(self, order: str = "C") -> Any:
        """As ``numpy.ndarray.copy``."""
        return dispatch.apply("copy", self, order=order)

    def fill(self, value: Any) -> None:
        """As ``numpy.ndarray.fill``."""
        writes.write(self, None, value)

    def sort(self, axis: int = -1, kind: str | None = None, order: Any = None) -> None:
        """As ``numpy.ndarray.sort``: in place."""
        writes.write(self, None, dispatch.apply("sort", self, axis, kind))

    def partition(self, kth: Any, axis: int = -1, kind: str = "introselect", order: Any = None) -> None:
        """As ``numpy.ndarray.partition``: in place."""
        writes.write(self, None, dispatch.apply("partition", self, kth, axis, kind))

    def put(self, indices: Any, values: Any, mode: str = "raise") -> None:
        """As ``numpy.ndarray.put``."""
        dispatch.apply("put", self, indices, values, mode)

    def compress(self, condition: Any, axis: int | None = None, out: Any = None) -> Any:
        """As ``numpy.ndarray.compress``."""
        return dispatch.apply("compress", condition, self, axis=axis, out=out)

    def clip(self, min: Any = None, max: Any = None, out: Any = None, **kwargs: Any) -> Any:
        """As ``numpy.ndarray.clip``."""
        return dispatch.apply("clip", self, min, max, out=out, **kwargs)

    def view(self, dtype: Any = None, type: Any = None) -> Any:
        """As ``numpy.ndarray.view``: the same bytes, perhaps as another dtype."""
        if isinstance(dtype, builtins.type) and issubclass(dtype, np.ndarray):
            dtype, type = None, dtype
        other = dtype is not None and np.dtype(dtype) != self.dtype
        if (other or type not in (None, np.ndarray)) and tape_of(self.storage) is not None:
            raise TraceError(
                f"a value that is being differentiated cannot be looked at as {dtype if other else type.__name__}, "
                f"at {Line()}. Use x.astype(...), or minpy.stop_gradient(x) if no gradient should flow"
            )
        if self.scalar or type not in (None, np.ndarray):
            plain = (
                self._plain()
                if self.scalar
                else self.storage.share()
                if covers(self.window, self.storage.host)
                else self.contents
            )
            return plain.view(*[a for a in (dtype, type) if a is not None])
        return Array(self.window.view() if dtype is None else self.window.view(dtype), self.storage)

    def __matmul__(self, other: Any) -> Any:
        return protocols.binary("matmul", self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return protocols.binary("matmul", other, self)

    def __divmod__(self, other: Any) -> Any:
        return numbers.quotient(self, other)

    def __rdivmod__(self, other: Any) -> Any:
        return numbers.quotient(other, self)

    def __pow__(self, other: Any, modulus: Any = None) -> Any:
        return NotImplemented if modulus is not None else protocols.binary("power", self, other)

    def __rpow__(self, other: Any, modulus: Any = None) -> Any:
        return NotImplemented if modulus is not None else protocols.binary("power", other, self)

    def __ipow__(self, other: Any) -> Any:
        return NotImplemented if self.scalar else protocols.power_in_place(self, other)

    def __round__(self, ndigits: int | None = None) -> Any:
        if self.scalar and (ndigits is None or type(self.scalar) is int):
            return round(self._plain(), ndigits)  # piecewise constant: nothing is lost
        return dispatch.apply("round", self, ndigits or 0)


def _part(array: Array, name: str) -> Any:
    """The real or the imaginary part."""
    found = dispatch.apply(name, array)
    return numbers.python(found) if type(array.scalar) is int else found


# ----- contents and elements ----------------------------------------------------------------------


def host(value: Any, kept: bool = True) -> Any:
    """`value` with every `Array` in it (also inside lists, tuples, dicts and slices) replaced by its
    contents on the host.

    With `kept` they may become part of a record (an index, a mask, an option), and so must come back in the sweep.
    """
    kind = type(value)
    if kind is Array:
        if kept:
            storage = value._storage
            (value.cell if storage is None else storage.cell)[NEEDED] = True
        if value.scalar:
            return value.contents.item() if type(value.scalar) is int else value.contents[()]
        return value.contents
    if kind is tuple or kind is list:
        return kind([host(v, kept) for v in value])
    if kind is slice:
        return slice(host(value.start, kept), host(value.stop, kept), host(value.step, kept))
    if kind is dict:
        return {key: host(v, kept) for key, v in value.items()}
    return value


def _reshape_in_place(array: Array, shape: Any) -> None:
    view = array.window.view()
    view.shape = shape
    tape = current_tape()
    if tape is not None:
        # What was recorded before refers to the array as it was.
        before = Array(array.window, array.storage, array.scalar, array.path)
        replace_in(tape, array, before)
    else:
        array.storage  # noqa: B018 - made while the window is the whole of it
    array.path = None
    array.window = view


class Flat:
    """``ndarray.flat``: the elements in C order, whatever the layout; writes go to the array."""

    __slots__ = ("base",)

    def __init__(self, base: Array) -> None:
        self.base = base

    def __getitem__(self, index: Any) -> Any:
        return self.base.ravel()[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        places = np.arange(self.base.size)[host(index)]
        if type(value) is not Array:
            value = np.asarray(value)
        if np.ndim(places) and value.size not in (1, places.size):
            value = dispatch.apply("resize", value, places.shape)  # repeated or cut off
        elif np.ndim(places):
            value = dispatch.apply("reshape", value, places.shape if value.size > 1 else (1,) * places.ndim)
        elif value.ndim:
            value = value.reshape(-1)[0]
        writes.write(self.base, np.unravel_index(places, self.base.shape), value)

    def __len__(self) -> int:
        return self.base.size

    def __iter__(self) -> Any:
        return iter(self.base.ravel())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.base.ravel(), dtype=dtype)

    def copy(self) -> Array:
        """A 1-d copy."""
        return self.base.flatten()


def _set_flat(array: Array, value: Any) -> None:
    value = value if type(value) is Array else np.asarray(value)
    if value.size != array.size:
        value = dispatch.apply("resize", value, (array.size,))
    writes.write(array, None, value.reshape(array.shape))


# At the end: they need the class, whichever module is imported first.
from minpy.runtime import device_calls, direct, dispatch, entry, numbers, operators, protocols, writes  # noqa: E402, F401
