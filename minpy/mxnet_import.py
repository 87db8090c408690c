"""``import mxnet`` beside a NumPy of today.

MXNet 1.9.1 reads ``numpy.bool`` while it is imported, a name that NumPy 1.24 removed. A finder sees to it that the name
is there for just that long, whoever imports MXNet, so that programs can say ``import mxnet`` as MXNet's documentation
does.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


@contextmanager
def prepared() -> Iterator[None]:
    """What MXNet wants while it is imported; taken back afterwards."""
    import numpy as np

    # MXNet uses half the cores unless told otherwise before it loads.
    os.environ.setdefault(
        "OMP_NUM_THREADS",
        str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
    )
    # Else each symbol that is bound writes a line to standard error.
    os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")
    added = "bool" not in vars(np)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if added:
            np.bool = bool
        try:
            yield
        finally:
            if added:
                del np.bool


class _Finder:
    """Finds MXNet where Python does, and prepares its import."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder.find_spec`."""
        if name != "mxnet":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                with prepared():
                    execute(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Put the finder in front, once."""
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)  # type: ignore[arg-type]
