"""How the processes of a training work together: alone, in step, or each at its own pace.

In step (``dist_sync``) the workers sum their gradients, weighted by how many samples they had, and each changes its own
parameters by the sum: the parameters stay the same in all of them, and any update rule will do. At its own pace
(``dist_async``) a worker adds the change that its update rule makes to parameters that the store holds.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from minpy.errors import WorkerError
from minpy.nn import checkpoints, checks, files
from minpy.nn.io import NDArrayIter
from minpy.runtime.array import host

KINDS = ("local", "device", "nccl", "dist_sync", "dist_async")


def of(kvstore: Any, dataiter: Any) -> Alone:
    """How a solver works with this store and this iterator."""
    if kvstore is None:
        return Alone()
    if isinstance(kvstore, str):
        checks.choice("Solver", "kvstore", kvstore, KINDS)
        from minpy import distributed

        # A program that was started alone is the one worker.
        if not kvstore.startswith("dist") or distributed.workers() == 1:
            return Alone()
        kind = kvstore
    elif hasattr(kvstore, "num_workers") and hasattr(kvstore, "type"):
        if not kvstore.type.startswith("dist") or kvstore.num_workers == 1:
            return Alone()
        kind = kvstore.type
    else:
        raise checks.fail(
            "Solver", f"kvstore must be a KVStore or one of {', '.join(KINDS)}, not {kvstore!r}"
        )
    from minpy.distributed.exchange import connect

    return (AtOwnPace if "async" in kind else InStep)(connect(kvstore))


class Alone:
    """One process; also what the others have in common with it."""

    chief = True  # writes files and prints
    alone = True

    def share(self, solver: Any) -> None:
        """Begin where worker 0 is."""

    def any(self, flag: bool) -> bool:
        """Whether it is so in any worker."""
        return flag

    def mean(self, total: float, number: float) -> float:
        """A sum over samples divided by their number, over all workers."""
        return total / number if number else 0.0

    def begin_pass(self, solver: Any) -> None:
        """Before the first batch of an epoch."""

    def batches(self, dataiter: Any) -> Iterable[Any]:
        """The batches of a pass."""
        return dataiter

    def step(self, solver: Any, batch: Any) -> float | None:
        """Learn from a batch; see `Solver.step`."""
        grads, loss = solver.grad_and_loss(batch)
        solver.learn(grads, loss)
        return loss

    def end_pass(self, solver: Any) -> None:
        """After the last batch of an epoch."""


class _Together(Alone):
    alone = False

    def __init__(self, exchange: Any) -> None:
        self.exchange = exchange
        self.chief = exchange.rank == 0
        exchange.solvers += 1  # as many in each worker
        self._prefix = f"solver{exchange.solvers}."

    def _sum(self, name: str, values: Any, what: str) -> np.ndarray:
        return self._sums({name: np.asarray(values)}, what)[name]

    def _sums(self, arrays: dict[str, np.ndarray], what: str) -> dict[str, np.ndarray]:
        # Each solver has its own arrays in the store.
        sums = self.exchange.sum({self._prefix + name: values for name, values in arrays.items()}, what)
        return {name: sums[self._prefix + name] for name in arrays}

    def share(self, solver: Any) -> None:
        """Everything: parameters, what update rules remember, histories, the place in the data, random numbers."""
        from minpy.distributed.share import Shard

        data = files.dumps(*checkpoints.pack_solver(solver)) if self.chief else b""
        data = self.exchange.broadcast(data)
        if not self.chief:
            # An iterator over other data has a place of its own.
            alike = isinstance(solver.train_dataiter, Shard)
            checkpoints.unpack_solver(solver, *files.loads(data), "the state of worker 0", iterator_too=alike)

    def any(self, flag: bool) -> bool:
        return bool(self._sum("flag", [float(flag)], "between two epochs")[0])

    def mean(self, total: float, number: float) -> float:
        total, number = self._sum("evaluation", [float(total), float(number)], "in an evaluation")
        return float(total / number) if number else 0.0

    def begin_pass(self, solver: Any) -> None:
        """See to it that the workers' shares are of the same batches, and are not the same."""
        from minpy.distributed.share import Shard

        dataiter, workers = solver.train_dataiter, self.exchange.workers
        shared = isinstance(dataiter, Shard)
        digest = float(_digest(dataiter))
        same = self._sum("order", [digest, float(shared)], "at the beginning of an epoch")
        alike = same[0] == digest * workers
        if shared and not alike:
            raise WorkerError(
                "the workers' iterators have come to different orders, or have different data: one drew random "
                "numbers that the others did not, say. Give NDArrayIter a seed"
            )
        if digest and alike and not same[1]:
            raise WorkerError(
                "every worker has the same training data: give each its share, "
                "Solver(model, minpy.distributed.shard(train_dataiter), …)"
            )

    def batches(self, dataiter: Any) -> Iterator[Any]:
        """Batches, and None when this worker has no more: others may have."""
        yield from dataiter
        while True:
            yield None


class InStep(_Together):
    """``dist_sync``."""

    def step(self, solver: Any, batch: Any) -> float | None:
        params, aux = solver.model.params, solver.model.aux_params
        names = list(solver.model.param_configs)
        number, loss = 0, 0.0
        if batch is not None and not solver.stopped:
            grads, loss = solver.grad_and_loss(batch)
            number = len(batch.data[0])
            given = [grads[name] for name in names]
        else:
            given = [np.zeros_like(host(params[name])) for name in names]
        kept = [name for name, value in aux.items() if _is_floating(value)]
        what = f"at iteration {solver.iteration + 1}"
        header = [number, number * loss, solver.stopped, len(kept)]
        sums = self._sums({"header": np.array(header, np.float64), "gradients": number * _flat(given)}, what)
        total, losses, stopped, auxiliary = (float(value) for value in sums["header"])
        if stopped:
            solver.stop()
            return None
        if not total:
            return None
        parts = _parts(sums["gradients"] / total, given)
        solver.learn(dict(zip(names, parts, strict=True)), losses / total)
        # What the model keeps beside its parameters, such as running means, stays the same everywhere, too. A worker
        # that has had no batch yet has none of it.
        if kept and auxiliary == len(kept) * self.exchange.workers:
            arrays = [aux[name] for name in kept]
            aux.update(
                zip(kept, _parts(self._sum("aux", number * _flat(arrays), what) / total, arrays), strict=True)
            )
        return losses / total


class AtOwnPace(_Together):
    """``dist_async``."""

    _trainings = 0

    def share(self, solver: Any) -> None:
        super().share(solver)
        self._trainings += 1
        self._name = f"{self._prefix}parameters{self._trainings}"
        values = _flat(self._params(solver))
        self.exchange.add(self._name, values if self.chief else np.zeros_like(values))
        self.exchange.barrier("to begin")

    @staticmethod
    def _params(solver: Any) -> list[Any]:
        return [solver.model.params[name] for name in solver.model.param_configs]

    def _take(self, solver: Any, change: np.ndarray, what: str) -> None:
        params = self._params(solver)
        parts = _parts(self.exchange.add(self._name, change, what), params)
        solver.model.params.update(zip(solver.model.param_configs, parts, strict=True))

    def step(self, solver: Any, batch: Any) -> float | None:
        if batch is None or solver.stopped:
            return None
        before = _flat(self._params(solver))
        grads, loss = solver.grad_and_loss(batch)
        solver.learn(grads, loss)
        self._take(solver, _flat(self._params(solver)) - before, f"at iteration {solver.iteration + 1}")
        return loss

    def end_pass(self, solver: Any) -> None:
        """Wait for all; then they have the same parameters, and the mean of what the model keeps beside them."""
        if self._sum("stop", [float(solver.stopped)], "at the end of an epoch")[0]:
            solver.stop()
        aux = solver.model.aux_params
        kept = [name for name, value in aux.items() if _is_floating(value)]
        if kept:
            arrays = [aux[name] for name in kept]
            mean = self._sum("aux", _flat(arrays), "at the end of an epoch") / self.exchange.workers
            aux.update(zip(kept, _parts(mean, arrays), strict=True))
        self._take(solver, np.zeros_like(_flat(self._params(solver))), "at the end of an epoch")
        self.exchange.barrier("at the end of an epoch")


def _flat(arrays: list[Any]) -> np.ndarray:
    plain = [np.asarray(host(array)) for array in arrays]
    dtype = np.result_type(np.float32, *plain)
    return np.concatenate([array.reshape(-1) for array in plain]).astype(dtype, copy=False)


def _parts(flat: np.ndarray, like: list[Any]) -> list[np.ndarray]:
    parts, start = [], 0
    for array in like:
        size, shape = int(np.size(array)), np.shape(array)
        parts.append(flat[start : start + size].reshape(shape).astype(array.dtype))
        start += size
    return parts


def _is_floating(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _digest(dataiter: Any) -> int:
    """A number that says which samples come in which order; 0 if the iterator does not tell."""
    whole = getattr(dataiter, "whole", dataiter)
    if not isinstance(whole, NDArrayIter):
        return 0
    digest = zlib.crc32(np.ascontiguousarray(whole.get_state()["order"]))
    for _, array in (*whole.data, *whole.label):
        digest = zlib.crc32(np.ascontiguousarray(array[[0, -1]]).tobytes(), digest)
    return digest | 1
