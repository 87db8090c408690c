"""Loops among whose variables there are arrays of the runtime's, because a device is in use.

A loop over the elements of arrays is work for the host: what it needs comes there as a whole, before it runs, and what
it may have written into is stale on the device. A loop of operations on whole arrays runs compiled where all of them
are small and on the host; else as written, so that each operation goes where it is done first.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import numpy as np


def array_class() -> Any:
    """The class of the runtime's arrays; None while there can be none."""
    module = sys.modules.get("minpy.runtime.array")
    return module.Array if module is not None else None


def meets(frame: FrameType) -> bool:
    """Whether a variable of a frame is an array of the runtime's, and no small one."""
    from minpy.runtime import small_code

    kind = array_class()
    return any(type(value) is kind and value.size > small_code.FEW for value in frame.f_locals.values())


class Far:
    """The arrays of the runtime's that a loop has met, by the identity of the plain array that stands for each."""

    def __init__(self) -> None:
        self.arrays: dict[int, Any] = {}

    def window(self, array: Any) -> np.ndarray:
        """The array on the host that stands for `array`; its contents may have to be fetched."""
        self.arrays[id(array.window)] = array
        return array.window

    def is_left(self, kernel: Any, snapshot: Any) -> bool:
        """Whether a loop of operations on arrays had better run as written, where a device is in use."""
        if not kernel.code.whole:
            return False
        from minpy.runtime import small

        for variable in kernel.code.arrays:
            if variable.comes_in and snapshot.values[variable.name].size > small.few:
                return True
        return any(not each.storage.host_ok for each in self.arrays.values())

    def fetch(self, kernel: Any) -> int:
        """Bring to the host what the loop needs; how many arrays had to come."""
        came = 0
        for array in self.arrays.values():
            storage = array.storage
            came += not storage.host_ok
            storage.to_host()
            if kernel.code.written or kernel.code.views:
                storage.wrote_host()
        return came

    def back(self, value: Any) -> Any:
        """What a variable is to hold: an array of the runtime's for one that stands for it, or for a part of it."""
        if type(value) is not np.ndarray:
            return value
        array = self.arrays.get(id(value))
        if array is not None:
            return array
        if value.base is not None:
            for each in self.arrays.values():
                if np.may_share_memory(value, each.storage.host):
                    return array_class()(value, each.storage)
        return value
