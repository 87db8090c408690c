"""Which engine computes a plan: NumPy as written, tiles, compiled code, by how many threads; found by measuring.

Every evaluation is a measurement of one of the engines, and does what is asked for: nothing is computed twice but the
few thousand elements on which an engine must show the same bits as NumPy before it is used. The answers are kept
between runs (`minpy.runtime.fuse.memory`).
"""

from __future__ import annotations

import atexit
from functools import cache, lru_cache
from itertools import count
from time import perf_counter
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np

from minpy.runtime import ledger
from minpy.runtime.fuse import memory, native, pool, sites
from minpy.runtime.fuse.ir import Irregular
from minpy.runtime.fuse.state import raising
from minpy.runtime.fuse.tiled import Tiled
from minpy.runtime.jit import background
from minpy.runtime.jit.sites import SURE

if TYPE_CHECKING:
    from minpy.runtime.fuse.plan import Plan

_TRIALS, _MOST_TRIALS = 3, 25  # measurements of each engine
_TRIAL_TIME = 2e-3  # seconds of measuring that are enough
_HOPELESS = 2.5  # times the best: no third measurement
_MARGIN = 0.93  # an engine must be faster than NumPy by this factor
# Seconds as written below which nothing can be gained: by the long way to an engine, or by the short one.
_SHORT, _SHORTEST = 12e-6, 2e-6
_LONG = 200e-6  # seconds on one thread from which several are tried
_STREAM = 6 << 20  # bytes of the result from which tiles pay without asking
# What must have been spent in a block before it is compiled: so many times what compiling takes from the program; in
# seconds, where earlier runs have shown that it pays.
_HOPE, _KNOWN = 2, 0.02
_PART = 1 / 3  # of the time so far, in all blocks: then one that surely gains is compiled early
_HOPED = "native?"  # is kept of a block in which much was spent, and which was not compiled
_MISSED = "missed "  # and this, with the seconds of all runs until now, where it was not so much
_NAP = 0.02  # seconds between two looks: less is one evaluation after the other
_SAMPLE = 4096

_spent_in_all = 0.0


class Written:
    """NumPy as the program has it, for comparison."""

    def __init__(self, plan: Plan) -> None:
        self.code = _compiled(plan.as_written())
        self.took = 0.0

    def run(self, arrays: list[Any], numbers: list[Any], flags: int) -> tuple[np.ndarray, ...]:
        """Compute the results; `took` is the time that takes."""
        with raising(flags):
            began = perf_counter()
            results = self.code(*arrays, *numbers)
            self.took = perf_counter() - began
        return results


@lru_cache(maxsize=512)
def _compiled(text: str) -> Any:
    from minpy.runtime.fuse.plan import FUNCTIONS

    space = dict(FUNCTIONS)
    exec(compile(text, "<minpy block>", "exec"), space)
    return space["written"]


class Choice:
    """The engines for plans that differ in their extents only, and what is known about them."""

    def __init__(self, plan: Plan, key: str, mode: str, compilable: bool) -> None:
        self.plan = plan  # the first one of its kind
        self.width = pool.width()
        self.key = f"{key}|{self.width}"
        self.best: dict[str, float] = {}
        self.runs: dict[str, int] = {}
        self.times: dict[str, list[float]] = {}
        self.verdict: str | None = None
        self.spent = 0.0
        self.looked, self.period = perf_counter(), 1.0
        self.before = 0.0  # seconds in which the block was evaluated already, before it was looked at
        self.engines: dict[str, Any] = {}
        self.refused: set[str] = set()
        self.shown: set[str] = set()  # engines that gave NumPy's bits
        self.turn = count() if mode == "force" else None
        self.forced = {"direct": "native1"}.get(mode[6:], mode[6:]) if mode.startswith("force:") else ""
        self.expected = memory.verdict(self.key)
        self.waiting: Any = None  # a `background.Job`, while the block is being compiled
        self.compilable = compilable
        _look_at_end()
        _all.add(self)
        self.may_be_short = (
            False  # whether the block may yet take the short way, once compiled code is chosen
        )

    def forget_short_way(self) -> None:
        """Measure compiled code again: each evaluation takes the long way to it."""
        self.may_be_short = False
        self.runs.pop("native1", None)
        self.best.pop("native1", None)
        self.times.pop("native1", None)
        if self.verdict == "native1":
            self.verdict = None

    @property
    def gains(self) -> float:
        """The seconds by which the engine that was chosen is faster than NumPy, each time."""
        written = self.best.get("written", 0.0)
        return max(0.0, written - self.best.get(self.verdict or "written", written))

    @property
    def is_settled(self) -> bool:
        """Whether compiled code on this thread is what it will be."""
        return self.verdict == "native1" or (self.forced == "native1" and "native1" in self.shown)

    def pick(self) -> str | None:
        """The engine for this evaluation, and its threads (``"tiled2"``); None: as written."""
        if self.forced:
            return self._usable(self.forced)
        if self.turn is not None:
            return self._usable(("native1", "tiled1", "native2", "tiled2")[next(self.turn) % 4])
        if self.verdict is not None:
            return None if self.verdict == "written" else self.verdict
        if "written" in self.best:
            self._watch(self.best["written"])
        candidates = self._candidates()
        open_ones = [each for each in candidates if self._is_open(each)]
        if open_ones and not ledger.may_look():
            return None
        if open_ones:
            # In turns: what the machine is otherwise busy with meets all of them.
            return self._usable(min(open_ones, key=lambda each: self.runs.get(each, 0))) or self.pick()
        if len(candidates) == self._hoped_for(candidates):
            self._decide()
        best = min(self.best, key=self.best.__getitem__)
        return None if best == "written" else best

    @property
    def missed(self) -> float:
        """The seconds that earlier runs spent in the block, if it was not compiled."""
        text = self.expected or ""
        if not text.startswith(_MISSED):
            return 0.0
        try:
            return float(text.removeprefix(_MISSED))
        except ValueError:
            return 0.0

    def _watch(self, each: float) -> None:
        """Estimate what the block takes as written from the few evaluations that are looked at (see `sites`)."""
        now = perf_counter()
        gap, self.looked = now - self.looked, now
        if gap < _NAP:
            self.period = min(self.period, gap)
            gap, self.before = self.before, 0.0
        if gap:
            self._count(min(gap, 2.0) * min(1.0, each / max(self.period, 1e-9)))

    def _is_open(self, engine: str) -> bool:
        """Whether an engine is to be measured once more."""
        runs = self.runs.get(engine, 0)
        if runs < 2:
            return True
        if runs >= _MOST_TRIALS or self.best[engine] > _HOPELESS * min(self.best.values()):
            return False
        return runs < _TRIALS or runs * self.best[engine] < _TRIAL_TIME

    def _count(self, took: float) -> None:
        global _spent_in_all
        self.spent += took
        _spent_in_all += took

    def _candidates(self) -> list[str]:
        threads = [1]
        if self.width > 1 and self.best.get("written", 1.0) > _LONG:
            threads.append(self.width)
        compiled = []
        if self.compilable and ("native1" in self.engines or self._may_compile()):
            compiled = [f"native{each}" for each in threads]
        tiled = [f"tiled{each}" for each in threads] if len(self.plan.steps) > 1 or threads[-1] > 1 else []
        if getattr(self.plan, "is_rolled", False):
            tiled = []
        engines = ["written"]
        if self.expected and self.expected in compiled + tiled:
            engines.insert(0, self.expected)
        elif self.plan.size * sum(out.dtype.itemsize for out in self.plan.outputs) >= _STREAM:
            engines = [*reversed(tiled), "written"]
        written = self.best.get("written", 1.0)
        if written < _SHORT:
            if written > _SHORTEST and "native1" in compiled and self.plan.shortcut_cost is not None:
                engines.append("native1")
            return [each for each in engines if each not in self.refused]
        engines += [each for each in compiled + tiled if each not in engines]
        return [each for each in engines if each not in self.refused]

    @property
    def is_hoped_for(self) -> bool:
        """Whether the block is to be compiled once that pays, and was not so far."""
        if not self.compilable or self.turn is not None or self.forced or self.verdict is not None:
            return False
        if any(each.startswith("native") for each in self.shown | self.refused):
            return False
        candidates = [each for each in self._candidates() if not each.startswith("native")]
        return len(candidates) < self._hoped_for(candidates)

    def _hoped_for(self, candidates: list[str]) -> int:
        """How many engines there will be, once compiling pays."""
        count = len(candidates)
        if self.compilable and not any(each.startswith("native") for each in candidates):
            written = self.best.get("written", 1.0)
            enough = written < _SHORTEST or "native1" in self.refused
            if (
                not enough and written < _SHORT
            ):  # (what says whether there is a short way is not loaded for others)
                enough = getattr(self.plan, "shortcut_cost", None) is None
            count += not enough
        return count

    def _may_compile(self) -> bool:
        from minpy.runtime.jit import engine, sites

        if sites.mode() == "off" or not engine.is_available():
            self.compilable = False
            return False
        if self.waiting is not None:
            return self.waiting.done
        if (self.expected or "").startswith("native"):  # `_HOPED` as well
            return self.spent > _KNOWN
        if self.spent > _KNOWN and self.missed and self._is_known(self.missed + self.spent):
            return True
        takes = native.takes()
        if _spent_in_all > _HOPE * takes and self.spent > takes and ledger.allows(takes, self.spent):
            return True
        return (
            self.spent > takes
            and getattr(self.plan, "gains_surely", False)
            and _spent_in_all > _PART * ledger.ran()
            and ledger.allows_sure(takes)
        )

    @staticmethod
    def _is_known(spent: float) -> bool:
        """Whether so much was spent in a block, in all runs, that it would have been worth compiling from the start."""
        return spent > SURE * native.takes(loaded=False)

    def _decide(self) -> None:
        written = self.best.get("written")
        winner = min(self.best, key=self.best.__getitem__)
        if written is not None and self.best[winner] > _MARGIN * written:
            winner = "written"
        alone = [each for each in [*self.best] if each == "written" or each.endswith("1")]
        if winner not in alone and alone:
            # What several threads take at their best is not what they take as a rule where others want the processors
            # as well, such as a BLAS whose threads spin after each call.
            other = min(alone, key=self.best.__getitem__)
            if self._usual(winner) > _MARGIN * self._usual(other):
                winner = other
                if written is not None and self.best[winner] > _MARGIN * written:
                    winner = "written"
        self.verdict = winner
        self.times.clear()
        memory.remember(self.key, winner)

    def _usual(self, engine: str) -> float:
        """What an engine takes as a rule."""
        times = sorted(self.times.get(engine) or [self.best[engine]])
        return times[len(times) // 2]

    def _usable(self, name: str) -> str | None:
        """Make an engine; None if that is not possible."""
        if name in self.engines:
            return name
        if name == "written":
            self.engines[name] = Written(self.plan)
            return name
        if name in self.refused:
            return None
        kind, threads = name.rstrip("0123456789"), name.lstrip("nativeld")
        if kind == "tiled" and getattr(self.plan, "is_rolled", False):
            return None
        # (Another thread may add to what is gone through: a copy.)
        other = next((engine for each, engine in [*self.engines.items()] if each.startswith(kind)), None)
        try:
            engine = other or self._made(kind)
        except background.Pending as pending:
            self.waiting = pending.job
            return None
        except native.Unfit:
            self.refused |= {f"native{each}" for each in (1, 2, self.width)}
            self.compilable = False
            return None
        self.engines[name] = engine
        if not threads:
            raise ValueError(name)
        return name

    def _made(self, kind: str) -> Any:
        if kind == "tiled":
            return Tiled(self.plan)
        return native.Native(self.plan, wait=self.turn is not None or bool(self.forced))

    def run(
        self,
        plan: Plan,
        name: str,
        arrays: list[Any],
        numbers: list[Any],
        targets: list[Any],
        flags: int,
        began: float,
    ) -> list[np.ndarray]:
        """Compute with an engine, into `targets` where they are given; return the results.

        `began` is the time at which the block was looked at: the way here is part of what an engine costs.

        Raises
        ------
        Irregular
            The engine does not give NumPy's bits on the first elements.
        """
        engine = self.engines[name]
        if name == "written":
            results = list(engine.run(arrays, numbers, flags))
            began = perf_counter()
            for k, target in enumerate(targets):
                if target is not None:
                    np.copyto(target, results[k])
                    results[k] = target
            self._measured(name, engine.took + perf_counter() - began)
            return results
        threads = int(name.lstrip("nativeld"))
        if name not in self.shown:
            if not self._shows_its_bits(plan, engine, arrays, numbers, flags):
                self.refused.add(name)
                raise Irregular
            self.shown.add(name)
            began = perf_counter()
        outs = []
        over = []
        for k, (target, out) in enumerate(zip(targets, plan.outputs, strict=True)):
            if target is not None and name[0] == "n":
                if out.operand >= 0:
                    over.append((k, out.operand))
            elif target is not None and out.operand >= 0:
                target = None  # tiles are written before it is known that nothing is to be reported
            outs.append(np.empty(plan.shape, out.dtype) if target is None else target)
        if over:
            try:
                engine = engine.over(tuple(over))
            except background.Pending:  # until it is there, into an array of its own
                for k, _ in over:
                    outs[k] = np.empty(plan.shape, plan.outputs[k].dtype)
        engine.run(arrays, numbers, outs, flags, threads)
        for k, target in enumerate(targets):
            if target is not None and outs[k] is not target:
                np.copyto(target, outs[k])
        took = perf_counter() - began
        if name == "native1" and self.may_be_short:
            shortcut_cost = plan.shortcut_cost
            if shortcut_cost is not None:
                took = min(took, engine.took + shortcut_cost)  # the long way will not be taken again
        self._measured(name, took)
        return outs

    def _measured(self, name: str, took: float) -> None:
        if self.verdict is None:
            self._tried(name, took)
            self.times.setdefault(name, []).append(took)

    def _tried(self, name: str, took: float) -> None:
        """Enter a run of an engine, while it is not decided which one is taken."""
        self.runs[name] = self.runs.get(name, 0) + 1
        self.best[name] = min(took, self.best.get(name, took))
        self._count(took)
        sites.note_trial(min(took, self.best.get("written", took)))

    def _shows_its_bits(
        self, plan: Plan, engine: Any, arrays: list[Any], numbers: list[Any], flags: int
    ) -> bool:
        """Compare the engine with NumPy on the first elements."""
        whole = [np.broadcast_to(each, plan.shape) for each in arrays]
        index: list[slice] = []
        left = _SAMPLE
        for extent in reversed(plan.shape):
            index.insert(0, slice(0, max(1, min(extent, left))))
            left = max(1, left // extent)
        few = tuple(index)
        some = [each[few] for each in whole]
        kept = [
            each
            if own.shape == plan.shape
            else own[
                tuple(
                    slice(None) if extent == 1 else part
                    for extent, part in zip(own.shape, few[len(few) - own.ndim :], strict=True)
                )
            ]
            for each, own in zip(some, arrays, strict=True)
        ]
        expected = Written(plan).run(kept, numbers, flags)
        actual = [np.empty(each.shape, out.dtype) for each, out in zip(expected, plan.outputs, strict=True)]
        engine.run(kept, numbers, actual, flags, 1)
        return all(
            type(wanted) is np.ndarray
            and wanted.dtype == found.dtype
            and wanted.flags.c_contiguous
            and wanted.tobytes() == found.tobytes()
            for wanted, found in zip(expected, actual, strict=True)
        )


_all: WeakSet[Choice] = WeakSet()


def gained() -> float:
    """The seconds that the program would have run longer without engines for its blocks."""
    total = 0.0
    for site in sites.sites:
        choices = [*getattr(site.block, "_choices", {}).values()]
        each = [choice.gains for choice in choices if choice.verdict is not None]
        if each:
            total += site.fused * min(each)
    return total


ledger.gains.append(gained)


@cache
def _look_at_end() -> None:
    memory.store_at_end()
    atexit.register(_at_end)


def _at_end() -> None:
    """Note for later runs which blocks would have been worth compiling from the start."""
    with ledger.entered("keeping what was found"):
        for choice in _all:
            if choice.is_hoped_for:
                spent = choice.missed + choice.spent
                if choice._is_known(spent):
                    memory.remember(choice.key, _HOPED)
                elif choice.spent > _KNOWN:
                    memory.remember(choice.key, f"{_MISSED}{spent:.2f}")
