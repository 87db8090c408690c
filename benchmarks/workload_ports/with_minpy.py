"""The workloads for MinPy, which are the plain programs, and for NumPy, forward only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.workload_ports import plain


def gradient(
    name: str, parameters: dict[str, np.ndarray], constants: dict[str, np.ndarray], threads: int, how: str
) -> Callable[[], Any] | None:
    """A call that gives value and gradients (``forward``: no gradients)."""
    leaves, fixed = list(parameters.values()), list(constants.values())
    program = getattr(plain, name)
    if how == "forward":

        def run() -> Any:
            return program(*leaves, *fixed)

        run.read = lambda found: (found, [])  # type: ignore[attr-defined]
        return run
    import minpy

    both = minpy.value_and_grad(program, tuple(range(len(leaves))))

    def run_both() -> Any:
        return both(*leaves, *fixed)

    run_both.read = lambda found: (  # type: ignore[attr-defined]
        found[0],
        found[1] if isinstance(found[1], (list, tuple)) else [found[1]],
    )
    return run_both
