"""Whole programs of about a second, in a process of their own with empty caches: `minpy run` against plain Python.

    python -m benchmarks cold [--size small|large] [--only name…]

Each program is repeated, in one process, as often as makes it take a second under plain Python, start and import of
NumPy included. Under ``minpy run`` the same process has an empty cache folder: it analyses the program, rewrites it,
measures engines and compiles, and all of that is on its clock. What is compared is the time from the start of the
process to its end, without the time in which the program's arguments are copied.
"""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Callable
from typing import Any

from benchmarks.timing import duration, table
from benchmarks.whole import NAMES, environment_for, process

TARGET = 1.0  # seconds under plain Python
BOUND = 1.1  # times that, cold
ROUNDS, FEW_ROUNDS = 5, 2


def run_once(
    name: str, size: str, environment: dict[str, str], count: int, *, minpy: bool
) -> dict[str, float]:
    """A process from its start to its end: seconds on the clock, and of the processors."""
    with process(name, size, environment, minpy=minpy) as running:
        copying = running.ask(f"repeat {count}")["copying"]
    return {"seconds": running.lasted - copying, "processor": running.processor - copying}


def compare(name: str, size: str, environment: dict[str, str], rounds: int) -> dict[str, Any]:
    """One program at one size."""
    with process(name, size, environment, minpy=False) as plain:
        plain.ask("first")
        each = plain.ask("warm 0.3")["seconds"]
    start = run_once(name, size, environment, 0, minpy=False)["seconds"]
    count = max(1, math.ceil((TARGET - start) / each))
    times: dict[str, list[dict[str, float]]] = {"python": [], "minpy": []}
    for number in range(rounds):
        order = ("python", "minpy") if number % 2 else ("minpy", "python")
        for which in order:
            with tempfile.TemporaryDirectory(prefix="minpy-bench-") as folder:
                own = {**environment, "MINPY_CACHE_DIR": folder}
                times[which].append(run_once(name, size, own, count, minpy=which == "minpy"))
    best = {which: min(each["seconds"] for each in found) for which, found in times.items()}
    processor = {which: min(each["processor"] for each in found) for which, found in times.items()}
    ratios = [m["seconds"] / p["seconds"] for p, m in zip(times["python"], times["minpy"], strict=True)]
    return {
        "program": name,
        "size": size,
        "runs": count,
        "python": best["python"],
        "minpy": best["minpy"],
        "ratio": best["minpy"] / best["python"],
        "ratio_median": statistics.median(ratios),
        "processor_ratio": processor["minpy"] / processor["python"],
        "excess": best["minpy"] - best["python"],
    }


def measure(
    fast: bool,
    only: list[str] | None,
    sizes: tuple[str, ...],
    environment: dict[str, str] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """All programs, or those of `only`; a line to `say` for each."""
    everything = environment_for(only, environment)
    rows = []
    for size in sizes:
        for name in only or NAMES:
            rows.append(compare(name, size, everything, FEW_ROUNDS if fast else ROUNDS))
            say("  ".join(_cells(rows[-1])))
    return rows


HEADS = [
    "program",
    "size",
    "runs",
    "python",
    "minpy run, cold",
    "cold / python",
    "median",
    "excess",
    "processors",
]


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        row["program"],
        row["size"],
        str(row["runs"]),
        duration(row["python"]),
        duration(row["minpy"]),
        f"{row['ratio']:.3f}" + ("  OVER" if row["ratio"] > BOUND else ""),
        f"{row['ratio_median']:.3f}",
        duration(row["excess"]),
        f"{row['processor_ratio']:.2f}",
    ]


def text(rows: list[dict[str, Any]]) -> str:
    """The table, the worst first, and what is above the bound."""
    lines = [table(HEADS, [_cells(row) for row in sorted(rows, key=lambda row: -row["ratio"])])]
    for size in dict.fromkeys(row["size"] for row in rows):
        mine = [row for row in rows if row["size"] == size]
        worst = max(mine, key=lambda row: row["ratio"])
        over = [row["program"] for row in mine if row["ratio"] > BOUND]
        mean = math.exp(statistics.fmean(math.log(row["ratio"]) for row in mine))
        lines.append(
            f"  {size}, {len(mine)} programs of {TARGET:g} s: cold / python at most {worst['ratio']:.3f} "
            f"({worst['program']}), geometric mean {mean:.3f}; above {BOUND}: {', '.join(over) or 'none'}"
        )
    return "\n".join(lines)
