"""The memory of a tape against what it must hold, and of checkpointed loops against the square root of their steps."""

from __future__ import annotations

import gc
import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

import minpy
from benchmarks.timing import size, table

STEPS, LENGTH = 50, 100_000


@minpy.accelerate
def stencil(x: Any, mark: Callable[[], None]) -> Any:
    """Four intermediate results a step, and one slice overwritten."""
    u = x.copy()
    for _ in range(STEPS):
        u[1:-1] += 0.2 * (u[2:] - 2 * u[1:-1] + u[:-2])
    value = np.sum(u)
    mark()
    return value


@minpy.accelerate
def chain(x: Any, mark: Callable[[], None]) -> Any:
    """One intermediate result a step."""
    for _ in range(STEPS):
        x = np.tanh(x)
    value = np.sum(x)
    mark()
    return value


@minpy.accelerate
def slices(x: Any, mark: Callable[[], None]) -> Any:
    """One intermediate result of a hundredth of the array, and as much overwritten, a step."""
    u = x.copy()
    m = len(u) // 100
    for i in range(STEPS):
        u[i * m : (i + 1) * m] = np.sin(u[i * m : (i + 1) * m])
    value = np.sum(u)
    mark()
    return value


def tape() -> list[dict[str, Any]]:
    """What lives in memory when the forward run ends, and at the highest point, by Python's own count."""
    array = 8 * LENGTH
    inner = array - 16
    expected = {
        stencil: array + STEPS * (4 * inner + inner),
        chain: STEPS * array,
        slices: array + STEPS * (array // 100 + array // 100),
    }
    rows = []
    for program, bound in expected.items():
        x = np.random.default_rng(2).normal(size=LENGTH)
        held: list[int] = []
        gradient = minpy.value_and_grad(lambda y, p=program, held=held: p(y, lambda: held.append(_now())))
        gradient(x)  # what is imported on the way is no part of the tape
        held.clear()
        before, peak = _traced(lambda gradient=gradient, x=x: gradient(x))
        rows.append(
            {
                "program": program.__name__,
                "expected": bound,
                "held": held[0] - before,
                "peak": peak,
                "ratio": (held[0] - before) / bound,
            }
        )
    return rows


def _now() -> int:
    return tracemalloc.get_traced_memory()[0]


def _traced(work: Callable[[], Any]) -> tuple[int, int]:
    """The memory in use before `work`, and the most that was added during it."""
    gc.collect()
    tracemalloc.start()
    try:
        before = _now()
        work()
        return before, tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@minpy.accelerate
def steps(x: Any, n: int) -> Any:
    """A loop of `n` steps that keeps four arrays a step on a tape."""
    for _ in range(n):
        x = x + 0.01 * np.sin(x) * x
    return x


@minpy.accelerate
def whole(x: Any, n: int) -> Any:
    """The loop as it stands."""
    return np.sum(steps(x, n))


@minpy.accelerate
def pieces(x: Any, n: int) -> Any:
    """The loop in checkpointed pieces, as many as each has steps."""
    piece = math.isqrt(n)
    checkpointed = minpy.checkpoint(steps)
    for _ in range(piece):
        x = checkpointed(x, piece)
    return np.sum(x)


def checkpoints(fast: bool) -> list[dict[str, Any]]:
    """The highest point of memory for n, 4n and 16n steps."""
    x = np.random.default_rng(4).normal(size=10_000)
    first = 64 if fast else 256
    rows: list[dict[str, Any]] = []
    for program in (whole, pieces):
        gradient = minpy.value_and_grad(program)
        gradient(x, 4)
        for n in (first, 4 * first, 16 * first):
            peak = _traced(lambda gradient=gradient, n=n: gradient(x, n))[1]
            last = rows[-1]["peak"] if rows and rows[-1]["program"] == program.__name__ else None
            rows.append(
                {
                    "program": program.__name__,
                    "steps": n,
                    "peak": peak,
                    "growth": peak / last if last else None,
                }
            )
    return rows


def text_tape(rows: list[dict[str, Any]]) -> str:
    """The tape's memory as a table."""
    heads = ["", "bound", "held", "ratio", "highest point"]
    lines = [
        [r["program"], size(r["expected"]), size(r["held"]), f"{r['ratio']:.3f}", size(r["peak"])]
        for r in rows
    ]
    title = "  memory of the tape when the forward run ends; bound: bytes overwritten + intermediate results"
    return title + "\n" + table(heads, lines)


def text_checkpoints(rows: list[dict[str, Any]]) -> str:
    """The checkpoints' memory as a table."""
    names = {"whole": "without checkpoints", "pieces": "in √n checkpointed pieces"}
    lines = [
        [names[r["program"]], str(r["steps"]), size(r["peak"]), f"{r['growth']:.2f}" if r["growth"] else ""]
        for r in rows
    ]
    title = "  checkpoint: highest point of memory; four times the steps should take twice the memory"
    return title + "\n" + table(["", "steps", "highest point", "to a quarter of the steps"], lines)
