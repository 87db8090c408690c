"""`Shard`: one worker's share of each batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.nn import checks
from minpy.nn.io import DataBatch, DataIter, NDArrayIter


class Shard(DataIter):
    """The rows of each batch of an iterator that are one worker's; see `minpy.distributed.shard`.

    What it has not itself, as ``provide_data`` or the state for checkpoints, is the iterator's.
    """

    def __init__(self, dataiter: Any, rank: int, workers: int) -> None:
        super().__init__()
        checks.positive("shard", "workers", workers)
        if isinstance(rank, bool) or not isinstance(rank, (int, np.integer)) or not 0 <= rank < workers:
            raise checks.fail("shard", f"rank must be a whole number from 0 to {workers - 1}, not {rank!r}")
        whole = int(getattr(dataiter, "batch_size", 0) or 0)
        if 0 < whole < workers:
            raise checks.fail("shard", f"batch_size is {whole}, which {workers} workers cannot share")
        self.whole, self.rank, self.workers = dataiter, int(rank), int(workers)
        self.batch_size = -(-whole // workers)

    def __getattr__(self, name: str) -> Any:
        if name == "whole":
            raise AttributeError(name)
        value = getattr(self.whole, name)
        if name == "getsubiter":  # a random choice, the same in each worker: again, its share
            return lambda number: Shard(value(number), self.rank, self.workers)
        return value

    def _rows(self, number: int) -> slice:
        return slice(self.rank * number // self.workers, (self.rank + 1) * number // self.workers)

    def reset(self) -> None:
        """Begin a new pass."""
        self.whole.reset()

    def next(self) -> DataBatch:
        """This worker's share of the next batch; StopIteration at the end of the pass."""
        while True:
            if isinstance(self.whole, NDArrayIter):
                # The rows of the others are not even fetched.
                if not self.whole.iter_next():
                    raise StopIteration
                index, pad = self.whole.getindex(), self.whole.getpad()
                rows = self._rows(len(index))
                arrays = [
                    [array[index[rows]] for _, array in named]
                    for named in (self.whole.data, self.whole.label)
                ]
            else:
                batch = self.whole.next()
                index, pad = batch.index, batch.pad or 0
                rows = self._rows(len(batch.data[0]))
                arrays = [[array[rows] for array in named or ()] for named in (batch.data, batch.label)]
                if index is None:
                    index = np.arange(len(batch.data[0]))
            if rows.stop > rows.start:
                mine = max(0, rows.stop - max(rows.start, len(index) - pad))
                return DataBatch(*arrays, mine, index[rows])
