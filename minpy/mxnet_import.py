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

from minpy import mxnet_late

# The libraries of CUDA 11 that MXNet's build for GPUs is linked with, those that others need first: the packages they
# are in (below ``nvidia``), and their names.
CUDA_LIBRARIES = (
    ("cuda_runtime", "libcudart.so.11.0"),
    ("nvtx", "libnvToolsExt.so.1"),
    ("cuda_nvrtc", "libnvrtc.so.11.2"),
    ("cublas", "libcublasLt.so.11"),
    ("cublas", "libcublas.so.11"),
    ("cufft", "libcufft.so.10"),
    ("curand", "libcurand.so.10"),
    ("cusolver", "libcusolver.so.11"),
    ("nccl", "libnccl.so.2"),
    ("cudnn", "libcudnn.so.8"),
)
_loaded: list[Any] = []
# What says how long OpenMP's threads wait for more work before they sleep. Its own choice is some 20 ms, in which they
# take a processor from MinPy's threads, and from everybody else; with this it is some 0.2 ms.
_WAITING = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}
_SPINS = "3000"


def preload() -> list[str]:
    """Load CUDA's libraries out of their wheels, so that MXNet finds them without ``LD_LIBRARY_PATH``.

    What is not there, or does not load, is left to the system's search path; MXNet names it if it is missing there too.

    Returns
    -------
    list of str
        The names of those that were loaded.
    """
    import ctypes
    import importlib.util

    os.environ.setdefault("CUDA_MODULE_LOADING", "LAZY")  # less time and memory to start with
    os.environ.setdefault("MXNET_CUDNN_LIB_CHECKING", "0")  # built for an 8.1; any 8 does
    try:
        spec = importlib.util.find_spec("nvidia")
    except (ImportError, ValueError):
        spec = None
    found = []
    for root in (spec.submodule_search_locations or ()) if spec is not None else ():
        for package, name in CUDA_LIBRARIES:
            path = os.path.join(root, package, "lib", name)
            if name in found or not os.path.exists(path):
                continue
            try:
                _loaded.append(ctypes.CDLL(path))
            except OSError:
                continue
            found.append(name)
    return found


def _is_for_gpus() -> bool:
    from importlib import metadata

    names = {(dist.metadata["Name"] or "").lower() for dist in metadata.distributions()}
    return any(name.startswith("mxnet-cu") for name in names)


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
    brief = not _WAITING & os.environ.keys()
    if brief:
        os.environ["GOMP_SPINCOUNT"] = _SPINS
    if _is_for_gpus():
        preload()
    added = "bool" not in vars(np)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if added:
            np.bool = bool
        try:
            with mxnet_late.modules():
                yield
        finally:
            if added:
                del np.bool
            if brief:
                os.environ.pop("GOMP_SPINCOUNT", None)  # it was read when the library was loaded


class _Finder:
    """Finds MXNet where Python does, and prepares its import."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder.find_spec`."""
        if name != "mxnet" and not (name == "sklearn.base" and mxnet_late.waits()):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module
        if name == "sklearn.base":

            def exec_base(module: ModuleType) -> None:
                execute(module)
                mxnet_late.settle()

            spec.loader.exec_module = exec_base  # type: ignore[method-assign]
        else:

            def exec_module(module: ModuleType) -> None:
                # In a worker of `minpy run --workers`: what MXNet may wait for must be there.
                worker = sys.modules.get("minpy.distributed.member")
                if worker is not None:
                    worker.needs_store()
                with prepared():
                    execute(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Put the finder in front, once."""
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)  # type: ignore[arg-type]
