"""Which engine runs a kernel, and MXNet operators that are kept for their backward run."""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.errors import DeviceError
from minpy.runtime.backends.mxnet import copy_in, copy_out, load
from minpy.runtime.context import current_context
from minpy.runtime.policy import current_policy

# Multiplications (or comparisons) below which copies to MXNet and its threads cost more than they save.
LEAST_WORK = 2_000_000


def mxnet_for(work: int, *arrays: np.ndarray) -> Any:
    """MXNet if it is installed, allowed, and the faster one for so much work on these arrays; else None.

    MXNet's kernels are several times faster in float32, and slower than NumPy's products in float64.
    """
    if work < LEAST_WORK:
        return None
    if any(array.dtype != np.float32 or not array.size for array in arrays):
        return None
    if current_policy().name == "only_numpy":
        return None
    try:
        return load()
    except DeviceError:
        return None


class Kept:
    """An MXNet operator that has run on some arrays, and can give their cotangents."""

    def __init__(self, mx: Any, operator: Any, arrays: list[np.ndarray], derivable: bool) -> None:
        context = current_context().as_mxnet_context()
        handles = []
        for array in arrays:
            handle = mx.nd.empty(array.shape, ctx=context)
            copy_in(handle, np.ascontiguousarray(array))
            handles.append(handle)
        if derivable:
            for handle in handles:
                handle.attach_grad()
            with mx.autograd.record():
                self._result = operator(*handles)
        else:
            self._result = operator(*handles)
        self._mx, self._handles, self._context = mx, handles, context

    def result(self) -> np.ndarray:
        """What the operator gave."""
        return _host(self._result)

    def cotangents(self, g: np.ndarray) -> list[np.ndarray]:
        """Cotangents of the arrays for that of the result; may be asked any number of times."""
        head = self._mx.nd.empty(self._result.shape, ctx=self._context)
        copy_in(head, np.ascontiguousarray(g, np.float32))
        self._result.backward(head, retain_graph=True)
        return [_host(handle.grad) for handle in self._handles]


def _host(handle: Any) -> np.ndarray:
    value = np.empty(handle.shape, np.float32)
    copy_out(handle, value)
    return value
