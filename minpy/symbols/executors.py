"""Executors of a symbol: bound once for shapes, dtype, context and mode, lent to one call at a time.

A call that is recorded keeps its executor until its record is gone, because MXNet's backward run reads what the forward
run left in it. So one symbol may be applied any number of times before a backward run.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from minpy.runtime.backends.mxnet import copy_in, load

# Idle executors of one geometry that are kept; each holds the memory of a forward and a backward run.
_IDLE = 4

Key = tuple[tuple[tuple[str, tuple[int, ...]], ...], str, Any, bool, bool]


class Executors:
    """The executors of one symbol."""

    def __init__(self, symbol: Any) -> None:
        self.symbol = symbol
        self._idle: dict[Key, list[Any]] = {}
        # Held here too: an executor that were garbage together with its lease would be destroyed by Python's collector
        # (its finalizer runs as well) just when the lease gives it back.
        self._lent: dict[int, Any] = {}
        # Reentrant: the collector may run a lease's finalizer while its own thread holds the lock.
        self._lock = threading.RLock()

    def lend(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        dtype: np.dtype,
        context: Any,
        is_train: bool,
        derivable: bool,
    ) -> Lease:
        """An executor for these arguments that nobody else uses.

        Parameters
        ----------
        shapes : mapping of str to tuple of int
            Of all arguments and auxiliary states.
        dtype : numpy.dtype
            Of all of them.
        context : mxnet.Context
        is_train : bool
            What it is run with. In test mode oneDNN lays weights out anew, in place: see `Lease.write`.
        derivable : bool
            Whether a backward run is wanted: it costs memory for the derivatives.
        """
        key = (tuple(sorted(shapes.items())), dtype.str, context, is_train, derivable)
        with self._lock:
            idle = self._idle.get(key)
            executor = idle.pop() if idle else None
        if executor is None:
            executor = self._bind(shapes, dtype, context, derivable)
        self._lent[id(executor)] = executor
        return Lease(self, key, executor)

    def _bind(
        self, shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype, context: Any, derivable: bool
    ) -> Any:
        F = load().nd

        def make(names: list[str]) -> dict[str, Any]:
            return {name: F.zeros(shapes[name], ctx=context, dtype=dtype) for name in names}

        arguments = self.symbol.list_arguments()
        # One derivative is always asked for, the smallest: where there is none, MXNet takes weights for constants,
        # keeps them in another layout, and goes on with these when their contents are replaced (oneDNN's subgraphs).
        smallest = min(arguments, key=lambda name: int(np.prod(shapes[name])))
        wanted = arguments if derivable else [smallest]
        return self.symbol.bind(
            context,
            make(arguments),
            args_grad=make(wanted),
            grad_req={name: "write" if name in wanted else "null" for name in arguments},
            aux_states=make(self.symbol.list_auxiliary_states()),
        )

    def take_back(self, key: Key, executor: Any) -> None:
        """Keep an executor for the next call of the same kind."""
        with self._lock:
            idle = self._idle.setdefault(key, [])
            if len(idle) < _IDLE:
                idle.append(executor)
            del self._lent[id(executor)]


class Lease:
    """An executor that goes back when the lease is dropped."""

    def __init__(self, owner: Executors, key: Key, executor: Any) -> None:
        self.executor = executor
        self._owner, self._key = owner, key
        self.is_train = key[3]

    def write(self, handle: Any, value: np.ndarray) -> None:
        """Copy a C-contiguous array into an argument or auxiliary state of the executor, of the same dtype."""
        if self.is_train:
            copy_in(handle, value)
            return
        # Its memory may have the layout of oneDNN, which only MXNet's own copy knows.
        whole = load().nd.empty(handle.shape, ctx=handle.context, dtype=handle.dtype)
        copy_in(whole, value)
        whole.copyto(handle)

    def __del__(self) -> None:
        self._owner.take_back(self._key, self.executor)
