"""The places in rewritten code where a loop begins.

    for i in (__minpy__.loops.nest_range_12_1a2b3c4d if __minpy__.l20 else range)(n)

A name says whether the loop holds other loops (``nest``), holds none (``loop``) or is itself inside another one
(``inner``); which built-in function stands there in the program (``iter``: none; ``while``: see
`minpy.runtime.jit.whiles`); the line; and a digest of the
module's text. Behind the name is a `Site`, or, where nothing is to be compiled, the built-in function itself; the flag
that is asked first (`minpy.runtime.flags`) then spares the loop the name. Importing this module imports neither numpy
nor the compiler.
"""

from __future__ import annotations

import atexit
import builtins
import os
import sys
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

from minpy.places import LOOPS, flag_of
from minpy.runtime import entry, flags
from minpy.runtime.jit.trial import Balance

# A loop that takes less than this, in seconds, is not worth looking at, and after so many of them the site goes; so
# many more for each second that was spent in longer ones.
_SHORT = 20e-6
_SHORT_ONES = 200
_MORE_SHORT_ONES = 25_000
# A run shorter than this, in seconds, is not worth the way into compiled code. One that takes longer than the second
# figure is always timed, of others one now and then.
WORTH = 100e-6
_TIMED = 2e-3
# Times what compiling takes: a rest that is longer than this pays for it.
SURE = 2
_NOTED = 5e-3  # seconds of a run that are noted for later ones
# Shorter ones than these seconds gain nothing; of others so many are counted when the site was woken, and if it is met
# so soon, it has been running meanwhile.
_TINY, _SAMPLE, _SOON = 5e-6, 16, 2e-3
_NAPS = 8  # short ones, before a site sleeps as long as all others,
_PART = 0.1  # unless this part of the time so far went into it, and no code was made yet
_SIZED = (bytes, str, list, tuple)


def mode() -> str:
    """``"off"``, ``"auto"`` or ``"force"``: what ``MINPY_JIT`` says (``force:quick``: `is_quick` too)."""
    text = os.environ.get("MINPY_JIT", "auto").lower()
    return "off" if text in ("0", "off", "no", "false") else "force" if text.startswith("force") else "auto"


def is_quick() -> bool:
    """Whether loops are compiled quickly at first."""
    return mode() == "auto" or os.environ["MINPY_JIT"].lower() == "force:quick"


def is_undisturbed() -> bool:
    """Whether nobody looks at single lines or operations: no tracer, no profiler, no tape, no policy but `auto`."""
    return not entry.watchers and nobody_looks()


def nobody_looks() -> bool:
    """Whether there is no tracer and no profiler."""
    if sys.gettrace() is not None or sys.getprofile() is not None:
        return False
    monitoring = getattr(sys, "monitoring", None)
    return monitoring is None or not any(monitoring.get_tool(tool) for tool in range(6))


class Loops:
    """The sites by name; a name that is new gets its site, or the built-in function."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        shape, what, line, digest = name.split("_")
        flag = flag_of(LOOPS, int(line), digest)
        if shape != "inner" and _may_compile():
            found: Any = _site(name, what, shape == "nest", int(line), digest)
            flags.wake(flag, name)
        else:
            found = _as_written(what)
            flags.sleep(flag, name)
        setattr(self, name, found)
        return found

    def wake(self, name: str, what: str, nest: bool, line: int, digest: str) -> None:
        """Make a loop inside another one, which will not be compiled, a site of its own."""
        setattr(self, name, _site(name, what, nest, line, digest))
        flags.wake(flag_of(LOOPS, line, digest), name)


def _site(name: str, what: str, nest: bool, line: int, digest: str) -> Site:
    if what == "while":
        from minpy.runtime.jit.whiles import WhileSite

        return WhileSite(name, what, nest, line, digest)
    return Site(name, what, nest, line, digest)


def _as_written(what: str) -> Callable[..., Any]:
    """What stands for the site of a loop that is not to be compiled."""
    return _not_over if what == "while" else getattr(builtins, what)


def _not_over() -> bool:
    return False


def _may_compile() -> bool:
    if mode() == "off":
        return False
    from minpy.runtime.jit import engine

    return engine.is_available()


loops = Loops()
sites: list[Site] = []


class Site:
    """One loop of the program. Called as the built-in function in its place; gives what the loop runs over."""

    __slots__ = (
        "__weakref__",
        "asleep",
        "balance",
        "better",
        "digest",
        "fetched",
        "filename",
        "flag",
        "force",
        "inside",
        "kernels",
        "least",
        "leaves",
        "line",
        "look_at",
        "name",
        "names",
        "naps",
        "nest",
        "node",
        "per_round",
        "plain",
        "reason",
        "refused",
        "run_compiled",
        "short",
        "shortcut",
        "since",
        "slept",
        "spent",
        "sure",
        "taped",
        "trial",
        "undisturbed",
        "waits",
        "what",
        "woken",
    )

    def __init__(self, name: str, what: str, nest: bool, line: int, digest: str) -> None:
        self.name, self.what, self.nest, self.line, self.digest = name, what, nest, line, digest
        self.plain = _as_written(what)
        self.force = mode() == "force"
        self.per_round = 0.0  # seconds for an iteration as written; 0 while unknown
        self.undisturbed = (0.0, 0)  # seconds as written, of how many rounds, in which no block was tried out
        self.least = 0.0  # the same of those that took least: in the first ones blocks look at what they meet
        self.spent = self.look_at = 0.0  # seconds as written; how many before the next look
        self.waits = 0.0  # how many before it is asked again whether fast code may be made
        self.short = 0
        self.sure: bool | None = None  # whether it works on numbers and elements alone
        self.since = self.inside = 0.0  # when short runs began to be counted, and their seconds since
        self.better: Any = None  # a kernel that waits for its fast code
        self.taped: Any = None  # an `adjoint.drive.Taped`, once it was met under a tape
        self.trial: Any = None  # a `trial.Trial`, where array operations must show that they gain
        self.node: Any = None  # in the tree of the program's text, once that was looked at
        self.names: Any = None  # a `names.Names`, once the loop was to be compiled
        self.kernels: dict[Any, Any] = {}
        self.refused: dict[Any, str] = {}  # what it met that cannot be compiled, and why
        self.filename = ""
        self.reason = ""
        self.run_compiled = 0  # iterations, the long way
        self.fetched = 0  # arrays that came from a device, whole, because the loop runs on the host
        self.leaves = 0  # how often compiled code could not go on
        self.shortcut: Any = None  # a `shortcut.Shortcut`; False if there will be none
        self.flag = flag_of(LOOPS, line, digest)
        self.asleep = False
        self.balance = Balance()
        self.naps, self.slept, self.woken = (
            0,
            0.0,
            0.0,
        )  # how often, and when last, it was put to sleep, and woken
        if not sites:
            atexit.register(_at_end)
        sites.append(self)

    @property
    def compiled(self) -> int:
        """How many iterations have run compiled."""
        return self.run_compiled + (self.shortcut.rounds if self.shortcut else 0)

    @property
    def outcome(self) -> str:
        """What became of the loop, in words; empty if it was not looked at."""
        parts = []
        if self.compiled:
            parts.append(f"{self.compiled} iterations compiled")
            if self.fetched:
                parts.append(f"{self.fetched} arrays fetched from the device for it")
        if self.taped is not None and self.taped.rounds:
            parts.append(f"{self.taped.rounds} iterations compiled under a tape")
        written = self.reason if self.compiled or self.reason else ""
        if not parts and (self.filename or self.reason):
            written = self.reason or "not worth it"
        if written:
            parts.append(f"{'then ' if parts else ''}as written: {written}")
        if self.taped is not None and self.taped.reason:
            parts.append(f"under a tape as written: {self.taped.reason}")
        return ", ".join(parts)

    def over(self, arguments: tuple[Any, ...]) -> Any:
        """What the loop runs over, as `drive` takes it."""
        if self.what == "range":
            return range(*arguments)
        if self.what == "iter":
            return arguments[0]
        if self.what == "enumerate":
            return ("enumerate", arguments[0], arguments[1] if len(arguments) > 1 else 0)
        return ("zip", arguments)

    def __call__(self, *arguments: Any) -> Iterable[Any]:
        if self.shortcut and self.shortcut.is_due:
            from minpy.runtime.jit import drive

            drive.settle(self)
            if self.asleep:
                return self.plain(*arguments)
        iterable: Any = self.plain(*arguments)
        if self.asleep:
            return iterable
        if entry.watchers:
            return self._under_a_tape(iterable, arguments)
        count = _count(self.what, iterable, arguments)
        expected = count * self.per_round
        if not self.force:
            if count < 2 or 0 < expected < _SHORT:
                if not self._is_hot(expected, sys._getframe(1)):
                    return iterable
            elif 0 < expected < (WORTH if self.kernels else _TIMED) and self.spent < self.look_at:
                self.spent += expected
                return iterable
        if not is_undisturbed():
            return iterable
        from minpy.runtime.jit import drive

        frame = sys._getframe(1)
        self.filename = frame.f_code.co_filename
        return drive.begin(self, self.over(arguments), frame)

    def _under_a_tape(self, iterable: Any, arguments: tuple[Any, ...]) -> Iterable[Any]:
        """What is left of the loop for the interpreter, where something is being differentiated."""
        if entry.holders == entry.others or not nobody_looks():
            return iterable
        from minpy.runtime.jit.adjoint import drive

        frame = sys._getframe(2)
        self.filename = frame.f_code.co_filename
        if self.taped is None:
            self.taped = drive.Taped(self.name, self.nest, self.line, self.digest, self.force)
        if self.taped.reason:
            return iterable
        begun = self.taped.begin(iterable if self.what == "range" else self.over(arguments), frame)
        return iterable if begun is None else begun

    def _is_hot(self, expected: float, frame: Any) -> bool:
        """Whether a loop is to be compiled although its runs are short: since there are so many of them.

        A loop of short runs rests, which costs nothing. When it was woken a few of its runs are counted. If it is met
        at once, it has been running meanwhile, for the same part of the time.
        """
        self.short += 1
        now = 0.0
        if self.naps:
            now = perf_counter()
            if self.short == 1:
                self.since, self.inside = now, 0.0
            self.inside += expected
            if self.short <= _SAMPLE:
                return False
            share = min(1.0, self.inside / max(now - self.since, 1e-9))
            if self.since - self.woken < _SOON:
                self.spent += share * (now - self.slept)
        elif self.short <= _SHORT_ONES + _MORE_SHORT_ONES * (self.spent + self.compiled * self.per_round):
            return False
        if expected < _TINY:
            self.give_up("its runs are too short")
            return False
        self.short = 0
        from minpy.runtime.jit import drive

        if drive.is_hot(self, frame):
            return True
        self.rest()
        return False

    @property
    def dead(self) -> bool:
        """Whether it is no use waking it."""
        return bool(self.reason)

    def set_flag(self, awake: bool) -> None:
        """Let the loop ask, or not."""
        self.asleep = not awake
        if awake:
            self.woken = perf_counter()
            setattr(loops, self.name, self.shortcut.function if self.shortcut else self)
        (flags.wake if awake else flags.sleep)(self.flag, self.name)

    def rest(self) -> None:
        """Let this loop run as written for a while."""
        from minpy.runtime.fuse import sites as blocks

        self.slept = perf_counter()
        self.naps += 1
        self.set_flag(False)
        if self.shortcut:
            # Asked while it sleeps, because of another place that has the same flag, it does nothing.
            setattr(loops, self.name, self)
        blocks.rest(self, self.naps <= _NAPS or self._matters())

    def _matters(self) -> bool:
        """Whether much time goes into a loop that is still to be compiled: it is looked at as often as others."""
        from minpy.runtime import ledger

        return not self.kernels and self.spent > _PART * ledger.ran()

    def give_up(self, reason: str) -> None:
        """Let this loop run as written from now on, at no cost; the loops in it get their chance."""
        if self.reason:
            return
        self.reason = reason
        setattr(loops, self.name, self.plain)
        flags.sleep(self.flag, self.name)
        if self.names is not None:
            self.names.wake_inner(self)

    def __repr__(self) -> str:
        return f"<the loop in line {self.line}: {self.reason or f'{self.compiled} times compiled'}>"


def _at_end() -> None:
    """Note for later runs what would have been worth compiling from the start; tell what became of all loops."""
    ran = [site for site in sites if not site.reason and (site.spent or site.kernels)]
    if ran and mode() == "auto":
        from minpy.runtime import ledger

        with ledger.entered("keeping what was found"):
            _note_missed(ran)
    if os.environ.get("MINPY_VERBOSE", "0") not in ("", "0"):
        report()


def _note_missed(ran: list[Site]) -> None:
    from minpy.runtime import ledger
    from minpy.runtime.jit import background, drive, store

    loading = background.expected(loaded=False)
    for site in ran:
        kernels = [each for known in site.kernels.values() for each in known]
        if any(each.is_ready and not each.is_quick for each in kernels):
            continue
        spent = min(site.spent + drive.seconds_of(site), ledger.ran())
        if spent < _NOTED:
            continue
        missed = store.note_missed(site.name, spent)
        if site.better or not kernels:
            takes = loading + (site.better.takes if site.better else background.expected_again())
            if missed > SURE * takes:
                store.remember(site.name)


def report() -> None:
    """Say on standard error, at the end of a run with ``-v``, which loops ran compiled, and why others did not."""
    for site in sorted(sites, key=lambda site: (site.filename, site.line)):
        text = site.outcome
        if text:
            try:
                sys.stderr.write(f"minpy: loop at {site.filename or '?'}:{site.line}: {text}\n")
            except (OSError, ValueError, AttributeError):
                return


def _count(what: str, iterable: Any, arguments: tuple[Any, ...]) -> int:
    """How many rounds a loop will make; 0 if that is not known."""
    if what == "range":
        try:
            return len(iterable)
        except OverflowError:
            return 0
    sequences = arguments if what == "zip" else arguments[:1]
    counts = [len(each) if type(each) in _SIZED or _is_array(each) else 0 for each in sequences]
    return min(counts, default=0)


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(value) is numpy.ndarray and value.ndim > 0
