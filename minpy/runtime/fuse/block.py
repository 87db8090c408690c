"""A block that met large arrays: what it is for the arrays at hand, and running it.

What an expression is (dtypes of all that is in it, the shape and layout of its result) is asked of NumPy, on arrays
without elements; the answers are kept by the geometry of the operands.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np

from minpy.runtime.fuse.choose import Choice
from minpy.runtime.fuse.ir import NUMBERS, Irregular, Program
from minpy.runtime.fuse.plan import Plan
from minpy.runtime.fuse.state import checked_flags

_KEPT = 128  # geometries
_MISSES = 16
_WORTH = 400_000  # elements


class Block:
    """What a site computes; see `minpy.runtime.fuse.sites`."""

    def __init__(self, text: str, mode: str) -> None:
        self.text, self.mode = text, mode
        self.program = Program(text)
        self._plans: dict[Any, Plan | None] = {}
        self._choices: dict[str, Choice] = {}
        self._hits = self._misses = 0

    def run(self, names: tuple[Any, ...]) -> tuple[bool, Any]:
        """Compute the block: whether that was done, and the result.

        Raises
        ------
        Irregular, FloatingPointError
            It is to be run as written this time; nothing has changed that would show.
        """
        began = perf_counter()
        program = self.program
        leaves = program.values(names)
        key = tuple([_key(leaf) for leaf in leaves])
        try:
            plan = self._plans[key]
            self._hits += 1
        except KeyError:
            self._misses += 1
            if self._misses > _MISSES + self._hits and self.mode == "auto":
                # Ever new extents: a plan serves once, and must be worth it.
                if max(leaf.size for leaf in leaves if type(leaf) is np.ndarray) < _WORTH:
                    return False, False
            plan = self._make(key, leaves)
        if plan is None:
            return False, False
        flags = checked_flags()
        target = None
        if plan.target is not None:
            target = leaves[plan.target]
            if not target.flags.writeable or any(
                np.may_share_memory(target, leaves[each]) for each in plan.arrays
            ):
                target = None
        return plan.run(leaves, target, flags, began)

    def _make(self, key: Any, leaves: tuple[Any, ...]) -> Plan | None:
        if len(self._plans) >= _KEPT:
            self._plans.clear()
        try:
            plan: Plan | None = Plan(self.program, leaves, self.mode, self._choices)
        except Irregular:
            plan = None
        self._plans[key] = plan
        return plan


def _key(leaf: Any) -> Any:
    kind = type(leaf)
    if kind is np.ndarray:
        return leaf.dtype, leaf.shape, leaf.strides
    if kind not in NUMBERS and not isinstance(leaf, np.generic):
        raise Irregular
    # As NumPy 1 does, which looks at the values of numbers to choose a dtype.
    if isinstance(leaf, (float, np.floating)):
        return kind, _reach(float(leaf))
    if isinstance(leaf, (bool, complex, np.bool_, np.complexfloating)):
        return kind, None if isinstance(leaf, (bool, np.bool_)) else repr(leaf)
    if isinstance(leaf, (int, np.integer)):
        value = int(leaf)
        return kind, value if value.bit_length() > 52 else value.bit_length(), value < 0
    raise Irregular


def _reach(value: float) -> Any:
    size = abs(value)
    if size <= 65500 or size != size:
        return 0
    if 65600 < size <= 3.4e38:
        return 1
    return 2 if size > 3.5e38 and size != float("inf") else value
