"""Reductions to one number: segments by several threads, or of an expression that is never there as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, pairwise
from typing import Any

import numpy as np

from minpy.runtime.fuse import order, pool
from minpy.runtime.fuse.ir import Irregular
from minpy.runtime.fuse.operand import Opened, Operand, at_work, room
from minpy.runtime.fuse.state import raising

_EXACT = 2**53
_COUNTED = type(np.count_nonzero(np.zeros(1)))


class Whole:
    """One reduction over all elements, for one geometry.

    Raises
    ------
    Irregular
        NumPy's order of the additions is not known, or the order would show.
    """

    def __init__(self, name: str, operand: Operand, keepdims: bool, ddof: int, named: bool) -> None:
        if not operand.contiguous:
            raise Irregular
        self.name, self.operand, self.keepdims, self.ddof = name, operand, keepdims, ddof
        self.named = named  # an axis, and be it the only one
        kind = operand.dtype.kind
        self.order = ""
        if name in ("std", "var"):
            if operand.dtype != np.float64 or operand.plan is not None or operand.size <= ddof:
                raise Irregular
        if name in ("sum", "mean", "std", "var"):
            if kind == "f" and operand.dtype.char in "fd":
                found = order.order_of(operand.dtype)
                if found is None:
                    raise Irregular
                self.order = found
            elif kind not in "biu" or (name == "mean" and not self._is_exact()):
                raise Irregular
            if name != "sum" and keepdims and operand.dtype != np.float64:
                raise Irregular
        elif kind == "c" or (operand.dtype.char not in "fd" and kind == "f"):
            raise Irregular
        if keepdims and name in ("argmax", "argmin", "count_nonzero"):
            raise Irregular
        self.starts = self._segments()

    def _is_exact(self) -> bool:
        dtype = self.operand.dtype
        largest = 1 if dtype.kind == "b" else max(abs(int(np.iinfo(dtype).min)), int(np.iinfo(dtype).max))
        return self.operand.size * largest < _EXACT

    def _segments(self) -> list[int]:
        if self.order:
            return order.segments(self.order, self.operand.size)
        return [*range(0, self.operand.size, self.operand.elements), self.operand.size]

    def signature(self) -> str:
        """What choosing an engine depends on, in words."""
        return f"{self.name} of all|{self.operand.signature()}"

    def run(self, leaves: list[tuple[Any, ...]], kind: str, threads: int, flags: int) -> Any:
        """Compute; raises FloatingPointError if one of `flags` occurred."""
        opened = self.operand.opened(leaves[0], flags, kind)
        name = self.name
        part, join = _PARTS[name]
        sums = self._sums(opened, part, threads, flags)
        with raising(flags):
            if name in ("std", "var"):
                return self._spread(opened, sums, threads, flags)
            if self.order:
                total = order.combined(self.order, self.operand.size, sums)
            else:
                total = join(sums, self.starts)
            if name == "mean":
                total = self._divided(total, self.operand.size)
        if name in ("max", "min", "amax", "amin") and self.operand.dtype.kind == "f":
            if total != total or not total:
                raise Irregular  # which NaN, which zero, depends on the way
        if name == "count_nonzero" and self.named:
            total = np.intp(total)
        return self._kept(total)

    def _divided(self, total: Any, number: int) -> Any:
        if self.keepdims:
            return np.true_divide(np.asarray(total), number)[()]
        return total.dtype.type(total / np.intp(number))

    def _kept(self, total: Any) -> Any:
        if not self.keepdims:
            return total
        return np.full((1,) * len(self.operand.shape), total)

    def _spread(self, opened: Opened, sums: list[Any], threads: int, flags: int) -> Any:
        size = self.operand.size
        mean = np.true_divide(order.combined(self.order, size, sums), np.intp(size))

        def squares(run: np.ndarray) -> Any:
            difference = np.subtract(run, mean, out=room("spread", run.dtype, run.size))
            return np.add.reduce(np.multiply(difference, difference, out=difference))

        total = order.combined(self.order, size, self._sums(opened, squares, threads, flags))
        total = self._divided(total, max(size - self.ddof, 0))
        return self._kept(np.sqrt(total) if self.name == "std" else total)

    def _sums(self, opened: Opened, part: Callable[[Any], Any], threads: int, flags: int) -> list[Any]:
        starts = self.starts
        number = len(starts) - 1
        sums: list[Any] = [None] * number
        # Groups of neighbours, for threads to take one after the other.
        each = max(1, -(-number // (4 * threads))) if threads > 1 else number
        groups = range(0, number, each)
        turn = count()

        def work(_: int) -> None:
            with at_work(flags):
                while True:
                    at = next(turn)
                    if at >= len(groups):
                        return
                    first = groups[at]
                    last = min(first + each, number)
                    runs = _runs(opened, starts[first : last + 1])
                    for k, run in zip(range(first, last), runs, strict=True):
                        sums[k] = part(run)

        pool.run(work, min(threads, len(groups)))
        return sums


def _runs(opened: Opened, starts: list[int]) -> Iterator[np.ndarray]:
    """The segments that begin at `starts`, one after the other; the last one is their end."""
    if opened.runs is not None:
        for start, stop in pairwise(starts):
            yield opened.run(start, stop)
        return
    of = opened.of
    longest = max(b - a for a, b in pairwise(starts))
    tiles = [each for each in of.tiles() if each[0] < starts[-1] and each[1] > starts[0]]
    stream = room("stream", of.dtype, longest + 2 * max(stop - start for start, stop, _ in tiles))
    begin = tiles[0][0]  # the element that the stream begins with
    wanted = 0
    for start, stop, index in tiles:
        opened.into(index, stream[start - begin : stop - begin])
        fill = stop
        while wanted < len(starts) - 1 and starts[wanted + 1] <= fill:
            yield stream[starts[wanted] - begin : starts[wanted + 1] - begin]
            wanted += 1
        rest = starts[wanted] if wanted < len(starts) - 1 else fill
        if rest > begin:
            stream[: fill - rest] = stream[rest - begin : fill - begin].copy()
            begin = rest


def _best(better: Callable[[Any, Any], Any]) -> Callable[[list[Any], list[int]], Any]:
    def join(parts: list[Any], starts: list[int]) -> Any:
        best, value = 0, parts[0][1]
        for k in range(1, len(parts)):
            this = parts[k][1]
            if value == value and (better(this, value) or this != this):
                best, value = k, this
        return np.intp(starts[best] + parts[best][0])

    return join


def _place(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def part(run: np.ndarray) -> Any:
        at = function(run)
        return at, run[at]

    return part


def _added(parts: list[Any], _: list[int]) -> Any:
    total = parts[0]
    with np.errstate(over="ignore"):
        for each in parts[1:]:
            total = total + each
    return total


def _largest(parts: list[Any], _: list[int]) -> Any:
    return np.maximum.reduce(np.array(parts))


def _smallest(parts: list[Any], _: list[int]) -> Any:
    return np.minimum.reduce(np.array(parts))


def _mean_part(run: np.ndarray) -> Any:
    return np.add.reduce(run, dtype="f8" if run.dtype.kind in "biu" else None)


_PARTS: dict[str, tuple[Callable[[Any], Any], Callable[[list[Any], list[int]], Any]]] = {
    "sum": (np.add.reduce, _added),
    "mean": (_mean_part, _added),
    "std": (np.add.reduce, _added),
    "var": (np.add.reduce, _added),
    **dict.fromkeys(("max", "amax"), (np.maximum.reduce, _largest)),
    **dict.fromkeys(("min", "amin"), (np.minimum.reduce, _smallest)),
    "any": (np.logical_or.reduce, lambda parts, _: np.logical_or.reduce(parts)),
    "all": (np.logical_and.reduce, lambda parts, _: np.logical_and.reduce(parts)),
    "count_nonzero": (np.count_nonzero, lambda parts, _: _COUNTED(sum(parts))),
    "argmax": (_place(np.argmax), _best(lambda a, b: a > b)),
    "argmin": (_place(np.argmin), _best(lambda a, b: a < b)),
}
NAMES = frozenset(_PARTS)
