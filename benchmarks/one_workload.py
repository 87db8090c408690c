"""A process that takes value and gradients of one workload in one framework, again and again.

    python one_workload.py framework name dtype threads

For each number that it reads from standard input it makes so many calls and answers with the seconds that one took;
``first`` also shows value and gradients. It ends with its input.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

# How each framework is asked for: module and form.
FRAMEWORKS = {
    "NumPy (forward)": ("with_minpy", "forward"),
    "MinPy": ("with_minpy", ""),
    "PyTorch": ("with_torch", ""),
    "PyTorch layers": ("with_torch", "layers"),
    "PyTorch compile": ("with_torch", "compile"),
    "JAX jit": ("with_jax", ""),
    "autograd": ("with_autograd", ""),
}


def main() -> None:
    framework, name, dtype, threads = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):
        # Before anything starts threads: the frameworks count the processors that are theirs.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from benchmarks.workload_ports import data

    module, how = FRAMEWORKS[framework]
    port = importlib.import_module(f"benchmarks.workload_ports.{module}")
    run: Any = port.gradient(name, *data.make(name, dtype), int(threads), how)
    if run is None:
        print(json.dumps({"absent": True}), flush=True)
        return
    for line in sys.stdin:
        answer: dict[str, Any] = {}
        if line.strip() == "first":
            value, gradients = run.read(run())
            answer = {"value": float(value), "gradients": [_shown(g) for g in gradients]}
            count = 1
        else:
            count = int(line)
        start = time.perf_counter()
        for _ in range(count):
            run()
        answer["seconds"] = (time.perf_counter() - start) / count
        print(json.dumps(answer), flush=True)


def _shown(gradient: Any) -> list[float]:
    """Enough of a gradient to compare it: its shape, its length, and its sum with uneven weights."""
    flat = gradient.astype(float).ravel()
    mixed = sum(((7 * k) % 13 - 6) * float(flat[k::13].sum()) for k in range(13))
    return [*gradient.shape, float((flat * flat).sum() ** 0.5), mixed]


if __name__ == "__main__":
    main()
