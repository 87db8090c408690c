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

from minpy.places import LOOPS, flag_of
from minpy.runtime import flags, ledger
from minpy.runtime.jit.sites import Site, is_undisturbed

_SOON = 2e-3  # a loop that asks so soon after its site was woken has been running
_NAPS = 8  # short ones, before the site sleeps as long as all others
_SAMPLE = 8  # rounds that are timed
_HOPE = 4  # as in `drive`: what was spent in a loop, times what compiling takes from the program
# Seconds that going into compiled code may have lost before the site sleeps again, and that it may have gained ahead.
_LOSS, _GAIN = 500e-6, 20e-3
FAR = 1 << 60  # rounds


class WhileSite(Site):
    """A ``while`` loop of the program; called before each evaluation of its condition, says whether it is over."""

    __slots__ = ("asleep", "balance", "flag", "known", "naps", "rounds", "since", "slept", "woken")

    def __init__(self, name: str, what: str, nest: bool, line: int, digest: str) -> None:
        super().__init__(name, what, nest, line, digest)
        self.flag = flag_of(LOOPS, line, digest)
        self.asleep = False
        self.balance = 0.0  # seconds gained by running compiled
        self.rounds = 0  # since when it was woken
        self.since = self.slept = self.woken = (
            0.0  # when its rounds began to be timed, it was put to sleep, and woken
        )
        self.naps = 0
        self.known: bool | None = None  # whether it was compiled in an earlier run

    @property
    def dead(self) -> bool:
        """Whether it is no use waking it."""
        return bool(self.reason)

    def set_flag(self, awake: bool) -> None:
        """Let the loop ask, or not."""
        self.asleep = not awake
        if awake:
            self.rounds, self.woken = 0, perf_counter()
        (flags.wake if awake else flags.sleep)(self.flag, self.name)

    def __call__(self, *arguments: Any) -> bool:
        # Asked while it sleeps: because of another place that has the same flag.
        if self.asleep or self.reason or not is_undisturbed():
            return False
        if self.force or self.kernels:
            return self._enter(sys._getframe(1))
        return self._wait(sys._getframe(1))

    def _wait(self, frame: Any) -> bool:
        """Find out whether the loop is worth compiling."""
        from minpy.runtime.jit import background, drive, store

        now = perf_counter()
        if not self.rounds:
            if self.woken and now - self.woken < _SOON:
                self.spent += now - self.slept
            self.since = now
        self.rounds += 1
        if self.rounds <= _SAMPLE:
            return False
        took = (now - self.since) / _SAMPLE
        self.per_round = min(self.per_round or took, took)
        if self.known is None:
            self.known = store.is_known(self.name)
            if self.known:
                return self._enter(frame)
        job = drive.pending.get(self)
        if job is not None:
            if job.done:
                del drive.pending[self]
                return self._enter(frame)
        else:
            takes, _ = background.expected()
            if self.spent > _HOPE * takes and ledger.allows(takes):
                return self._enter(frame)
        self._sleep()
        return False

    def _enter(self, frame: Any) -> bool:
        """Run compiled from here, if that is possible now."""
        from minpy.runtime.jit import drive
        from minpy.runtime.jit.bind import WHILE

        self.filename = frame.f_code.co_filename
        compiled, kernels, began = self.compiled, self._kernels(), perf_counter()
        result = drive.run(self, WHILE, frame.f_code, frame, 0, FAR)
        took = perf_counter() - began
        if self.reason:
            return False
        if self._kernels() == kernels:  # else it was compiled or loaded, which is not done each time
            gained = (self.compiled - compiled) * self.per_round - took
            self.balance = min(_GAIN, self.balance + gained)
        if (result is None or self.balance < -_LOSS) and not self.force:
            self.balance = 0.0
            self._sleep()
        return result is not None and result[1]

    def _kernels(self) -> int:
        return sum(map(len, self.kernels.values()))

    def _sleep(self) -> None:
        from minpy.runtime.fuse import sites as blocks

        self.slept = perf_counter()
        self.naps += 1
        self.set_flag(False)
        blocks.rest(self, self.naps <= _NAPS)


__all__ = ["WhileSite"]
