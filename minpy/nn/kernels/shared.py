"""Passes over memory that the threads of MinPy's pool make together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minpy.runtime.fuse import pool

_SHARE = 1 << 18  # elements for each thread at least


def pieces(count: int, elements: int, least: int = 0) -> list[tuple[int, int]]:
    """Where each thread begins with things that are `elements` in all, and how many it has.

    Parameters
    ----------
    count : int
        How many things there are.
    elements : int
        What they are in all.
    least : int
        Elements that are worth a thread; a common number of them by default.
    """
    number = elements // (least or _SHARE)
    if number > 1:
        number = min(number, count, pool.width())
    if number < 2:
        return [(0, count)]
    return pool.cuts(count, number)


def over(work: Callable[[int, int], None], count: int, elements: int, least: int = 0) -> None:
    """``work(first, how many)`` for all things, by as many threads as it pays; see `pieces`.

    What NumPy does about floating-point errors is in all of them what it does in the caller's thread.
    """
    found = pieces(count, elements, least)
    if len(found) == 1:
        work(*found[0])
        return
    settings = np.geterr()

    def part(number: int) -> None:
        with np.errstate(**settings):
            work(*found[number])

    pool.run(part, len(found))
