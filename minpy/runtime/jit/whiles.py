"""``while`` loops: when they run compiled.

    while not (__minpy__.l40 and __minpy__.loops.loop_while_44_1a2b3c4d()) and (a < b):

A `WhileSite` is asked between two rounds, where the variables of the frame are complete. It may run the loop compiled
from there; whatever it came to, the condition is evaluated next and decides as it would have. Only a compiled ``break``
must be told: the site then says that the loop is over.

How many rounds are left nobody knows, and asking costs more than some loops' rounds take. So a site sleeps (its flag is
off), and is woken from time to time. A loop that is then met at once has been running meanwhile; once that has been so
for long enough it is compiled. From then on the site is asked in each round, as long as that gains time.
"""

from __future__ import annotations

import sys
from time import perf_counter
from typing import Any

from minpy.runtime.jit.sites import Site, is_undisturbed

_SOON = 2e-3  # a loop that asks so soon after its site was woken has been running
_SAMPLE = 8  # rounds that are timed
FAR = 1 << 60  # rounds


class WhileSite(Site):
    """A ``while`` loop of the program; called before each evaluation of its condition, says whether it is over."""

    __slots__ = ("known", "rounds")

    def __init__(self, name: str, what: str, nest: bool, line: int, digest: str) -> None:
        super().__init__(name, what, nest, line, digest)
        self.rounds = 0  # since when it was woken
        self.known: bool | None = None  # whether it was compiled in an earlier run

    def set_flag(self, awake: bool) -> None:
        self.rounds = 0
        super().set_flag(awake)

    def __call__(self, *arguments: Any) -> bool:
        # Asked while it sleeps: because of another place that has the same flag.
        if self.asleep or self.reason or not is_undisturbed():
            return False
        if self.shortcut and self.shortcut.is_due:
            from minpy.runtime.jit import drive

            drive.settle(self)
            if self.asleep:
                return False
        if self.force or self.kernels:
            return self._enter(sys._getframe(1))
        return self._wait(sys._getframe(1))

    def _wait(self, frame: Any) -> bool:
        """Find out whether the loop is worth compiling."""
        from minpy.runtime.jit import drive, store

        now = perf_counter()
        if not self.rounds:
            # A round may be long: as soon as the next one begins, that is.
            if self.woken and now - self.woken < max(_SOON, 2.0 * self.per_round):
                self.spent += now - self.slept
            self.since = now
        self.rounds += 1
        if self.rounds <= _SAMPLE:
            return False
        took = (now - self.since) / _SAMPLE
        self.per_round = min(self.per_round or took, took)
        self.spent += _SAMPLE * self.per_round  # those just timed, without what came between two runs
        if self.known is None:
            self.known = store.is_known(self.name)
            if self.known:
                return self._enter(frame)
        if drive.is_hot(self, frame):
            return self._enter(frame)
        self.rest()
        return False

    def _enter(self, frame: Any) -> bool:
        """Run compiled from here, if that is possible now."""
        from minpy.runtime.jit import drive
        from minpy.runtime.jit.bind import WHILE

        self.filename = frame.f_code.co_filename
        result = drive.run(self, WHILE, frame.f_code, frame, 0, FAR)
        if result is None and not self.reason and not self.asleep and not self.force:
            self.rest()
        return result is not None and result[1]


__all__ = ["WhileSite"]
