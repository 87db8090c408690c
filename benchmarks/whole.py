"""Whole programs, unmodified: plain Python against `minpy run`, the same bits, warm and at the first run.

    python -m benchmarks programs [--size small|large|both] [--only name…] [--plot file] [--table file]

Each program runs in two processes that stay: one of plain Python, one under ``minpy run``. They are warmed up, then
their rounds are interleaved, so that a disturbance of the machine meets both. That is done with three pairs of
processes, since where a process happens to place its arrays changes its times by up to a tenth. Before that, a
process with empty caches takes the cold time: from its start to the end of the first run.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.timing import duration, summary, table

FOLDER = Path(__file__).with_name("corpus")
SCRIPT = Path(__file__).with_name("one_program.py")
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
SIZES = ("small", "large")
# What takes less is repeated within a round.
SHORTEST = 0.01
# Warming up, in seconds: MinPy compiles a loop of short runs once it has spent some 0.6 s in them; a later process
# knows that from the cache.
WARM, WARM_AGAIN = 1.2, 0.3
# A program below this is slower under MinPy.
LEAST = 0.95


class Failed(Exception):
    """A program's process ended before it answered."""


class Process:
    """A program's process, asked for one run after the other."""

    def __init__(self, name: str, size: str, environment: dict[str, str], *, minpy: bool) -> None:
        self.what = f"{name} ({size}, {'minpy run' if minpy else 'python'})"
        words = ["-m", "minpy", "run"] if minpy else []
        self.started = time.time()
        self._process = subprocess.Popen(
            [sys.executable, *words, str(SCRIPT), name, size],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, words: str) -> dict[str, Any]:
        """What the process answers to a line."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(words + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise Failed(f"{self.what} ended with status {self._process.wait()}")
        return json.loads(answer)

    def close(self) -> None:
        """Let the process end."""
        self._process.communicate()


@contextmanager
def process(*args: Any, **keywords: Any) -> Iterator[Process]:
    """A `Process` that ends with the block."""
    running = Process(*args, **keywords)
    try:
        yield running
    finally:
        running.close()


def from_start(running: Process) -> tuple[float, list[str]]:
    """The seconds from a process's start to the end of its first run, and what that gave."""
    answer = running.ask("first")
    return answer["done"] - running.started, answer["seen"]


def differences(plain: list[str], ours: list[str]) -> list[str]:
    """The values that are not the same in the two runs."""
    return [
        f"{mine or 'nothing'} instead of {theirs or 'nothing'}"
        for theirs, mine in zip(
            plain + [""] * (len(ours) - len(plain)), ours + [""] * (len(plain) - len(ours)), strict=True
        )
        if mine != theirs
    ]


def compare(
    name: str, size: str, environment: dict[str, str], seconds: float, pairs: int = 3
) -> dict[str, Any]:
    """One program at one size: whether it gives the same, and its times."""
    with tempfile.TemporaryDirectory(prefix="minpy-bench-") as folder:
        environment = {**environment, "MINPY_CACHE_DIR": folder}
        with process(name, size, environment, minpy=False) as plain:
            # Not counted: the first start of all finds files that nobody has read yet.
            from_start(plain)
        with process(name, size, environment, minpy=True) as cold:
            cold_start, first = from_start(cold)
        times: dict[str, list[float]] = {"python": [], "minpy": []}
        starts: dict[str, list[float]] = {"python": [], "minpy": []}
        medians, found = [], []
        for pair in range(pairs):
            warm = WARM_AGAIN if pair else WARM
            with process(name, size, environment, minpy=False) as plain:
                start, expected = from_start(plain)
                starts["python"].append(start)
                with process(name, size, environment, minpy=True) as ours:
                    start, again = from_start(ours)
                    starts["minpy"].append(start)
                    estimates = [each.ask(f"warm {warm}")["seconds"] for each in (plain, ours)]
                    both = _rounds({"python": plain, "minpy": ours}, estimates, seconds / pairs)
                    last = ours.ask("first")["seen"]
            found += [each for seen in (first, again, last) for each in differences(expected, seen)]
            medians.append(statistics.median(both["python"]) / statistics.median(both["minpy"]))
            for which, values in both.items():
                times[which] += values
    middle = statistics.median(medians)
    # Of several pairs of processes their ratios scatter, of one the ratios of its rounds.
    scatter = medians if pairs > 1 else [a / b for a, b in zip(times["python"], times["minpy"], strict=True)]
    return {
        "program": name,
        "size": size,
        "same": not found,
        "differences": list(dict.fromkeys(found))[:5],
        "python": summary(times["python"]),
        "minpy": summary(times["minpy"]),
        "ratio": middle,
        "ratio_best": min(times["python"]) / min(times["minpy"]),
        "ratio_spread": statistics.median(abs(each - middle) for each in scatter),
        "start_python": min(starts["python"]),
        "start_cold": cold_start,
        "start_warm": min(starts["minpy"]),
    }


def _rounds(things: dict[str, Process], estimates: list[float], seconds: float) -> dict[str, list[float]]:
    counts = [max(1, min(200, math.ceil(SHORTEST / each))) for each in estimates]
    times: dict[str, list[float]] = {name: [] for name in things}
    pairs = list(zip(things.items(), counts, strict=True))
    end = time.perf_counter() + seconds
    while len(times["python"]) < 5 or (len(times["python"]) < 60 and time.perf_counter() < end):
        for (name, running), count in pairs:
            times[name].append(running.ask(f"round {count}")["seconds"])
        pairs.reverse()
    return times


def environment_for(only: list[str] | None, environment: dict[str, str] | None) -> dict[str, str]:
    """The environment of the processes; it is an error if there is no program of one of the names."""
    unknown = sorted(set(only or ()) - set(NAMES))
    if unknown:
        raise SystemExit(f"no program {unknown[0]!r}: there is {', '.join(NAMES)}")
    root = str(Path(__file__).parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    everything = {**os.environ, **(environment or {}), "PYTHONPATH": os.pathsep.join(paths)}
    everything.pop("PYTHONDONTWRITEBYTECODE", None)  # it would keep MinPy's cache empty too
    return everything


def measure(
    fast: bool,
    only: list[str] | None,
    sizes: tuple[str, ...] = SIZES,
    environment: dict[str, str] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """All programs, or those of `only`, at the given sizes; a line to `say` for each."""
    everything = environment_for(only, environment)
    rows = []
    for size in sizes:
        for name in only or NAMES:
            row = compare(name, size, everything, 0.5 if fast else 3.0, 1 if fast else 3)
            rows.append(row)
            say("  ".join(_cells(row)))
    return rows


def overall(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """For each size the geometric mean of the ratios, the least, and how many programs are slower or not the same."""
    found = {}
    for size in dict.fromkeys(row["size"] for row in rows):
        mine = [row for row in rows if row["size"] == size]
        least = min(mine, key=lambda row: row["ratio"])
        extra = [row["start_cold"] - row["start_python"] for row in mine]
        found[size] = {
            "programs": len(mine),
            "mean": math.exp(statistics.fmean(math.log(row["ratio"]) for row in mine)),
            "least": least["ratio"],
            "least_program": least["program"],
            "slower": [row["program"] for row in mine if row["ratio"] < LEAST],
            "different": [row["program"] for row in mine if not row["same"]],
            "cold": statistics.median(extra),
            "cold_most": max(extra),
        }
    return found


HEADS = ["program", "size", "python", "minpy run", "python / minpy", "cold start", "warm start", "result"]


def _cells(row: dict[str, Any]) -> list[str]:
    def time_of(which: str) -> str:
        return f"{duration(row[which]['median'])} ± {duration(row[which]['spread'])}"

    return [
        row["program"],
        row["size"],
        time_of("python"),
        time_of("minpy"),
        f"{row['ratio']:.2f} ± {row['ratio_spread']:.2f}",
        duration(row["start_cold"] - row["start_python"]),
        duration(row["start_warm"] - row["start_python"]),
        "same" if row["same"] else "NOT THE SAME: " + "; ".join(row["differences"]),
    ]


def text(rows: list[dict[str, Any]]) -> str:
    """The table, and a line for each size."""
    return "\n".join([table(HEADS, [_cells(row) for row in rows]), *_overall_lines(rows)])


def _overall_lines(rows: list[dict[str, Any]]) -> list[str]:
    return [
        f"  {size}, {each['programs']} programs: geometric mean {each['mean']:.2f}, least {each['least']:.2f} "
        f"({each['least_program']}), below {LEAST}: {', '.join(each['slower']) or 'none'}; "
        f"not the same: {', '.join(each['different']) or 'none'}; "
        f"the first run starts {duration(each['cold'])} later (at most {duration(each['cold_most'])})"
        for size, each in overall(rows).items()
    ]


def markdown(rows: list[dict[str, Any]]) -> str:
    """A table for the documents: a line for each program, its sizes beside each other."""
    sizes = list(dict.fromkeys(row["size"] for row in rows))
    by_name: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        by_name.setdefault(row["program"], {})[row["size"]] = row
    lines = ["| program | " + " | ".join(f"{s}: python | minpy run | ratio" for s in sizes) + " |"]
    lines.append("| --- |" + " ---: |" * (3 * len(sizes)))
    for name, found in sorted(by_name.items()):
        cells = [name]
        for size in sizes:
            row = found.get(size)
            cells += (
                [duration(row["python"]["median"]), duration(row["minpy"]["median"]), f"{row['ratio']:.2f}"]
                if row
                else ["", "", ""]
            )
        lines.append("| " + " | ".join(cells) + " |")
    means = [f" | | **{each['mean']:.2f}**" for each in overall(rows).values()]
    lines.append("| geometric mean |" + " |".join(means) + " |")
    return "\n".join(lines) + "\n"


def plot(rows: list[dict[str, Any]], path: str) -> None:
    """A bar for each program and size, on a logarithmic scale, as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sizes = list(dict.fromkeys(row["size"] for row in rows))
    ratios = {(row["program"], row["size"]): row["ratio"] for row in rows}
    names = sorted(
        {name for name, _ in ratios}, key=lambda name: max(ratios.get((name, s), 0) for s in sizes)
    )
    figure, axes = pyplot.subplots(figsize=(8, 1.5 + 0.22 * len(names)))
    height = 0.8 / len(sizes)
    for k, size in enumerate(sizes):
        places = [i + k * height for i, name in enumerate(names) if (name, size) in ratios]
        values = [ratios[name, size] - 1 for name in names if (name, size) in ratios]
        axes.barh(places, values, height, left=1, label=size)  # from 1, the time of plain Python
    axes.set_yticks([i + 0.4 - height / 2 for i in range(len(names))], names, fontsize=7)
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("time under python / time under minpy run")
    axes.legend(loc="lower right")
    axes.margins(y=0.01)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
