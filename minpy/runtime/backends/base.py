"""What a device back end provides. The rest of the runtime knows a device only through this."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np


class Device(Protocol):
    """One device: a place with its own memory where kernels run.

    A *handle* is whatever the back end uses for an array in its memory; only the back end looks into it.
    """

    name: str
    backend: str

    def upload(self, host: np.ndarray) -> Any:
        """A handle that holds a copy of `host` (any layout; the copy is C-contiguous, 0-d as shape ``(1,)``)."""

    def copy(self, handle: Any) -> Any:
        """A handle with memory of its own."""

    def download(self, handle: Any, host: np.ndarray) -> None:
        """Copy the handle's elements into `host`, which has its shape and dtype; waits for pending work."""

    def shape(self, handle: Any) -> tuple[int, ...]:
        """The handle's shape."""

    def dtype(self, handle: Any) -> np.dtype:
        """The handle's dtype, as NumPy's."""

    def read(self, handle: Any, view: np.ndarray, base: np.ndarray) -> Any | None:
        """The part of `handle` that `view` covers of `base` (same geometry as the handle); None: no kernel for it."""

    def write(self, handle: Any, view: np.ndarray, base: np.ndarray, value: Any) -> bool:
        """Write the handle or scalar `value` into that part, in place; False if it has no kernel for that."""

    def unsupported(self, primitive: Any, args: tuple, kwargs: dict) -> str | None:
        """Why this device cannot run the primitive on these operands; None if it can."""

    def run(self, primitive: Any, args: tuple, kwargs: dict, handle_of: Any) -> Any:
        """Run the primitive's kernel; ``handle_of(array)`` gives the handle of an array operand of either kind."""

    def synchronize(self) -> None:
        """Wait for all pending work (before a clock is read)."""
