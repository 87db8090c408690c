"""A block that met large arrays: what it is for the arrays at hand, and running it.

What an expression is (dtypes of all that is in it, the shape and layout of its result) is asked of NumPy, on arrays
without elements; the answers are kept by the geometry of the operands.
"""

from __future__ import annotations

import _thread
from time import perf_counter
from typing import Any

import numpy as np

from minpy.runtime import entry
from minpy.runtime.fuse import native, sites
from minpy.runtime.fuse.choose import Choice
from minpy.runtime.fuse.ir import Irregular, Program
from minpy.runtime.fuse.keys import key_of_all
from minpy.runtime.fuse.plan import Plan
from minpy.runtime.fuse.state import ALL, checked_flags

_KEPT = 128  # geometries
_MISSES = 16
_REFUSED = 24  # so often there may be no short way
_WORTH = 400_000  # elements
_shortening = _thread.allocate_lock()


def _may_shorten(names: tuple[Any, ...]) -> bool:
    """Whether the short way could be taken the next time: not where a device is in use that may get the block."""
    return not entry.devices or all(
        each.size <= sites.left_alone for each in names if type(each) is np.ndarray
    )


class Block:
    """What a site computes; see `minpy.runtime.fuse.sites`."""

    def __init__(self, text: str, mode: str) -> None:
        self.text, self.mode = text, mode
        self.program = Program(text)
        self._plans: dict[Any, Plan | None] = {}
        self._choices: dict[str, Choice] = {}
        self._hits = self._misses = self._refused = 0
        self.site: Any = None  # that may be replaced by a short way here
        self.shortcut: Any = None
        # Of `a += value` where the whole is not for us: the value alone.
        value = self.program.value
        self._value = Block(value, mode) if value else None

    def run(self, names: tuple[Any, ...]) -> tuple[bool, Any]:
        """Compute the block: whether that was done, and the results, in order.

        Raises
        ------
        Irregular, FloatingPointError
            It is to be run as written this time; nothing has changed that would show.
        """
        began = perf_counter()
        program = self.program
        leaves = program.values(names)
        rolled = program.rolled(names) if program.rolls else ()
        key = key_of_all(program, leaves), rolled
        try:
            plan = self._plans[key]
            self._hits += 1
        except KeyError:
            self._misses += 1
            if self._misses > _MISSES + self._hits and self.mode == "auto":
                # Ever new extents: a plan serves once, and must be worth it.
                if max(leaf.size for leaf in leaves if type(leaf) is np.ndarray) < _WORTH:
                    return False, False
            plan = self._make(key, leaves, rolled)
        if plan is None:
            if self._value is not None:
                return self._value.run(names[: self._value.program.names])
            return False, False
        flags = checked_flags()
        plan.choice.may_be_short = self.site is not None
        found = plan.run(leaves, flags, began)
        if (
            found[0]
            and self.site is not None
            and flags == ALL
            and plan.choice.is_settled
            and _may_shorten(names)
        ):
            if _shortening.acquire(
                blocking=False
            ):  # one thread at a time: the words are written piece by piece
                try:
                    self._shorten(plan, names, leaves)
                finally:
                    _shortening.release()
        return found

    def _shorten(self, plan: Plan, names: tuple[Any, ...], leaves: tuple[Any, ...]) -> None:
        """Let the next evaluation like this one take the short way."""
        from minpy.runtime.fuse import shortcut
        from minpy.runtime.jit import background

        try:
            if self.shortcut is None:
                if not shortcut.is_possible() or not shortcut.can_follow(plan.program):
                    raise native.Unfit
                if not shortcut.is_made() and background.is_busy():
                    return  # the next time
                self.shortcut = shortcut.Shortcut(self.site)
                self.site.replace(self.shortcut)
            self.site.join(shortcut.join)
            prepared = plan.prepare(*leaves)
            self.shortcut.lay_out(plan, plan.choice.engines["native1"], names, leaves, prepared)
        except background.Pending:
            pass
        except native.Unfit:
            self._stay_long()
        except Irregular:
            self._refused += 1
            if self._refused > _REFUSED:
                self._stay_long()
        except Exception:
            # The block has been computed: whatever is wrong here must not let it be computed again.
            self._stay_long()
            if self.mode != "auto":
                raise

    def _stay_long(self) -> None:
        """There is no short way for this block: what was decided in the belief that there is one is open again."""
        self.site = None
        for choice in self._choices.values():
            choice.forget_short_way()

    def _make(self, key: Any, leaves: tuple[Any, ...], rolled: Any) -> Plan | None:
        if len(self._plans) >= _KEPT:
            self._plans.clear()
        try:
            plan: Plan | None = Plan(self.program, leaves, self.mode, self._choices, dict(rolled))
            if self.site is not None and self.site.since:
                plan.choice.before, self.site.since = perf_counter() - self.site.since, 0.0
        except Irregular:
            plan = None
        self._plans[key] = plan
        return plan
