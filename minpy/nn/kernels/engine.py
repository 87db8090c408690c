"""Which engine runs a kernel, and MXNet operators that are kept for their backward run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from minpy.errors import DeviceError
from minpy.nn.kernels import blocked
from minpy.runtime.backends.mxnet import copy_in, host_of, load
from minpy.runtime.policy import current_policy

# Multiplications (or comparisons) below which copies to MXNet and its threads cost more than they save.
LEAST_WORK = 2_000_000
_MANY = 8  # kinds of operators for whose backward run memory is kept
_ROOM = 1 << 26  # bytes that are kept at most for one of them


def mxnet_for(work: int, *arrays: np.ndarray) -> Any:
    """MXNet if it is installed, allowed, and the faster one for so much work on these arrays; else None.

    MXNet's kernels are several times faster in float32, and slower than NumPy's products in float64.
    """
    if work < LEAST_WORK:
        return None
    if any(array.dtype != np.float32 or not array.size for array in arrays):
        return None
    if current_policy().name == "only_numpy":
        return None
    try:
        return load()
    except DeviceError:
        return None


class Kept:
    """An MXNet operator that has run on some arrays, and can give their cotangents.

    On the CPU both work on the same memory: the contents of the arrays and of the result must be what they were when
    `cotangents` are asked for.

    Parameters
    ----------
    mx : module
    operator : callable
        Takes and gives NDArrays.
    arrays : list of numpy.ndarray
    wanted : sequence of bool
        Of which of them there will be cotangents; if of none, the operator only runs.
    images : tuple of int, optional
        Shape of the result if the operator is a convolution, which may give it, and the cotangent of the first of the
        arrays, in blocks of channels; it takes an `out`, and does not read its result in the backward run.
    options : hashable
        What, with the shapes, decides how the operator runs.
    """

    # Whether a result or a cotangent is in blocks of channels, by all that decides it; what was not yet seen is not in
    # it.
    _in_blocks: ClassVar[dict[Any, bool]] = {}
    # Arrays of MXNet's that are in blocks, with our memory, for cotangents of results, and not in use.
    _free: ClassVar[dict[Any, list[tuple[Any, np.ndarray]]]] = {}

    def __init__(
        self,
        mx: Any,
        operator: Any,
        arrays: list[np.ndarray],
        wanted: Sequence[bool],
        images: tuple[int, ...] | None = None,
        options: Any = None,
    ) -> None:
        self._mx, self._operator, self.wanted = mx, operator, tuple(wanted)
        self._context = mx.cpu()  # what belongs on a device is a row of the table
        self._images, self._key = images, self.key_of(arrays, wanted, options)
        self._handles = [self._handle(array) for array in arrays]
        self._run()

    @staticmethod
    def key_of(arrays: Sequence[Any], wanted: Sequence[bool], options: Any) -> tuple:
        """All that decides how an operator runs."""
        return *(array.shape for array in arrays), *wanted, options

    @property
    def key(self) -> tuple:
        """All that decides how the operator runs."""
        return self._key

    def _run(self) -> None:
        self._gradients = [
            self._mx.nd.empty(handle.shape, ctx=self._context) if wanted else None
            for handle, wanted in zip(self._handles, self.wanted, strict=True)
        ]
        self._cotangent_memory = None
        if self.wanted[0]:
            self._cotangent_memory = self._ours(self._handles[0].shape, "cotangent")
            if self._cotangent_memory is not None:
                self._gradients[0] = self._around(self._cotangent_memory)
        if any(self.wanted):
            pairs = [(x, d) for x, d in zip(self._handles, self._gradients, strict=True) if d is not None]
            self._mx.autograd.mark_variables(*map(list, zip(*pairs, strict=True)))
            with self._mx.autograd.record():
                self._result = self._apply()
        else:
            self._result = self._apply()

    def _apply(self) -> Any:
        self._memory = self._ours(self._images, "result")
        if self._memory is None:
            return self._operator(*self._handles)
        out = self._around(self._memory)
        self._operator(*self._handles, out=out)
        return out

    def _ours(self, shape: tuple[int, ...] | None, what: str) -> np.ndarray | None:
        """Memory for images that may be in blocks: of its own MXNet does not say where it is before they are not."""
        if (
            self._images is None
            or not blocked.fits(shape)
            or not self._in_blocks.get((what, *self._key), True)
        ):
            return None
        return np.empty(shape, np.float32)

    def _around(self, array: np.ndarray) -> Any:
        # A view, because MXNet has what it is given say that it is not to be written to.
        return self._mx.nd.from_numpy(array.view(), zero_copy=True)

    def _read(self, handle: Any, memory: np.ndarray | None, what: str) -> np.ndarray:
        if memory is None:
            return host_of(handle)
        handle.wait_to_read()
        found = blocked.plain(memory)
        if found is None:
            return host_of(handle)
        key = (what, *self._key)
        if key in self._in_blocks:
            return found
        # The first time both ways are gone, and what MXNet shows counts.
        either = np.array_equal(found, memory)
        shown = host_of(handle)
        if not either and np.isfinite(shown).all():
            self._in_blocks[key] = np.array_equal(found, shown)
        return shown

    def _handle(self, array: np.ndarray) -> Any:
        array = np.ascontiguousarray(array, np.float32)
        if any(self.wanted):
            # Not where MXNet only runs: it then puts weights in an order of its own, in their place.
            return self._around(array)
        handle = self._mx.nd.empty(array.shape, ctx=self._context)
        copy_in(handle, array)
        return handle

    def result(self) -> np.ndarray:
        """What the operator gave."""
        found = self._read(self._result, self._memory, "result")
        if self._memory is not None and np.may_share_memory(found, self._memory):
            self._memory = None  # MXNet has brought it into plain order, in its place
        return found

    def in_blocks(self) -> np.ndarray | None:
        """The memory of what the operator gave, which is in blocks of channels; None if it is not known to be."""
        if self._memory is None or not self._in_blocks.get(("result", *self._key), False):
            return None
        self._result.wait_to_read()
        return self._memory

    def cotangents(self, g: np.ndarray) -> list[np.ndarray | None]:
        """Cotangents of the arrays for that of the result; may be asked any number of times."""
        return self._backward(self._handle(g))

    def cotangents_by(self, write: Callable[[np.ndarray], bool]) -> list[np.ndarray | None] | None:
        """As `cotangents`, where `write` puts the cotangent of the result into memory in blocks of channels.

        None if MXNet does not take it so, if it is too large for memory to be kept, or if `write` returns False.
        """
        if self._memory is None or self._memory.nbytes > _ROOM:
            return None
        free = self._free.get(self._key)
        if free is None:
            if len(self._free) >= _MANY:
                self._free.clear()
            free = self._free[self._key] = []
        try:
            handle, memory = free.pop()
        except IndexError:  # the first time, or another thread has it
            made = self._array_in_blocks()
            if made is None:
                return None
            handle, memory = made
        if not write(memory):
            return None
        found = self._backward(handle)
        free.append((handle, memory))
        return found

    def _array_in_blocks(self) -> tuple[Any, np.ndarray] | None:
        """An array of MXNet's like the result, which it knows to be in blocks, and its memory."""
        key = "array", *self._key
        if not self._in_blocks.get(("result", *self._key), False) or not self._in_blocks.get(key, True):
            return None
        memory = np.empty(self._images, np.float32)
        handle = self._around(memory)

        def put() -> None:
            with self._mx.autograd.train_mode():  # else the order is another
                self._operator(*self._handles, out=handle)
            handle.wait_to_read()

        put()
        # It must hold what we write there.
        memory.reshape(-1)[...] = np.arange(memory.size, dtype=np.float32)
        expected = blocked.plain(memory)
        self._in_blocks[key] = np.array_equal(host_of(handle), expected)
        put()  # (as it was shown, it was brought into plain order)
        return (handle, memory) if self._in_blocks[key] else None

    def _backward(self, g: Any) -> list[np.ndarray | None]:
        if self._gradients is None:
            self._run()  # those of the last time are the program's now
        self._result.backward(g, retain_graph=True)
        found, self._gradients = self._gradients, None
        memory = [self._cotangent_memory, *[None] * (len(found) - 1)]
        return [
            None if each is None else self._read(each, place, "cotangent")
            for each, place in zip(found, memory, strict=True)
        ]
