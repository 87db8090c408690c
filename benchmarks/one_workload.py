"""A process that runs one workload in one framework, again and again.

    python one_workload.py ports framework name dtype threads

`ports` is the package of the workloads: value and gradients of programs, or steps of training. For each number that it
reads from standard input it makes so many calls and answers with the seconds that one took; ``first`` also shows value
and gradients (loss, and how the parameters have changed). It ends with its input.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    ports, framework, name, dtype, threads = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):
        # Before anything starts threads: the frameworks count the processors that are theirs.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
    sys.path.insert(0, str(Path(__file__).parents[1]))
    package = importlib.import_module(f"benchmarks.{ports}")
    data = importlib.import_module(f"benchmarks.{ports}.data")
    module, how = package.FRAMEWORKS[framework]
    port = importlib.import_module(f"benchmarks.{ports}.{module}")
    run: Any = port.gradient(name, *data.make(name, dtype), int(threads), how)
    if run is None:
        print(json.dumps({"absent": True}), flush=True)
        return
    for line in sys.stdin:
        answer: dict[str, Any] = {}
        if line.strip() == "first":
            for _ in range(getattr(run, "first", 1) - 1):
                run()
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
