"""What MinPy itself takes of a run's time, and how much it may.

Whatever is spent in the hope that it pays later (compiling, most of all) asks first: all of it together, and what the
program waited for before it began to be rewritten, stays below a share of the time that the process has run, so that a
program which gains nothing loses little; and what was gained may be spent again, in part. What surely gains may come
earlier, but no more of it than one loop or two before something has been gained. After the first second there
is another share, of the time that went into one thing: else what was spent at the beginning would keep the program for
seconds from what takes tenths of one. What is spent is processor time (`clock`), since another program that has the
processor meanwhile would take it from this one in any case. Importing this module imports nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import perf_counter, process_time
from time import thread_time as clock
from typing import Any

SHARE = 0.08  # of the time since the beginning
START = 0.02  # seconds that are spent in any case, about: on imports until the program begins, and on what ends with it
SURE = 0.11  # seconds more that may be spent on what surely gains many times that, if it goes on
LATE = 1.2  # seconds that a process has run, the rewriting aside, before
DUE = 1 / 3  # of the time that was spent in one thing may be spent on it, whatever was spent on others
AGAIN = 0.5  # of what was gained: it is estimated
# Seconds, and the part of the time since the beginning, that may be lost by looking at blocks, and by measuring their
# engines.
LOOKS, LOOKING = 0.012, 0.015
_HEAD_START = 0.1  # seconds that a process has run when this is imported: Python's start and NumPy's

_GLANCE = 2e-3  # seconds between two looks at the processor's time
_began = perf_counter() - _HEAD_START
_looked = _worked = 0.0
_ASKED = 0.05  # seconds between two questions what was gained
_asked = _added = 0.0
# Seconds by what they were spent for; those of another thread, during which the program went on, are not in `taken`.
seconds: dict[str, float] = {}
counts: dict[str, int] = {}
_taken = _lost = 0.0
# The same as a time line: seconds of the clock since the process began, what, how often, spent, and waited for. What
# comes again so soon is one entry; there are no more than so many, so that a program of days keeps few.
line: list[list[Any]] = []
_SOON, _LONGEST_LINE = 0.05, 400
_last: dict[str, list[Any]] = {}
# What tells the seconds that the program would have run longer without what was done for it.
gains: list[Callable[[], float]] = []


def note(what: str, spent: float, *, taken: float | None = None) -> None:
    """Enter `spent` seconds of work; of these the program had to wait for `taken` (if not given, for all)."""
    global _taken
    if taken is None:
        taken = spent
    seconds[what] = seconds.get(what, 0.0) + spent
    counts[what] = counts.get(what, 0) + 1
    _taken += taken
    at, last = perf_counter() - _began, _last.get(what)
    if last is not None and (at - last[0] < _SOON or len(line) >= _LONGEST_LINE):
        last[2] += 1
        last[3] += spent
        last[4] += taken
    elif len(line) < _LONGEST_LINE:
        _last[what] = entry = [at, what, 1, spent, taken]
        line.append(entry)


def note_look(lost: float) -> None:
    """Enter what was lost by looking at a block, or by measuring one of its engines: less than nothing if it won."""
    global _lost
    lost = max(lost, -_lost)
    _lost += lost
    note("looking at blocks", lost)


def may_look() -> bool:
    """Whether more may be lost by looking at blocks, and by measuring engines, at present."""
    return _lost < LOOKS + LOOKING * ran() or _lost < LOOKS + AGAIN * gained()


class entered:
    """A context: the seconds inside are entered as spent for `what`, without those that are entered in it."""

    __slots__ = ("_began", "_what")

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        self._began = perf_counter() - _taken

    def __exit__(self, *exc_info: object) -> None:
        note(self._what, max(perf_counter() - _taken - self._began, 0.0))


def ran() -> float:
    """The seconds that the process has run: of the processor, where others use that too, or it waits."""
    global _looked, _worked
    now = perf_counter()
    if now - _looked > _GLANCE:  # the system is asked for it
        _looked, _worked = now, process_time()
    return min(now - _began, _worked)


def taken() -> float:
    """The seconds that the program waited for, or is reckoned to have."""
    return _taken


def _waited() -> float:
    """The processor's seconds that the program waited until its modules were rewritten."""
    build = sys.modules.get("minpy.transform.build")
    return build.work.processor if build is not None else 0.0


def allows(expected: float, spent: float = 0.0) -> bool:
    """Whether `expected` more seconds may be spent on something that will perhaps not pay.

    The program has `spent` so many in what it is for.
    """
    return is_due(expected, spent) or _is_left(expected)


def allows_sure(expected: float) -> bool:
    """Whether `expected` more seconds may be spent on what surely gains, if it runs as long again as it has."""
    return allows(expected - SURE)


def is_due(expected: float, spent: float) -> bool:
    """Whether `expected` seconds are little beside the `spent` ones, in a program that has run for a while.

    Those that were spent are of the clock; where others had the processor meanwhile only a part of them counts.
    """
    if max(expected, 0.0) >= DUE * spent or ran() <= LATE + _waited():
        return False
    return expected < DUE * spent * ran() / (perf_counter() - _began)


def _is_left(expected: float) -> bool:
    missing = START + _taken + _waited() + expected - SHARE * ran()
    return missing < 0.0 or missing < AGAIN * gained()


def gained() -> float:
    """What `gains` tell; they are asked now and then, as they look at all that was made."""
    global _added, _asked
    now = perf_counter()
    if now - _asked > _ASKED:
        _asked, _added = now, sum(each() for each in gains)
    return _added


__all__ = [
    "allows",
    "allows_sure",
    "clock",
    "counts",
    "entered",
    "gained",
    "gains",
    "is_due",
    "line",
    "may_look",
    "note",
    "note_look",
    "ran",
    "seconds",
    "taken",
]
