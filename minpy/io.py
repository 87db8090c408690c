"""Data in batches, and the iterators of ``mxnet.io``: `minpy.nn.io` under its other name."""

from typing import Any

from minpy.nn import io as _io
from minpy.nn.io import DataBatch, DataIter, NDArrayIter, load_data_labels, save_data_labels

__all__ = ["DataBatch", "DataIter", "NDArrayIter", "load_data_labels", "save_data_labels"]


def __getattr__(name: str) -> Any:
    return getattr(_io, name)
