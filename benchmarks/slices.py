"""Updates of slices, k and 2k of them: the time of value and gradient must double, not grow fourfold."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

import minpy
from benchmarks import frameworks
from benchmarks.timing import clocked, duration, ratio, rounds, summary, table

WIDTH = 100


@minpy.accelerate
def updates(x: Any, k: int) -> Any:
    """`k` updates of slices of an array of any fixed size."""
    u = x.copy()
    places = len(u) // 1000
    for i in range(k):
        j = i % places * 1000
        u[j : j + 1000] = np.sin(u[j : j + 1000])
    return np.sum(u * u)


@minpy.accelerate
def writes(x: Any) -> Any:
    """An update of each slice of an array."""
    u = x.copy()
    for j in range(0, len(u), WIDTH):
        u[j : j + WIDTH] = np.sin(u[j : j + WIDTH])
    return np.sum(u * u)


@minpy.accelerate
def reads(x: Any) -> Any:
    """A sum over the slices of an array, which every framework can differentiate as it stands."""
    total = 0.0
    for j in range(0, len(x), WIDTH):
        total = total + np.sum(np.sin(x[j : j + WIDTH]))
    return total


def measure(fast: bool) -> dict[str, Any]:
    """The three series."""
    seconds = 2.0 if fast else 6.0
    x = np.random.default_rng(3).normal(size=100_000)
    counts = (500, 1000, 2000, 4000)
    gradient = minpy.value_and_grad(updates)

    def both(k: int) -> Callable[[], Any]:
        return lambda: gradient(x, k)

    fixed = rounds({str(k): clocked(both(k)) for k in counts}, seconds)
    return {
        "fixed": _row("MinPy", counts, fixed, str),
        "writes": _growing("writes", writes, seconds),
        "reads": _growing("reads", reads, seconds),
        "absent": frameworks.absent(),
    }


def _row(
    name: str, counts: tuple[int, ...], times: dict[str, list[float]], key: Callable[[int], str]
) -> dict:
    return {
        "framework": name,
        "counts": counts,
        "times": [summary(times[key(k)]) for k in counts],
        "doubling": [ratio(times[key(b)], times[key(a)]) for a, b in itertools.pairwise(counts)],
    }


def _growing(kind: str, function: Any, seconds: float) -> list[dict]:
    """Arrays of k slices: the work of the plain run doubles with k."""
    gradients = {"MinPy": minpy.value_and_grad(function)}
    for framework in frameworks.present():
        found = getattr(framework, kind)(WIDTH)
        if found is not None:
            gradients[framework.name] = found
    things, counts = {}, {}
    for name, gradient in gradients.items():
        counts[name] = (125, 250, 500) if name.startswith("JAX") else (500, 1000, 2000, 4000)
        for k in counts[name]:
            x = np.random.default_rng(5).normal(size=k * WIDTH)
            things[f"{name} {k}"] = clocked(lambda f=gradient, x=x: f(x))
    # Its threads and its long rounds would disturb the others: JAX has rounds of its own.
    times: dict[str, list[float]] = {}
    for alone in (False, True):
        group = {name: run for name, run in things.items() if name.startswith("JAX") is alone}
        if group:
            times |= rounds(group, seconds)
    return [_row(name, counts[name], times, lambda k, name=name: f"{name} {k}") for name in gradients]


def text(found: dict[str, Any]) -> str:
    """The three series as tables."""
    parts = []
    for title, rows in (
        ("k updates of slices, the array always of 100,000 elements", [found["fixed"]]),
        (f"k slices of {WIDTH} elements, each updated in place", found["writes"]),
        (f"k slices of {WIDTH} elements, each read", found["reads"]),
    ):
        lines = []
        for row in rows:
            for i, (k, time) in enumerate(zip(row["counts"], row["times"], strict=True)):
                step = row["doubling"][i - 1] if i else None
                lines.append(
                    [
                        row["framework"],
                        str(k),
                        f"{duration(time['median'])} ± {duration(time['spread'])}",
                        f"{step['value']:.2f} ± {step['spread']:.2f}" if step else "",
                    ]
                )
        heads = ["", "k", "value and gradient", "to half of k"]
        parts.append(f"  {title}\n" + table(heads, lines))
    return "\n\n".join([*parts, *found["absent"]])
