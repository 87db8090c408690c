"""A set of writers by name, with one call for a number and one for the size of arrays; and one that does nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minpy.runtime.array import host
from minpy.visualization.summaryOps import scalarSummary
from minpy.visualization.writer import SummaryWriter

__all__ = ["NoVisualize", "Tensorboard"]


class NoVisualize:
    """Takes what `Tensorboard` takes, and writes nothing."""

    def single_scalar_summary(self, writer: str, tag: str, step: int, value: Any) -> None:
        """Nothing."""

    def norm_summary(self, writer: str, tag: str, step: int, values: Any) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Tensorboard:
    """A writer for each of some folders.

    Parameters
    ----------
    summaries_dir : str or path
    writers : iterable of str
        Names of folders in it.
    """

    def __init__(
        self, summaries_dir: str | os.PathLike = "summaries", writers: Iterable[str] = ("train", "test")
    ) -> None:
        self.writers = {name: SummaryWriter(os.path.join(os.fspath(summaries_dir), name)) for name in writers}

    def single_scalar_summary(self, writer: str, tag: str, step: int, value: Any) -> None:
        """Write a number."""
        self.writers[writer].add_summary(scalarSummary(tag, value), step)

    def norm_summary(self, writer: str, tag: str, step: int, values: Any) -> None:
        """Write the sum of the squares of all elements of an array, or of a list or dict of arrays."""
        if isinstance(values, Mapping):
            values = values.values()
        elif not isinstance(values, (list, tuple)):
            values = [values]
        total = sum(float(np.sum(np.square(np.asarray(host(value))))) for value in values)
        self.single_scalar_summary(writer, tag, step, total)

    def close(self) -> None:
        """Close all files."""
        for writer in self.writers.values():
            writer.close()
