"""Storages: buffers with a host copy and perhaps a device copy, of which at least one is valid.

The host copy is always *allocated*, so that NumPy itself computes shapes, strides, aliasing and index errors
of every view; while the device holds the only valid contents its pages are never touched, and untouched pages
cost address space only.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.runtime import transfers
from minpy.runtime.backends.base import Device

# What `Array.scalar` says of a Python number, an `int` (True is a NumPy scalar): NumPy 2 gives its operations the type
# of the other operand. NumPy 1 makes no difference between the two (1 equals True), but what is left of it is a number.
WEAK = 2
PYTHON_SCALAR: int = 1 if np.lib.NumpyVersion(np.__version__) < "2.0.0b1" else WEAK


# The characters of the dtypes whose values have derivatives.
DIFFERENTIABLE = frozenset("efdgFDG")

# The cell of a storage: what a tape needs of it during and after the sweep, apart from its memory, so that a record
# can refer to a cotangent without keeping the memory alive.
#   cell[COTANGENT]  the gradient with respect to the buffer, during a sweep: None (zero), numpy.ndarray or Array
#   cell[HELD]       whose the cotangent is (see below); counts only while there is one
#   cell[NEEDED]     contents of the buffer are an operand or a result of a record: they must come back in the sweep
#   cell[SHARED]     another storage has the same cell, because one is the other plus a constant and so has the same
#                    cotangent; before either is written to, it gets a cell of its own (`Tape.note_write`)
Cell = list
COTANGENT, HELD, NEEDED, SHARED = 0, 1, 2, 3

# Whose a cotangent is; above zero it may be written to.
LENT = -1  # a part of another storage's cotangent, for the very next record of the sweep only
BORROWED = 0  # perhaps another storage's too
OWN = 1  # nobody else's; any layout
LAID_OUT = 2  # nobody else's, and laid out as the storage byte for byte


def new_cell() -> Cell:
    """A cell without a cotangent, of memory whose contents may be needed."""
    return [None, BORROWED, True, False]


class Remote:
    """What is known of a storage that is not, or not only, an array in this program's hands.

    Attributes
    ----------
    device : Device or None
        Where the buffer lives; None for a storage on the host.
    handle : object or None
        The copy on `device`; counts only while not None.
    host_ok : bool
        The host copy is current.
    shared : bool
        Code that is not rewritten holds the host memory and may write to it at any time: the host copy is the
        truth from then on, and device copies are made afresh for each use.
    lent : bool
        The host memory was the program's before this storage was made, and `handle` may serve for other storages too:
        it is copied before it is written to.
    looks : int
        How many elements were fetched alone since the device last wrote.
    """

    __slots__ = ("device", "handle", "host_ok", "lent", "looks", "shared")

    def __init__(self, device: Device | None, handle: Any) -> None:
        self.looks = 0
        self.device, self.handle = device, handle
        self.host_ok, self.shared, self.lent = handle is None, False, False


class Pending(Remote):
    """Contents that are in no array yet: the host memory gets them when somebody asks for them.

    A class of its own says where they are until then, for those who can do without.
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(None, None)
        self.host_ok = False

    def fill(self, host: np.ndarray) -> None:
        """Write the contents into the host memory."""
        raise NotImplementedError


class Storage:
    """A buffer that arrays are views of.

    Attributes
    ----------
    host : numpy.ndarray
        The host memory; its contents count only while `host_ok`.
    remote : Remote or None
        Its device and its sharing; None for memory on the host that only MinPy holds. Its attributes are the
        storage's too.
    tape : Tape or None
        The innermost tape on which this buffer is active (see `minpy.runtime.tape`).
    cell : Cell
        Its cotangent, and whether its contents are needed by a record.
    """

    __slots__ = ("__weakref__", "cell", "host", "remote", "tape")

    def __init__(self, host: np.ndarray, device: Device | None = None, handle: Any = None) -> None:
        self.host = host
        self.remote = None if device is None else Remote(device, handle)
        self.tape: Any = None
        # Needed, as long as nobody who made the memory himself says otherwise.
        self.cell: Cell = [None, BORROWED, True, False]

    def _far(self) -> Remote:
        if self.remote is None:
            self.remote = Remote(None, None)
        return self.remote

    device = property(lambda self: None if self.remote is None else self.remote.device)
    handle = property(lambda self: None if self.remote is None else self.remote.handle)
    host_ok = property(lambda self: self.remote is None or self.remote.host_ok)

    @property
    def shared(self) -> bool:
        """Code that is not rewritten holds the host memory."""
        return self.remote is not None and self.remote.shared

    @shared.setter
    def shared(self, value: bool) -> None:
        self._far().shared = value

    @property
    def cotangent(self) -> Any:
        """The gradient with respect to the buffer, during a sweep."""
        return self.cell[COTANGENT]

    @cotangent.setter
    def cotangent(self, value: Any) -> None:
        self.cell[COTANGENT] = value

    def to_host(self) -> np.ndarray:
        """The host memory, made current."""
        remote = self.remote
        if remote is not None and not remote.host_ok:
            if isinstance(remote, Pending):
                remote.fill(self.host)
                self.remote = None
                return self.host
            transfers.fetch(remote.device, remote.handle, self.host)
            remote.host_ok = True
            transfers.double.add(self)
        return self.host

    def to_device(self, device: Device) -> Any:
        """A current handle on `device`."""
        remote = self._far()
        if remote.handle is not None and remote.device is device:
            return remote.handle
        host = self.to_host()
        remote = self._far()  # (what was pending is not)
        if remote.shared:
            return transfers.upload(device, host)
        handle = (transfers.upload if remote.lent else transfers.send)(device, host)
        remote.device, remote.handle = device, handle
        transfers.double.add(self)
        return handle

    def lend(self) -> Storage:
        """Say that the memory is the program's: other storages over it may have been sent to a device, or will be."""
        self._far().lent = True
        return self

    def own_handle(self) -> Any:
        """The current handle, to be written to."""
        remote = self.remote
        if remote.lent:
            contiguous = (
                self.host.flags.c_contiguous and remote.device.shape(remote.handle) == self.host.shape
            )
            if contiguous:
                remote.handle = remote.device.copy(remote.handle)
            else:
                remote.handle = transfers.send(remote.device, self.to_host())
            remote.lent = False
        return remote.handle

    def wrote_host(self) -> None:
        """The host memory was written: the device copy is stale."""
        if self.remote is not None:
            self.remote.handle = None

    def wrote_device(self) -> None:
        """The device copy was written: the host memory is stale."""
        remote = self._far()
        remote.host_ok, remote.looks = False, 0

    def share(self) -> np.ndarray:
        """Hand the host memory to code that is not rewritten."""
        host = self.to_host()
        remote = self._far()
        remote.shared, remote.handle = True, None
        self.cell[NEEDED] = True  # it may be an operand under another name from now on
        return host
