"""Programs in several processes: which one this is, and its share of the data.

``minpy run --workers N train.py`` starts them; `Solver(kvstore='dist_sync')` trains one model in all of them.
"""

from __future__ import annotations

import os
from typing import Any

from minpy.errors import UsageError

__all__ = ["rank", "shard", "workers"]


def rank() -> int:
    """The number of this worker, from 0; 0 in a program that was started alone."""
    return _number("MINPY_RANK", 0)


def workers() -> int:
    """How many workers there are; 1 in a program that was started alone."""
    return _number("MINPY_WORKERS", 1)


def shard(dataiter: Any, rank: int | None = None, workers: int | None = None) -> Any:
    """An iterator over this worker's share of each batch of another iterator.

    Together the workers see the batches that one process would see, so that they learn the same.

    Parameters
    ----------
    dataiter : DataIter
        With the same data, and in the same order, in each worker.
    rank, workers : int, optional
        Which share, of how many; by default `rank()` of `workers()`.

    Returns
    -------
    DataIter
        `dataiter` itself where there is one worker.

    Raises
    ------
    ArgumentError
        If a batch has fewer samples than there are workers.
    """
    count = globals()["workers"]() if workers is None else workers
    number = globals()["rank"]() if rank is None else rank
    if count == 1:
        return dataiter
    from minpy.distributed.share import Shard

    return Shard(dataiter, number, count)


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, "")
    if text and not text.isdecimal():
        raise UsageError(f"{variable}={text!r} is not a number: `minpy run --workers` sets it")
    return int(text) if text else default
