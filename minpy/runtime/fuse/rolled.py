"""Operands that are rolled: ``np.roll(u, 1, 0)`` is an array's elements in two runs, so nests of them go in parts.

In each part every operand is an ordinary piece of memory, wherever it begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np

from minpy.runtime.fuse.ir import Irregular

# Of one operand: the shifts, and the axes along which they are; None for all axes as one.
Rolls = tuple[tuple[int, int | None], ...]
_MOST_PARTS = 64


def normal(rolls: Rolls, shape: tuple[int, ...]) -> Rolls:
    """The shift along each axis, for those that have one.

    Raises
    ------
    Irregular
        There is no such axis, or all axes count as one.
    """
    shifts: dict[int, int] = {}
    for shift, axis in rolls:
        if axis is None:
            if len(shape) != 1:
                raise Irregular
            axis = 0
        if not -len(shape) <= axis < len(shape):
            raise Irregular
        axis %= len(shape)
        shifts[axis] = shifts.get(axis, 0) + shift
    return tuple((shift, axis) for axis, shift in sorted(shifts.items()))


def text_of(rolls: Rolls, operand: str) -> str:
    """An operand as NumPy is asked for it."""
    for shift, axis in rolls:
        operand = f"roll({operand}, {shift}, {axis})"
    return operand


def boxes(shape: tuple[int, ...], rolls: Sequence[Rolls], threads: int) -> list[tuple[slice, ...]]:
    """Parts of the whole in which no operand has a seam.

    Raises
    ------
    Irregular
        They are too many.
    """
    cuts = [{0, extent} for extent in shape]
    for each in rolls:
        for shift, axis in each:
            cuts[axis].add(shift % shape[axis])
    if threads > 1:
        longest = max(range(len(shape)), key=lambda axis: (shape[axis] >= 2 * threads, -axis))
        cuts[longest] |= {shape[longest] * k // threads for k in range(threads)}
    ends = [sorted(each) for each in cuts]
    found = [
        box
        for box in product(*([slice(a, b) for a, b in pairwise(each)] for each in ends))
        if all(part.start < part.stop for part in box)
    ]
    if len(found) > _MOST_PARTS:
        raise Irregular
    return found


def begin(box: tuple[slice, ...], rolls: Rolls, shape: tuple[int, ...], strides: Any) -> int:
    """Where an operand begins in a part, in bytes from its own beginning."""
    shifts = {axis: shift for shift, axis in rolls}
    places = [(part.start - shifts.get(axis, 0)) % shape[axis] for axis, part in enumerate(box)]
    return int(np.dot(places, strides))
