"""`Exchange`: what workers give each other, over MXNet's parameter store.

There is one operation: every worker gives an array and gets the sum of all. With ``dist_sync`` the store itself sums
what the workers send; with ``dist_async`` it adds what comes, and barriers make a sum of it. Only floating-point
numbers go through the store, so bytes travel as numbers, two of them in one.
"""

from __future__ import annotations

import atexit
import os
import time
from typing import Any

import numpy as np

from minpy.distributed import member, rank, workers
from minpy.distributed.watch import Watch
from minpy.errors import DeviceError, UsageError, WorkerError

TIMEOUT = 600.0  # seconds that a worker waits for the others, unless `--timeout` says otherwise
_CHUNK = 1 << 19  # numbers; two bytes in each

_exchange: Exchange | None = None


def connect(store: Any) -> Exchange:
    """The exchange of this process, which is made once.

    Parameters
    ----------
    store : {'dist_sync', 'dist_async'} or mxnet.kv.KVStore

    Raises
    ------
    DeviceError
        If MXNet is not installed.
    WorkerError
        If the process was not started as a worker, or has another exchange.
    """
    global _exchange
    kind = store if isinstance(store, str) else store.type
    if _exchange is not None:
        if _exchange.kind != kind:
            raise WorkerError(
                f"this process has a store {_exchange.kind!r} already, and cannot have a {kind!r} too"
            )
        return _exchange
    _exchange = Exchange(store, kind)
    atexit.register(_exchange.close)
    return _exchange


def abandon() -> None:
    """Let the process end without the others."""
    if _exchange is not None:
        atexit.unregister(_exchange.close)


class Exchange:
    """A worker's place among the others; made by `connect`.

    Attributes
    ----------
    rank, workers : int
    sync : bool
        Whether the store sums what comes in one step, or adds it when it comes.
    solvers : int
        How many use it.
    """

    def __init__(self, store: Any, kind: str) -> None:
        self.kind, self.sync = kind, "async" not in kind
        self.solvers = 0
        ours = isinstance(store, str)
        if ours:
            self.rank, self.workers = rank(), workers()
            for variable in ("DMLC_PS_ROOT_URI", "DMLC_PS_ROOT_PORT", "DMLC_NUM_WORKER", "DMLC_NUM_SERVER"):
                if variable not in os.environ:
                    raise WorkerError(
                        f"kvstore={kind!r} with {self.workers} workers needs {variable}, which "
                        "`minpy run --workers` sets"
                    )
        self._mx = self._load()
        self._watch = Watch(_timeout(), member.tell, f"worker {self.rank if ours else store.rank}")
        member.joined()
        if ours:
            with self._watch.waiting("to join"):
                store = self._mx.kv.create(kind)
        else:
            self.rank, self.workers = store.rank, store.num_workers
        self._store = store
        self._buffers: dict[str, Any] = {}
        if not self.sync:
            # The server adds what it receives: w - (-1)·g. Ours does so at any such command, MXNet's own at this one.
            if self.rank == 0:
                store.set_optimizer(self._mx.optimizer.SGD(learning_rate=-1.0, wd=0.0))
            self.barrier("to begin")

    def _load(self) -> Any:
        from minpy.runtime.backends.mxnet import load

        try:
            return load()
        except DeviceError:
            if self.rank:
                time.sleep(5)  # all have the same to say: worker 0 says it, and the launcher ends the others
            raise

    def close(self) -> None:
        """Give up the store: MXNet waits here until all workers do. It must not be left to the end of the process."""
        self._buffers.clear()
        self._store = None

    def barrier(self, what: str) -> None:
        """Wait until all workers are here."""
        with self._watch.waiting(what):
            self._store._barrier()

    def sum(self, arrays: dict[str, np.ndarray], what: str = "in a step") -> dict[str, np.ndarray]:
        """The sums of the arrays that the workers give, the same in each of them.

        Parameters
        ----------
        arrays : dict of numpy.ndarray
            Floating-point numbers in single or double precision, by their names in the store; under each name one shape
            and type. All workers make the same calls in the same order.
        what : str
            For the message when others do not come: "… waited for the others in a step".
        """
        if self.sync:
            return self._round(arrays, what)
        # Added when it comes, read when all have come, and taken away again when all have read.
        self._round(arrays, what)
        self.barrier(what)
        total = self._round({name: np.zeros_like(values) for name, values in arrays.items()}, what)
        self.barrier(what)
        if self.rank == 0:
            self._round({name: -values for name, values in total.items()}, what)
        return total

    def add(self, name: str, values: np.ndarray, what: str = "in a step") -> np.ndarray:
        """Add to what the store holds by that name, zeros at first, and get what it holds then (`dist_async`)."""
        return self._round({name: values}, what)[name]

    def _round(self, arrays: dict[str, np.ndarray], what: str) -> dict[str, np.ndarray]:
        from minpy.runtime.backends.mxnet import copy_in, copy_out

        for name, values in arrays.items():
            if name not in self._buffers:
                zeros = self._mx.nd.zeros(values.shape, dtype=values.dtype)
                with self._watch.waiting(what):
                    self._store.init(name, zeros)
                self._buffers[name] = zeros.copy()
            buffer = self._buffers[name]
            if buffer.shape != values.shape or np.dtype(buffer.dtype) != values.dtype:
                raise WorkerError(
                    f"{name} is an array of shape {buffer.shape} in the store, and of {values.shape} now: "
                    "the model has changed since the training began"
                )
        results = {name: np.empty(values.shape, values.dtype) for name, values in arrays.items()}
        with self._watch.waiting(what):
            for name, values in arrays.items():
                buffer = self._buffers[name]
                copy_in(buffer, np.ascontiguousarray(values))
                self._store.push(name, buffer)
                # Into the array that was sent: MXNet pulls into that in any case.
                self._store.pull(name, out=buffer)
            for name, result in results.items():
                copy_out(self._buffers[name], result)
        return results

    def broadcast(self, data: bytes, what: str = "for what worker 0 has") -> bytes:
        """What worker 0 gives, in each worker; what the others give does not count."""
        size = np.array([float(len(data)) if self.rank == 0 else 0.0])
        size = int(self.sum({"size": size}, what)["size"][0])
        received = bytearray()
        for start in range(0, size, 2 * _CHUNK):
            numbers = np.zeros(_CHUNK, np.float32)
            if self.rank == 0:
                part = data[start : start + 2 * _CHUNK]
                pairs = np.frombuffer(part + b"\0" * (len(part) % 2), np.dtype("<u2"))
                numbers[: len(pairs)] = pairs
            received += self.sum({"bytes": numbers}, what)["bytes"].astype("<u2").tobytes()
        return bytes(received[:size])


def _timeout() -> float:
    text = os.environ.get("MINPY_TIMEOUT", "")
    if not text:
        return TIMEOUT
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise UsageError(f"MINPY_TIMEOUT={text!r} is not a number of seconds above 0")
    return seconds
