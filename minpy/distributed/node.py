"""The scheduler, or a server, of MXNet's parameter store: ``python -m minpy.distributed.node NAME PARENT``.

It needs MXNet's library, and not its Python package, which takes a second and more to load in a process that only adds
arrays. ``DMLC_ROLE`` says which of the two it is; MXNet reads that and the other ``DMLC_*`` variables itself.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys

from minpy import mxnet_import
from minpy.distributed.member import die_with_parent

_FLOATS = {0: ctypes.c_float, 1: ctypes.c_double}  # MXNet's numbers of the types that arrays are sent in


def library() -> str | None:
    """The path of MXNet's library, if MXNet is installed."""
    spec = importlib.util.find_spec("mxnet")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = os.path.join(folder, "libmxnet.so")
        if os.path.exists(path):
            return path
    return None


class Node:
    """MXNet's store in a process that is no worker."""

    def __init__(self, lib: ctypes.CDLL) -> None:
        self.lib = lib
        lib.MXGetLastError.restype = ctypes.c_char_p
        self.handle = ctypes.c_void_p()
        self._command = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(self.command)
        self._updater = ctypes.CFUNCTYPE(
            None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p
        )(self.update)

    def check(self, failed: int) -> None:
        """Raise what MXNet says went wrong."""
        if failed:
            raise RuntimeError(self.lib.MXGetLastError().decode(errors="replace"))

    def run(self) -> None:
        """Serve until the workers have ended."""
        self.check(self.lib.MXKVStoreCreate(b"dist", ctypes.byref(self.handle)))
        self.check(self.lib.MXKVStoreRunServer(self.handle, self._command, None))

    def command(self, head: int, body: bytes, _: object) -> None:
        """The one command of ours: what comes is to be added to what is there (`dist_async`)."""
        if head == 0:
            self.check(self.lib.MXKVStoreSetUpdater(self.handle, self._updater, None))

    def update(self, key: int, received: int, stored: int, _: object) -> None:
        """Add what a worker sent."""
        import numpy as np

        # What is raised here would be lost in MXNet's thread, and the workers would wait for an answer.
        try:
            source, target = self.values(received), self.values(stored)
            np.add(target, source, out=target)
        except BaseException as error:
            sys.stderr.write(f"minpy: error: a server cannot add what it received: {error}\n")
            sys.stderr.flush()
            os._exit(1)
        finally:
            # MXNet hands both over.
            self.lib.MXNDArrayFree(ctypes.c_void_p(received))
            self.lib.MXNDArrayFree(ctypes.c_void_p(stored))

    def values(self, handle: int):
        """The memory of an array, once it is computed, as a flat NumPy array."""
        import numpy as np

        array = ctypes.c_void_p(handle)
        self.check(self.lib.MXNDArrayWaitToWrite(array))
        dimensions, lengths = ctypes.c_int(), ctypes.POINTER(ctypes.c_int)()
        self.check(self.lib.MXNDArrayGetShapeEx(array, ctypes.byref(dimensions), ctypes.byref(lengths)))
        dtype, pointer = ctypes.c_int(), ctypes.c_void_p()
        self.check(self.lib.MXNDArrayGetDType(array, ctypes.byref(dtype)))
        self.check(self.lib.MXNDArrayGetData(array, ctypes.byref(pointer)))
        size = 1
        for axis in range(dimensions.value):
            size *= lengths[axis]
        kind = _FLOATS[dtype.value]
        return np.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(kind)), (size,))


def main(argv: list[str]) -> int:
    """Run the node; give the exit status."""
    die_with_parent(int(argv[1]))
    path = library()
    if path is None:
        sys.stderr.write("minpy: error: MXNet is not installed. Install it with: pip install 'minpy[cpu]'\n")
        return 1
    try:
        lib = ctypes.CDLL(path)
    except OSError:  # a build for GPUs, which needs its libraries first
        mxnet_import.preload()
        lib = ctypes.CDLL(path)
    Node(lib).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
