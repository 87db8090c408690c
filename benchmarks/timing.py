"""Interleaved rounds of several things in one process, and what is made of their times.

pyperf measures one thing after the other in processes of its own. Here ratios are wanted of things that take
milliseconds to seconds, on machines that others use too: the rounds of all are interleaved, so that a disturbance
meets all alike.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

Timed = Callable[[], float]


def clocked(work: Callable[..., Any], *make: Callable[[], Any], again: int = 1) -> Timed:
    """A measurement of `work`, called with what each of `make` gives outside the time that is taken.

    With `again`, it is the best of so many calls: after another thing had its turn, the first finds cold caches.
    """

    def run() -> float:
        best = float("inf")
        for _ in range(again):
            args = [f() for f in make]
            start = time.perf_counter()
            work(*args)
            best = min(best, time.perf_counter() - start)
        return best

    return run


def rounds(
    things: dict[str, Timed], seconds: float, least: int = 5, most: int = 400
) -> dict[str, list[float]]:
    """The times of each thing in rounds in which each has its turn, for about `seconds` in all.

    The first round warms up caches and is not counted. The order is turned around in each second round.
    """
    for run in things.values():
        run()
    # What is loaded by now, a million objects of the frameworks', is not gone through each time that the collector
    # happens to look at everything; what each thing allocates itself still is.
    gc.collect()
    gc.freeze()
    times: dict[str, list[float]] = {name: [] for name in things}
    end = time.perf_counter() + seconds
    done = 0
    while done < most and (done < least or time.perf_counter() < end):
        gc.collect()
        for name in list(things) if done % 2 else reversed(list(things)):
            times[name].append(things[name]())
        done += 1
    return times


def summary(values: list[float]) -> dict[str, float]:
    """Best, median and median absolute deviation, in seconds, and the number of rounds."""
    middle = statistics.median(values)
    return {
        "best": min(values),
        "median": middle,
        "spread": statistics.median(abs(v - middle) for v in values),
        "rounds": len(values),
    }


def ratio(a: list[float], b: list[float]) -> dict[str, float]:
    """The ratio of the medians of two things measured in the same rounds.

    Its spread is the median absolute deviation of the ratios of the single rounds.
    """
    each = [x / y for x, y in zip(a, b, strict=True)]
    middle = statistics.median(each)
    return {
        "value": statistics.median(a) / statistics.median(b),
        "spread": statistics.median(abs(v - middle) for v in each),
        "best": min(a) / min(b),
    }


def duration(seconds: float) -> str:
    """Signed seconds for people."""
    sign, value = ("-", -seconds) if seconds < 0 else ("", seconds)
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= scale:
            return f"{sign}{value / scale:.3g} {unit}"
    return f"{sign}{value / 1e-9:.3g} ns"


def size(count: float) -> str:
    """Bytes for people."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count:.0f} B"


def table(heads: list[str], lines: list[list[str]]) -> str:
    """Columns of text, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]

    def line(cells: list[str]) -> str:
        first, *others = (
            c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))
        )
        return ("  " + "  ".join([first, *others])).rstrip()

    return "\n".join([line(heads), *map(line, lines)])


def main(measure: Callable[[bool, list[str] | None], Any]) -> None:
    """The worker process of one set: measures, and writes the figures as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--only", nargs="*")
    options = parser.parse_args()
    with open(options.output, "w", encoding="utf-8") as file:
        json.dump(measure(options.fast, options.only), file)
