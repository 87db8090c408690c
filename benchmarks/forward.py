"""An array expression, a stencil and loops over numbers: NumPy, MinPy and the libraries made for each of them.

    python -m benchmarks forward [--only name…] [--threads N] [--peer-python PATH]

The programs are some of `benchmarks/corpus`; each library has a port of what can be said in it (`benchmarks/ports`).
Measured as `benchmarks.whole` does: a process each, rounds interleaved.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from benchmarks import report, whole
from benchmarks.ports import PEERS

PROGRAMS = {
    "tanh_exp": ("large", "middle", "small"),
    "jacobi_2d": ("large", "small"),
    "crc": ("large",),
    "gram_schmidt_loops": ("large",),
    "edit_distance": ("large",),
}


def measure(
    fast: bool,
    only: list[str] | None = None,
    environment: dict[str, str] | None = None,
    say: Callable[[str], None] = lambda line: None,
    python: str = sys.executable,
) -> dict[str, Any]:
    """All programs, or those of `only`, with all peers that the interpreter has."""
    unknown = sorted(set(only or ()) - set(PROGRAMS))
    if unknown:
        raise SystemExit(f"not measured here: {', '.join(unknown)}. There is: {', '.join(PROGRAMS)}")
    absent: list[str] = []
    peers = whole.installed(PEERS, python, absent.append)
    programs = [(name, size) for name in only or PROGRAMS for size in PROGRAMS[name]]
    return {"absent": absent, "rows": whole.measure_each(programs, fast, environment, say, peers)}


def text(found: dict[str, Any]) -> str:
    """A table of times, one of ratios, and what was not measured."""
    parts = [report.side_by_side(found["rows"]), *(f"  {line}" for line in found["absent"])]
    return "\n".join(parts)
