"""Whether a loop gains by running compiled.

`Balance`: of every loop, what its compiled runs have gained. Those that lose, since they are short or are left early,
rest for a while.

`Trial`: of loops of array operations, rounds as written and compiled ones in turns, both timed. Numbers and single
elements always gain. Operations on arrays are what NumPy does best, so compiled code must show that it is faster, at
the sizes at hand; else the loop is left alone. It must do so again from time to time: while the expressions in the loop
try out engines of their own, the rounds as written are slower than they will be. The first time these are kept from
that; later they may do so for a while, and rounds in which they did are no samples.
"""

from __future__ import annotations

_SAMPLES = 4  # of each kind
_MARGIN = 0.95  # compiled rounds must take less than this part of the others
_CLOSE = 6.0  # times what rounds as written take: code that was compiled quickly and takes less may win yet
_AGAIN = (0.02, 0.2, 2.0)  # seconds of compiled runs after which the question is asked once more
LONGEST = 2e-3  # seconds of a compiled sample
_NEARBY = 16  # part of the rounds that are left that it has, unless these are short
# Of the time that a loop has run compiled: what expressions in it may spend on finding their engines, before it is
# compared with them, unless compiled rounds are so much faster that these cannot be.
_PATIENCE, _HOPELESS = 0.1, 15.0
# Seconds that compiled runs may have lost before the loop rests, and that they may have gained ahead.
LOSS, GAIN = 500e-6, 20e-3
WORST = LOSS / 10  # what a single run may lose in the account: others may have had the processor meanwhile


def nearby(per_round: float, left: int) -> int:
    """How many rounds a compiled sample has at most: rounds that are like the one as written before them.

    One takes `per_round` seconds as written, and `left` of them are left. Where they get shorter as the loop goes on,
    by columns of a triangle, the mean of all that are left is half of that one.
    """
    return max(1, left // _NEARBY, int(LONGEST / per_round) if per_round else left)


class Balance:
    """What compiled runs gained, the long way (the guard counts what the short one gains, in the same manner)."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0

    def add(self, gained: float) -> bool:
        """Enter what a run gained; whether compiled code may go on. If not, the account is closed."""
        self.seconds = min(GAIN, self.seconds + max(gained, -WORST))
        if self.seconds >= -LOSS:
            return True
        self.seconds = 0.0
        return False


class Trial:
    """The samples of one loop: the best round of each kind, since all that disturbs makes rounds longer."""

    __slots__ = ("_compiled", "_counts", "_gone", "_passed", "_patience", "_written")

    def __init__(self) -> None:
        self._passed, self._gone, self._patience = 0, 0.0, 0.0
        self._begin()

    def _begin(self) -> None:
        self._written = self._compiled = float("inf")  # seconds for a round
        self._counts = [0, 0]

    @property
    def is_over(self) -> bool:
        """Whether compiled code may run without being compared, for now."""
        return self._counts[1] >= _SAMPLES

    @property
    def has_passed(self) -> bool:
        """Whether compiled code was faster, and ran for a while since."""
        return self._passed > 0

    @property
    def is_close(self) -> bool:
        """Whether faster code may gain."""
        return self._compiled < _CLOSE * self._written

    @property
    def wants_compiled(self) -> bool:
        """Whether it is not the turn of a round as written."""
        return self.is_over or self._counts[0] > self._counts[1]

    @property
    def lasts(self) -> float | None:
        """The seconds of compiled runs after which it is asked again; None if that will not be."""
        if not self.is_over:
            return 0.0
        return _AGAIN[self._passed] - self._gone if self._passed < len(_AGAIN) else None

    @property
    def holds(self) -> bool:
        """Whether expressions in the loop are not to try out engines during a round as written."""
        return self._patience <= 0.0

    def wrote(self, seconds: float, rounds: int, tried: bool = False) -> None:
        """Rounds ran as written; `tried` says whether expressions in them were trying out engines."""
        if tried and not self.holds:
            self._patience -= seconds
            return
        if not self.is_over and rounds and self._counts[0] <= self._counts[1]:
            self._written = min(self._written, seconds / rounds)
            self._counts[0] += 1

    def ran(self, seconds: float) -> bool:
        """A compiled round took so long, with its part of the way there; whether compiled code may go on."""
        self._compiled = min(self._compiled, seconds)
        self._counts[1] += 1
        return not self.is_over or self._compiled < _MARGIN * self._written

    def went(self, seconds: float) -> None:
        """Compiled code ran without being compared."""
        self._gone += seconds
        if self._passed < len(_AGAIN) and self._gone > _AGAIN[self._passed]:
            self._passed += 1
            hopeless = self._compiled * _HOPELESS < self._written
            self._patience = 0.0 if hopeless else _PATIENCE * self._gone
            self._begin()
