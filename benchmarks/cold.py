"""Whole programs of about a second, in a process of their own with empty caches: `minpy run` against plain Python.

    python -m benchmarks cold [--size small|large] [--only name…] [--threads N]

Each program is repeated, in one process, as often as makes it take a second under plain Python, start and import of
NumPy included. Under ``minpy run`` the same process has an empty cache folder: it analyses the program, rewrites it,
measures engines and compiles, and all of that is on its clock. What is compared is the time from the start of the
process to its end, without the time in which the program's arguments are copied (`--threads 1`: on one processor);
beside it, the processor's time of the program's own thread, and of all threads and processes, which say more than the
clock while others use the machine.
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.timing import duration, table
from benchmarks.whole import FOLDER, NAMES, environment_for

TARGET = 1.0  # seconds under plain Python
BOUND = 1.1  # times that, cold
ROUNDS, FEW_ROUNDS = 5, 2


# What is put behind a program's text, so that it is one file, as a user's would be.
MAIN = """

if __name__ == "__main__":
    import copy
    import sys
    import time

    inputs = setup(sys.argv[1])
    copying = 0.0
    for _ in range(int(sys.argv[2])):
        start = time.perf_counter()
        arguments = copy.deepcopy(inputs)
        copying += time.perf_counter() - start
        run(*arguments)
    print(copying, time.thread_time() - copying)
"""


def run_once(script: Path, words: list[str], environment: dict[str, str], *, minpy: bool) -> dict[str, float]:
    """A process from its start to its end: seconds on the clock, of the processors, and of the program's thread."""
    command = [sys.executable, *(["-m", "minpy", "run"] if minpy else []), str(script), *words]
    began = time.perf_counter()
    running = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    assert running.stdout is not None
    printed = running.stdout.read()
    _, status, usage = os.wait4(running.pid, 0)
    seconds = time.perf_counter() - began
    running.stdout.close()
    running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise SystemExit(f"{script.name} ended with status {running.returncode}")
    copying, thread = map(float, printed.split())
    processor = usage.ru_utime + usage.ru_stime
    return {"seconds": seconds - copying, "processor": processor - copying, "thread": thread}


def compare(name: str, size: str, environment: dict[str, str], rounds: int) -> dict[str, Any]:
    """One program at one size."""
    with tempfile.TemporaryDirectory(prefix="minpy-bench-") as folder:
        script = Path(folder, f"{name}.py")
        script.write_text((FOLDER / f"{name}.py").read_text(encoding="utf-8") + MAIN, encoding="utf-8")

        def once(count: int, minpy: bool) -> dict[str, float]:
            with tempfile.TemporaryDirectory(prefix="minpy-bench-") as empty:
                own = {**environment, "MINPY_CACHE_DIR": empty}
                return run_once(script, [size, str(count)], own, minpy=minpy)

        # How often: on a machine that others use too, the processor's time says it better than the clock's.
        once(0, False)
        start, count = once(0, False)["processor"], 1
        while (took := once(count, False)["processor"] - start) < (TARGET - start) / 3:
            count = min(math.ceil(count * (TARGET - start) / max(took, 1e-3)), 8 * count)
        count = max(1, round(count * (TARGET - start) / took))
        times: dict[str, list[dict[str, float]]] = {"python": [], "minpy": []}
        for number in range(rounds):
            for which in ("python", "minpy") if number % 2 else ("minpy", "python"):
                times[which].append(once(count, which == "minpy"))
    best = {which: min(each["seconds"] for each in found) for which, found in times.items()}
    processor = {which: min(each["processor"] for each in found) for which, found in times.items()}
    thread = {which: min(each["thread"] for each in found) for which, found in times.items()}
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
        "thread_ratio": thread["minpy"] / thread["python"],
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
    "thread",
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
        f"{row['thread_ratio']:.2f}",
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
