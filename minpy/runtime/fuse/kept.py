"""Calls that treat each lane along some axes by itself: pieces along an axis that is kept, by NumPy's own function.

NumPy's result for a lane depends on that lane, and on which axis lies innermost in memory; a piece has two elements at
least along the axis that it is cut from, so that no axis disappears from NumPy's sight, and the same bits come out.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from math import prod
from typing import Any

import numpy as np

from minpy.runtime.fuse import pool
from minpy.runtime.fuse.ir import Irregular
from minpy.runtime.fuse.operand import Operand, at_work, room
from minpy.runtime.fuse.plan import _is_even

_EXACT = 2**53
_ADDING = frozenset({"sum", "prod", "mean", "std", "var", "cumsum", "cumprod"})
_SAME = frozenset({"sort", "argsort", "cumsum", "cumprod", "fft", "ifft", "rfft", "irfft"})
_CHAINS = {"sum": np.add, "mean": np.add, "prod": np.multiply}
_LEAST_RUN = 64  # elements of a row that are worth a piece of their own


class Kept:
    """One call, for one geometry.

    Raises
    ------
    Irregular
        There is no axis to cut, or the pieces would show.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[np.ndarray], Any],
        operand: Operand,
        axes: tuple[int, ...],
        keepdims: bool = False,
        in_place: bool = False,
    ) -> None:
        self.name, self.function, self.operand, self.in_place = name, function, operand, in_place
        self.axes = axes
        kept = [k for k, extent in enumerate(operand.shape) if k not in axes and extent >= 2]
        if not kept:
            raise Irregular
        self._check_bits(operand, axes, kept)
        self.chain = None
        if operand.plan is not None:
            self.axis = kept[0]
            if axes == (0,) and name in _CHAINS and self._chains():
                self.chain = _CHAINS[name]
        if self.chain is None and max(operand.shape[k] for k in kept) < 4:
            raise Irregular
        if operand.plan is None:
            self.axis = next(
                (k for k in kept if operand.shape[k] >= 64), max(kept, key=operand.shape.__getitem__)
            )
        lanes = [operand.shape[k] if k in axes else 1 for k in range(len(operand.shape))]
        if in_place:
            return
        sample: np.ndarray = np.asarray(function(np.ones(lanes, operand.dtype)))
        self.dtype = sample.dtype
        same = name in _SAME or keepdims
        left = [k for k in range(len(lanes)) if same or k not in axes]
        lead = sample.ndim - len(left)
        self.place = lead + left.index(self.axis)
        self.shape = [
            *sample.shape[:lead],
            *(
                operand.shape[k] if k not in axes else extent
                for k, extent in zip(left, sample.shape[lead:], strict=True)
            ),
        ]

    def _check_bits(self, operand: Operand, axes: tuple[int, ...], kept: list[int]) -> None:
        kind, char = operand.dtype.kind, operand.dtype.char
        length = prod(operand.shape[k] for k in axes)
        if self.name in _ADDING and char == "e":
            raise Irregular  # added up in float32, a buffer at a time
        if self.name in ("mean", "std", "var") and kind in "biu":
            # Converted a buffer at a time; all sums are exact, however they are made.
            largest = (
                1 if kind == "b" else max(-int(np.iinfo(operand.dtype).min), int(np.iinfo(operand.dtype).max))
            )
            if length * largest >= _EXACT:
                raise Irregular
        if self.name in ("max", "min", "amax", "amin", "ptp") and kind in "fc" and max(kept) > min(axes):
            if not all(_is_even(each, char) for each in ("maximum", "minimum")):
                raise Irregular

    def _chains(self) -> bool:
        """Whether rows are better added up one after the other than columns cut out."""
        operand = self.operand
        return (
            len(operand.shape) > 1
            and operand.dtype.char in "fdFD"
            and prod(operand.shape[1:]) >= 2
            and (operand.forced or operand.elements // operand.shape[0] < _LEAST_RUN)
        )

    def signature(self) -> str:
        """What choosing an engine depends on, in words."""
        return f"{self.name} {self.axes} {self.axis}|{self.operand.signature()}"

    def run(self, leaves: list[tuple[Any, ...]], kind: str, threads: int, flags: int) -> Any:
        """Compute; raises FloatingPointError if one of `flags` occurred."""
        opened = self.operand.opened(leaves[0], flags, kind)
        result = None if self.in_place else np.empty(self.shape, self.dtype)
        if self.chain is not None:
            self._run_chain(opened, result, threads, flags)
            return result
        function, before = self.function, (slice(None),) * self.axis
        at = None if self.in_place else (slice(None),) * self.place
        pieces = self._pieces(threads)
        turn = count()

        def work(_: int) -> None:
            with at_work(flags):
                while True:
                    number = next(turn)
                    if number >= len(pieces):
                        return
                    index = pieces[number]
                    found = function(opened.piece((*before, index)))
                    if result is not None:
                        result[(*at, index)] = found
                    del found  # or it would lie there while the next one is made

        pool.run(work, min(threads, len(pieces)))
        return result

    def _pieces(self, threads: int) -> list[slice]:
        operand = self.operand
        extent = operand.shape[self.axis]
        if operand.plan is None:
            number = 4 * threads if extent >= 64 * threads else threads
        else:
            number = max(operand.size // operand.elements, 2 * threads)
        number = max(1, min(number, extent // 2))
        return [slice(k * extent // number, (k + 1) * extent // number) for k in range(number)]

    def _run_chain(self, opened: Any, result: Any, threads: int, flags: int) -> None:
        """Rows, a few at a time, below the sum of those before them."""
        operand, reduce = self.operand, self.chain.reduce
        rows, width = operand.shape[0], operand.shape[1]
        inner = prod(operand.shape[2:])
        parts = max(1, min(threads, width // 2))
        if width * inner // parts < 4:
            parts = 1

        def work(part: int) -> None:
            columns = slice(part * width // parts, (part + 1) * width // parts)
            shape = (columns.stop - columns.start, *operand.shape[2:])
            run = prod(shape)
            step = max(2, operand.elements // run)
            mine = result.reshape(width, *operand.shape[2:])[columns]
            with at_work(flags):
                stack = room("chain", operand.dtype, (step + 1) * run).reshape(step + 1, *shape)
                for first in range(0, rows, step):
                    last = min(first + step, rows)
                    opened.into((slice(first, last), columns), stack[1 : 1 + last - first])
                    if first:
                        stack[0] = mine
                    begin = 0 if first else 1
                    reduce(stack[begin : 1 + last - first], axis=0, out=mine)
                if self.name == "mean":
                    np.true_divide(mine, np.intp(rows), out=mine, casting="unsafe")

        pool.run(work, parts)
