"""Figures of programs as `benchmarks.whole` measures them, made up."""

from __future__ import annotations

from typing import Any


def row(name: str, size: str, minpy: float, **peers: float | str) -> dict[str, Any]:
    took = {"median": 0.1, "best": 0.1, "spread": 0.0, "rounds": 5}
    found = {
        peer: {"absent": each}
        if isinstance(each, str)
        else {**took, "ratio": each, "ratio_spread": 0.0, "wrong": [], "first_cold": 1.1, "first_warm": 0.2}
        for peer, each in peers.items()
    }
    return {
        "program": name, "size": size, "same": True, "differences": [], "python": took, "minpy": took, "ratio": minpy,
        "ratio_best": minpy, "ratio_spread": 0.0, "start_python": 0.1, "start_cold": 0.4, "start_warm": 0.2,
        "peers": found,
    }  # fmt: skip


ROWS = [
    row("sobel", "small", 2.0, numba=4.0, jax=0.5),
    row("quicksort", "small", 8.0, numba=1.0, jax="has no stack"),
    row("sobel", "large", 4.0, numba=2.0, jax=2.0),
]
