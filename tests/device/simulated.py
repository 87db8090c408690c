"""A simulated GPU: a module with the part of CuPy's interface that MinPy uses, and memory of its own.

It is stricter than a GPU. What it holds cannot become a NumPy array, a number or a truth value by accident: there is no
``__array__``, no buffer, no ``__float__`` that would work; functions refuse NumPy arrays, arrays of another card, and
any use outside of the card's stream. Which functions and ufunc loops there are, and with which parameters, was recorded
from CuPy 13.6 (``cupy_api.json``): a dtype is what CuPy's own rule gives. Copies are counted. Memory is limited. A
kernel can be made to fail, at once or when the stream is waited for; then its result is garbage, as it would be.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import simulated_nccl

API = json.loads(pathlib.Path(__file__).with_name("cupy_api.json").read_text())


class CUDARuntimeError(RuntimeError):
    """What CUDA says."""


class CUDADriverError(RuntimeError):
    """What the driver says."""


class OutOfMemoryError(MemoryError):
    """No room on the card."""


class Card:
    """What one simulated GPU is and has seen."""

    def __init__(self, number: int, memory: int) -> None:
        self.number, self.total, self.used = number, memory, 0
        self.uploads = self.downloads = self.kernels = self.scalars = self.arrived = 0
        self.waited = 0  # how many of the kernels somebody has waited for
        self.uploaded = self.downloaded = 0
        self.blocks: dict[int, weakref.ref] = {}  # what memory is taken, by where it starts
        self.pending: str | None = None  # an error that nobody has met yet
        self.dead: str | None = None
        # Hooks: called with the name of each kernel; may raise.
        self.before: Callable[[str], None] | None = None
        self.poison: Callable[[str], bool] | None = None

    def meet(self) -> None:
        """Wait for the work: whatever failed is said now, and ever after."""
        if self.pending is not None:
            self.dead = self.dead or self.pending
        if self.dead is not None:
            raise CUDARuntimeError(self.dead)


class Where(threading.local):
    """The card and the stream in which this thread works."""

    def __init__(self) -> None:
        self.cards: list[Card] = []
        self.streams: list[Any] = []
        self.pools: list[Any] = []


class Data:
    """A place in a card's memory."""

    def __init__(self, block: np.ndarray, offset: int) -> None:
        self.block, self.offset = block, offset

    @property
    def ptr(self) -> int:
        return self.block.__array_interface__["data"][0] + self.offset

    def __add__(self, nbytes: int) -> Data:
        return Data(self.block, self.offset + nbytes)

    def copy_from_device_async(self, source: Data, nbytes: int, stream: Stream) -> None:
        """Copy from this card or another one, whose work so far the stream must wait for."""
        mine, theirs = stream.machine.owner(self), stream.machine.owner(source)
        if stream.machine.here() is not mine or stream.card is not mine:
            raise AssertionError("a copy arrives in the stream of another card")
        stream.reads(theirs)
        mine.arrived += nbytes
        there = source.block[source.offset : source.offset + nbytes]
        self.block[self.offset : self.offset + nbytes] = there


class Event:
    """A moment in a stream."""

    def __init__(self, disable_timing: bool = False) -> None:
        self.stream: Any = None

    def record(self, stream: Any) -> None:
        self.stream, self.kernels = stream, stream.card.kernels

    def synchronize(self) -> None:
        if self.stream is not None:
            self.stream.synchronize()


class Stream:
    """The work of a card, in order; it knows which work of other cards it has waited for."""

    machine: Machine

    def __init__(self, non_blocking: bool = False) -> None:
        self.card = self.machine.where.cards[-1]
        self.ptr = 1000 + self.card.number
        self.seen: dict[int, int] = {}

    def __enter__(self) -> Any:
        self.machine.where.streams.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        self.machine.where.streams.pop()

    def synchronize(self) -> None:
        self.card.waited = self.card.kernels
        self.card.meet()

    def record(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        self.seen[event.stream.card.number] = event.kernels

    def reads(self, card: Card) -> None:
        """Fail unless all work of a card was waited for."""
        if card is not self.card and self.seen.get(card.number, -1) < card.kernels:
            raise AssertionError("a copy from another card does not wait for what makes its source")


class Machine:
    """Some simulated GPUs, and the module ``cupy`` that drives them."""

    def __init__(self, cards: int = 1, memory: int = 1 << 30) -> None:
        self.cards = [Card(i, memory) for i in range(cards)]
        self.where = Where()
        self.cupy = self._module()

    # ----- where work is done

    def here(self) -> Card:
        """The card of this thread, in whose stream and pool it must be."""
        where = self.where
        if not where.cards or not where.streams or not where.pools:
            raise AssertionError("device memory is used outside of the device's stream")
        card = where.cards[-1]
        if where.streams[-1].card is not card:
            raise AssertionError("the stream is another card's")
        if card.dead is not None:
            raise CUDARuntimeError(card.dead)
        return card

    def launch(self, name: str) -> Card:
        """Count a kernel; fail if that is wanted."""
        card = self.here()
        card.kernels += 1
        if card.before is not None:
            card.before(name)
        return card

    def new(self, array: np.ndarray, name: str = "") -> Far:
        """An array on the card of this thread with the contents of `array`, which becomes its memory."""
        card = self.here()
        if self.where.pools[-1].limit and card.used + array.nbytes > min(
            card.total, self.where.pools[-1].limit
        ):
            raise OutOfMemoryError(f"Out of memory allocating {array.nbytes:,} bytes")
        block = np.frombuffer(bytearray(max(array.nbytes, 1)), np.uint8)
        order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        window = np.ndarray(array.shape, array.dtype, block, 0, None, order)
        window[...] = array
        if card.poison is not None and name and card.poison(name):
            card.pending = "cudaErrorIllegalAddress: an illegal memory access was encountered"
            block[:] = 0xAB
        card.used += array.nbytes
        start = block.__array_interface__["data"][0]
        card.blocks[start] = weakref.ref(block)
        weakref.finalize(block, self._given_back, card, start, array.nbytes)
        return Far(self, card, window, Data(block, 0), None)

    @staticmethod
    def _given_back(card: Card, start: int, nbytes: int) -> None:
        card.used -= nbytes
        card.blocks.pop(start, None)

    def owner(self, data: Data) -> Card:
        """The card that memory is on."""
        start = data.block.__array_interface__["data"][0]
        return next(card for card in self.cards if start in card.blocks)

    def memory_at(self, card: Card, pointer: int, nbytes: int) -> np.ndarray:
        """The bytes of a card's memory from an address on."""
        for start, block in card.blocks.items():
            found = block()
            if found is not None and start <= pointer and pointer + nbytes <= start + found.size:
                return found[pointer - start : pointer - start + nbytes]
        raise AssertionError(f"no array of card {card.number} is at that address")

    # ----- the module

    def _module(self) -> Any:
        module = types.SimpleNamespace(
            __name__="cupy", __version__=API["version"], ndarray=self._ndarray, newaxis=None
        )
        for name, types_ in API["ufuncs"].items():
            if hasattr(np, name):  # NumPy 2 has dropped some
                _put(module, name, Ufunc(self, name, types_.split()))
        for name, parameters in API["functions"].items():
            if hasattr(np, name.partition(".")[0]):
                _put(module, name, Function(self, name, parameters.split()))
        module.asarray = self._asarray
        module.may_share_memory = lambda a, b: (
            isinstance(a, Far) and isinstance(b, Far) and a._data.block is b._data.block
            and np.may_share_memory(a._a, b._a)
        )  # fmt: skip
        module.ascontiguousarray = lambda a: a if a._a.flags.c_contiguous else a.copy()
        module.cuda = self._cuda()
        return module

    def _ndarray(self, shape: Any, dtype: Any, memptr: Data, strides: Any) -> Far:
        if not isinstance(memptr, Data):
            raise TypeError("memptr is no memory of a device")
        window = np.ndarray(shape, dtype, memptr.block, memptr.offset, strides)
        return Far(self, None, window, memptr, memptr.block)

    def _asarray(self, value: Any) -> Far:
        if isinstance(value, Far):
            return value
        card = self.here()
        card.uploads += 1
        card.uploaded += np.asarray(value).nbytes
        return self.new(np.array(value))

    def _cuda(self) -> Any:
        machine, where = self, self.where

        class Device:
            def __init__(self, number: int) -> None:
                self.id = number

            def __enter__(self) -> Any:
                where.cards.append(machine.cards[self.id])
                return self

            def __exit__(self, *exc: object) -> None:
                where.cards.pop()

        class MemoryPool:
            def __init__(self) -> None:
                self.limit, self.freed = 0, 0

            def malloc(self, size: int) -> None:
                raise AssertionError("not called by name")

            def set_limit(self, size: int) -> None:
                self.limit = size

            def free_all_blocks(self) -> None:
                self.freed += 1

            def used_bytes(self) -> int:
                return where.cards[-1].used if where.cards else 0

        @contextlib.contextmanager
        def using_allocator(malloc: Any) -> Iterator[None]:
            where.pools.append(malloc.__self__)
            try:
                yield
            finally:
                where.pools.pop()

        def mem_get_info() -> tuple[int, int]:
            card = where.cards[-1]
            return card.total - card.used, card.total

        return types.SimpleNamespace(
            Device=Device, Stream=type("Stream", (Stream,), {"machine": machine}), Event=Event,
            MemoryPool=MemoryPool, using_allocator=using_allocator,
            alloc_pinned_memory=bytearray, nccl=simulated_nccl.module(machine),
            memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
            driver=types.SimpleNamespace(CUDADriverError=CUDADriverError),
            runtime=types.SimpleNamespace(
                CUDARuntimeError=CUDARuntimeError, getDeviceCount=lambda: len(machine.cards), memGetInfo=mem_get_info
            ),
        )  # fmt: skip


def _put(module: Any, name: str, value: Any) -> None:
    *parents, last = name.split(".")
    for parent in parents:
        if not hasattr(module, parent):
            setattr(module, parent, types.SimpleNamespace())
        module = getattr(module, parent)
    setattr(module, last, value)


class Far:
    """An array in a card's memory. Nothing of it comes to the host but through `get`."""

    __slots__ = ("__weakref__", "_a", "_data", "_machine", "base", "card")
    __array_priority__ = 1000.0
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, machine: Machine, card: Card | None, array: np.ndarray, data: Data, base: Any) -> None:
        self._machine, self._a, self._data, self.base = machine, array, data, base
        self.card = card if card is not None else machine.here() if machine.where.cards else None

    shape = property(lambda self: self._a.shape)
    strides = property(lambda self: self._a.strides)
    dtype = property(lambda self: self._a.dtype)
    ndim = property(lambda self: self._a.ndim)
    size = property(lambda self: self._a.size)
    itemsize = property(lambda self: self._a.itemsize)
    nbytes = property(lambda self: self._a.nbytes)
    flags = property(lambda self: self._a.flags)
    data = property(lambda self: self._data)
    T = property(lambda self: self._view(self._a.T))

    def _view(self, array: np.ndarray) -> Far:
        start = array.__array_interface__["data"][0] - self._data.block.__array_interface__["data"][0]
        return Far(self._machine, self.card, array, Data(self._data.block, start), self)

    def _implicit(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    __array__ = __array_ufunc__ = __array_function__ = _implicit
    __bool__ = __float__ = __int__ = __index__ = __complex__ = __iter__ = __len__ = __contains__ = _implicit
    __array_interface__ = __array_struct__ = property(_implicit)
    item = tolist = _implicit

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the simulated device has no attribute {name!r} of arrays")

    def set(self, array: np.ndarray, stream: Any = None) -> None:
        """Copy from the host."""
        if type(array) is not np.ndarray or array.dtype != self.dtype or array.shape != self.shape:
            raise TypeError("only a NumPy array of the same shape and dtype can be set")
        if not self._a.flags.c_contiguous:
            raise RuntimeError("Cannot set to non-contiguous array")
        card = self._machine.here()
        card.uploads += 1
        card.uploaded += array.nbytes
        self._a[...] = array

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> np.ndarray:
        """Copy to the host."""
        card = self._machine.here()
        if blocking:
            card.meet()
        card.downloads += 1
        card.downloaded += self.nbytes
        if out is None:
            return np.array(self._a, order=order)
        if out.shape != self.shape or out.dtype != self.dtype or not out.flags.forc:
            raise ValueError("Shape or dtype mismatch, or out is not contiguous")
        out[...] = self._a
        return out

    def copy(self) -> Far:
        """Memory of its own, in C order."""
        self._machine.launch("copy")
        return self._machine.new(np.ascontiguousarray(self._a).reshape(self.shape), "copy")

    def astype(self, dtype: Any, copy: bool = True) -> Far:
        """Converted."""
        if not copy and self.dtype == dtype:
            return self
        self._machine.launch("astype")
        with np.errstate(all="ignore"):
            return self._machine.new(self._a.astype(dtype), "astype")

    def reshape(self, *shape: Any) -> Far:
        """As NumPy's: a view where that can be."""
        shape = shape[0] if len(shape) == 1 else shape
        made = self._a.reshape(shape)
        if np.may_share_memory(made, self._a):
            return self._view(made)
        self._machine.launch("reshape")
        return self._machine.new(made, "reshape")

    def transpose(self, *axes: int) -> Far:
        """The axes in another order: a view."""
        return self._view(self._a.transpose(*axes))

    def __getitem__(self, index: Any) -> Far:
        plain = _index(self, index)
        found = self._a[plain]
        if isinstance(found, np.ndarray) and np.may_share_memory(found, self._a):
            return self._view(found)
        if not isinstance(found, np.ndarray) and not _fancy(index):
            return self._view(self._a[(*plain, ...) if type(plain) is tuple else (plain, ...)])
        self._machine.launch("getitem")
        return self._machine.new(np.asarray(found), "getitem")

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, np.ndarray):
            raise TypeError("NumPy arrays cannot be written into device arrays")
        self._machine.launch("setitem")
        with np.errstate(all="ignore"):
            self._a[_index(self, index)] = value._a if isinstance(value, Far) else value


def _fancy(index: Any) -> bool:
    return any(isinstance(p, Far) for p in (index if type(index) is tuple else (index,)))


def _index(array: Far, index: Any) -> Any:
    """An index without device arrays; integers that are out of bounds wrap around, as on the device."""
    parts = list(index) if type(index) is tuple else [index]
    for part in parts:
        if isinstance(part, (np.ndarray, list)):
            raise TypeError(f"a {type(part).__name__} among the indices of a device array")
    takes = sum(p is not None and p is not Ellipsis for p in parts)
    axis = 0
    for i, part in enumerate(parts):
        if part is Ellipsis:
            axis = array.ndim - (takes - axis)
        elif isinstance(part, Far):
            parts[i] = part._a if part.dtype == bool else part._a % max(array.shape[axis], 1)
            axis += part.ndim if part.dtype == bool else 1
        elif part is not None:
            axis += 1
    return tuple(parts) if type(index) is tuple else parts[0]


class Function:
    """A function of CuPy's: its parameters, and NumPy's arithmetic."""

    def __init__(self, machine: Machine, name: str, parameters: list[str]) -> None:
        self.machine, self.name = machine, name
        self.names = {p.strip("=!/*") for p in parameters}
        self.open = any(p.startswith("**") for p in parameters)
        self.most = 10**6 if any(p.startswith("*") and p[1] != "*" for p in parameters) else len(
            [p for p in parameters if p[0] not in "!*"]
        )  # fmt: skip
        self.plain: Any = np
        for part in name.split("."):
            self.plain = getattr(self.plain, part)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        unknown = set(kwargs) - self.names
        if len(args) > self.most or (unknown and not self.open):
            raise TypeError(f"cupy.{self.name} takes no {', '.join(unknown) or f'{len(args)} arguments'}")
        if self.name != "empty":  # no work
            self.machine.launch(self.name)
        with np.errstate(all="ignore"):
            result = self.plain(*map(self.near, args), **{k: self.near(v) for k, v in kwargs.items()})
        return self.far(result, [a for a in args if isinstance(a, Far)])

    def near(self, value: Any) -> Any:
        if isinstance(value, Far):
            if value.card is not self.machine.here():
                raise AssertionError(f"an array of card {value.card and value.card.number} on another one")
            return value._a
        if isinstance(value, np.ndarray):
            raise TypeError(f"Unsupported type {type(value)}")
        if type(value) in (list, tuple):
            return type(value)(map(self.near, value))
        return value

    def far(self, result: Any, given: list[Far]) -> Any:
        if type(result) in (list, tuple):
            return type(result)([self.far(r, given) for r in result])
        result = np.asarray(result)
        for each in given:
            if result is each._a:
                return each
            if np.may_share_memory(result, each._a):
                return each._view(result)
        return self.machine.new(result, self.name)


class Ufunc(Function):
    """A ufunc of CuPy's: its loops, of which the first that takes the operands is used."""

    def __init__(self, machine: Machine, name: str, loops: list[str]) -> None:
        self.machine, self.name = machine, name
        self.loops = [loop.split("->") for loop in loops]
        self.plain = getattr(np, name)

    def __call__(self, *args: Any, dtype: Any = None, out: Far | None = None) -> Any:
        self.machine.launch(self.name)
        near = [self.near(a) for a in args]
        if not all(isinstance(a, (np.ndarray, np.generic, bool, int, float, complex)) for a in near):
            raise TypeError(f"cupy.{self.name}: an operand is neither an array nor a number")
        kinds = [
            np.min_scalar_type(a) if not isinstance(a, (np.ndarray, np.generic)) else a.dtype for a in near
        ]
        for loop, made in self.loops:
            if len(loop) != len(near):
                raise TypeError(f"cupy.{self.name} takes {len(loop)} operands")
            if all(np.can_cast(k, c) for k, c in zip(kinds, loop, strict=True)):
                with np.errstate(all="ignore"):
                    wide = [np.asarray(a).astype(c) for a, c in zip(near, loop, strict=True)]
                    found = np.asarray(self.plain(*wide)).astype(made)
                    if out is None:
                        return self.machine.new(found, self.name)
                    if out.dtype != found.dtype or out.shape != found.shape:
                        raise ValueError("out is of another shape or dtype")
                    self.near(out)[...] = found
                    return out
        raise TypeError(f"cupy.{self.name} is not supported for {', '.join(map(str, kinds))}")

    def at(self, target: Far, index: Any, value: Any) -> None:
        """In place, repeated places accumulating."""
        self.machine.launch(f"{self.name}.at")
        self.plain.at(target._a, _index(target, index), self.near(value))
