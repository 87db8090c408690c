"""Calls that are cut into pieces each in its own way: needles, counts, matrices of a stack, halves to be merged."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np

from minpy.runtime.fuse import pool
from minpy.runtime.fuse.ir import Irregular
from minpy.runtime.fuse.operand import Operand
from minpy.runtime.fuse.state import raising


def _cuts(extent: int, number: int) -> list[slice]:
    number = max(1, min(number, extent))
    return [slice(k * extent // number, (k + 1) * extent // number) for k in range(number)]


def _shared(work: Callable[[int, slice], None], cuts: list[slice], threads: int, flags: int) -> None:
    """Do each of the parts, in as many threads, while flags are raised."""
    turn = count()

    def take(_: int) -> None:
        with raising(flags):
            while True:
                number = next(turn)
                if number >= len(cuts):
                    return
                work(number, cuts[number])

    pool.run(take, min(threads, len(cuts)))


def _plain(array: np.ndarray) -> np.ndarray:
    """An operand beside the first one, if it is simple enough."""
    if array.dtype.kind not in "biufc" or not array.dtype.isnative or not array.flags.c_contiguous:
        raise Irregular
    if not array.flags.aligned or not array.size:
        raise Irregular
    return array


class _Job:
    """One call, for one geometry."""

    work = 0

    def __init__(self, name: str, operand: Operand, *more: Any) -> None:
        if operand.plan is not None:
            raise Irregular
        self.operand = operand
        self._words = [name, *map(str, more)]

    def signature(self) -> str:
        """What choosing an engine depends on, in words."""
        return f"{' '.join(self._words)}|{self.operand.signature()}"

    def array(self, leaves: list[tuple[Any, ...]]) -> np.ndarray:
        """The first operand."""
        return leaves[0][self.operand.program.result]


def _class_of(array: np.ndarray) -> str:
    return f"{array.dtype.char}{array.ndim}/{array.size.bit_length()}"


class Needles(_Job):
    """``searchsorted``: the needles in parts."""

    def __init__(self, operand: Operand, needles: np.ndarray, side: Any) -> None:
        _plain(needles)
        if len(operand.shape) != 1 or not needles.ndim or side not in ("left", "right"):
            raise Irregular
        if needles.dtype != operand.dtype:
            raise Irregular  # NumPy converts both, which is done once for all
        super().__init__("searchsorted", operand, _class_of(needles), side)
        self.side, self.work = side, needles.size * 30

    def run(self, leaves: list[tuple[Any, ...]], kind: str, threads: int, flags: int) -> np.ndarray:
        """Find the places."""
        sorted_ones = self.array(leaves)
        if not np.all(sorted_ones[:-1] <= sorted_ones[1:]):
            raise Irregular  # what NumPy finds in others depends on the needle before
        needles = _second(leaves)
        result = np.empty(needles.shape, np.intp)
        flat, places = needles.reshape(-1), result.reshape(-1)

        def work(_: int, cut: slice) -> None:
            places[cut] = np.searchsorted(sorted_ones, flat[cut], side=self.side)

        _shared(work, _cuts(flat.size, 4 * threads), threads, flags)
        return result


def _second(leaves: list[tuple[Any, ...]]) -> Any:
    """The second operand: a leaf, of which there is one."""
    return leaves[1][0]


class Taken(_Job):
    """``take``: the indices in parts."""

    def __init__(self, operand: Operand, indices: np.ndarray, axis: Any) -> None:
        _plain(indices)
        if indices.dtype != np.intp or not indices.ndim or not operand.contiguous:
            raise Irregular
        if axis is None:
            if len(operand.shape) != 1:
                raise Irregular
        elif type(axis) is not int or axis != 0:
            raise Irregular
        super().__init__("take", operand, _class_of(indices))
        self.work = indices.size * 3 * (operand.size // operand.shape[0])

    def run(self, leaves: list[tuple[Any, ...]], kind: str, threads: int, flags: int) -> np.ndarray:
        """Take the elements."""
        array, indices = self.array(leaves), _second(leaves)
        result = np.empty((*indices.shape, *array.shape[1:]), array.dtype)
        flat, rows = indices.reshape(-1), result.reshape(indices.size, *array.shape[1:])
        extent = len(array)

        def work(_: int, cut: slice) -> None:
            part = flat[cut]
            if part.min() < -extent or part.max() >= extent:
                raise Irregular  # NumPy says which one it is
            np.take(array, part, axis=0, out=rows[cut], mode="wrap")

        _shared(work, _cuts(flat.size, 4 * threads), threads, flags)
        return result


_PARTS = 1 << 18  # counts of all parts together


class Counts(_Job):
    """``bincount`` of whole numbers, in parts that are added."""

    def __init__(self, operand: Operand, minlength: Any) -> None:
        if len(operand.shape) != 1 or operand.dtype.kind not in "iu" or operand.dtype == np.uint64:
            raise Irregular
        if type(minlength) is not int or minlength < 0:
            raise Irregular
        super().__init__("bincount", operand)
        self.minlength = minlength

    def run(self, leaves: list[tuple[Any, ...]], kind: str, threads: int, flags: int) -> np.ndarray:
        """Count."""
        array = self.array(leaves)
        if array.min() < 0:
            raise Irregular
        length = max(int(array.max()) + 1, self.minlength)
        cuts = _cuts(array.size, threads)
        if length * len(cuts) > min(array.size, _PARTS):
            raise Irregular  # the counts themselves are the work, or the memory
        parts: list[Any] = [None] * len(cuts)

        def work(number: int, cut: slice) -> None:
            parts[number] = np.bincount(array[cut], minlength=length)

        _shared(work, cuts, threads, flags)
        for each in parts[1:]:
            parts[0] += each
        return parts[0]


class Histogram(_Job):
    """``histogram`` with bins of one width, in parts that are added."""

    def __init__(self, operand: Operand, bins: Any, span: Any) -> None:
        if type(bins) is not int or not 0 < bins < 100_000 or operand.dtype.kind not in "iuf":
            raise Irregular
        if operand.dtype.char == "e" or not operand.contiguous:
            raise Irregular
        if span is not None and not (
            type(span) is tuple and len(span) == 2 and all(type(each) in (int, float) for each in span)
        ):
            raise Irregular
        super().__init__("histogram", operand, bins, span is None)
        self.bins, self.span = bins, span

    def run(self, leaves: list[tuple[Any, ...]], kind: str, threads: int, flags: int) -> tuple[Any, Any]:
        """Count."""
        array = self.array(leaves).reshape(-1)
        span = (array.min(), array.max()) if self.span is None else self.span
        # (Blocks of NumPy's own, so that nothing is done twice.)
        cuts = _cuts(array.size, threads)
        parts: list[Any] = [None] * len(cuts)

        def work(number: int, cut: slice) -> None:
            parts[number] = np.histogram(array[cut], self.bins, span)

        _shared(work, cuts, threads, flags)
        counts, edges = parts[0]
        for each, _ in parts[1:]:
            counts += each
        return counts, edges


def _has_zeros_of_both_signs(ordered: np.ndarray) -> bool:
    first, last = (
        np.searchsorted(ordered, [0.0, 0.0], side="left")[0],
        np.searchsorted(ordered, 0.0, side="right"),
    )
    zeros = np.signbit(ordered[first:last])
    return bool(zeros.any() and not zeros.all())


class Sorted(_Job):
    """``sort`` of one axis: parts, and the runs merged by NumPy's own stable sort, which finds them."""

    def __init__(self, operand: Operand, in_place: bool) -> None:
        if operand.dtype.kind not in "iuf" or operand.dtype.itemsize < 4 or operand.dtype.char == "g":
            raise Irregular
        if in_place and operand.dtype.kind == "f":
            raise Irregular  # what shows too late that the order of equal ones matters
        super().__init__("sort", operand, in_place)
        self.in_place = in_place

    def run(self, leaves: list[tuple[Any, ...]], kind: str, threads: int, flags: int) -> Any:
        """Sort."""
        array = self.array(leaves)
        if self.in_place and not array.flags.writeable:
            raise Irregular
        result = array if self.in_place else np.array(array, order="C")
        cuts = _cuts(result.size, max(threads, 2))
        _shared(lambda _, cut: result[cut].sort(), cuts, threads, flags)
        result.sort(kind="stable")
        if result.dtype.kind == "f":
            last = result[-1]
            if last != last or _has_zeros_of_both_signs(result):
                raise Irregular
        return None if self.in_place else result


class Unique(_Job):
    """``unique`` of numbers: of parts, and of what is left of them."""

    def __init__(self, operand: Operand) -> None:
        if operand.dtype.kind not in "iu" or not operand.contiguous:
            raise Irregular
        super().__init__("unique", operand)

    def run(self, leaves: list[tuple[Any, ...]], kind: str, threads: int, flags: int) -> np.ndarray:
        """Find them."""
        array = self.array(leaves).reshape(-1)
        cuts = _cuts(array.size, threads)
        parts: list[Any] = [None] * len(cuts)

        def work(number: int, cut: slice) -> None:
            parts[number] = np.unique(array[cut])

        _shared(work, cuts, threads, flags)
        if sum(each.size for each in parts) > array.size // 4:
            raise Irregular  # most numbers come once: nothing is saved, and it takes more memory than NumPy
        return np.unique(np.concatenate(parts))


class Sliding(_Job):
    """``convolve`` and ``correlate``: the places at which all of the shorter one takes part, in parts."""

    def __init__(self, function: Any, operand: Operand, other: np.ndarray, mode: Any, name: str) -> None:
        _plain(other)
        if (
            other.dtype != operand.dtype
            or other.ndim != 1
            or len(operand.shape) != 1
            or not operand.contiguous
        ):
            raise Irregular
        if operand.dtype.char not in "fdFD" or mode not in ("full", "same", "valid"):
            raise Irregular
        if operand.size < 16 * other.size or other.size < 2:
            raise Irregular
        super().__init__(name, operand, _class_of(other), mode)
        self.function, self.mode, self.width = function, mode, other.size
        self.work = operand.size * other.size

    def run(self, leaves: list[tuple[Any, ...]], kind: str, threads: int, flags: int) -> np.ndarray:
        """Slide."""
        array, other = self.array(leaves), _second(leaves)
        width, function = self.width, self.function
        inner = array.size - width + 1
        # How many places at the beginning see only the end of the shorter one.
        lead = {"full": width - 1, "same": width // 2 if self.mode == "same" else 0, "valid": 0}[self.mode]
        size = {"full": array.size + width - 1, "same": array.size, "valid": inner}[self.mode]
        result = np.empty(size, array.dtype)
        middle = result[lead : lead + inner]
        if lead or size > inner:
            with raising(flags):
                ends = 4 * width
                head = function(array[:ends], other, self.mode)
                tail = function(array[-ends:], other, self.mode)
            result[:lead] = head[:lead]
            after = size - lead - inner
            if after:
                result[-after:] = tail[-after:]

        def work(_: int, cut: slice) -> None:
            middle[cut] = function(array[cut.start : cut.stop + width - 1], other, "valid")

        # No part is shorter than the other operand: NumPy would exchange the two.
        _shared(work, _cuts(inner, min(4 * threads, inner // (2 * width))), threads, flags)
        return result


class Stack(_Job):
    """Functions of stacks of matrices: matrix by matrix."""

    def __init__(self, function: Any, operand: Operand, other: np.ndarray | None = None) -> None:
        if len(operand.shape) != 3 or operand.dtype.char not in "fdFD" or not operand.contiguous:
            raise Irregular
        if operand.shape[0] < 4 or min(operand.shape) < 2:
            raise Irregular
        more = ""
        if other is not None:
            _plain(other)
            if other.dtype != operand.dtype or other.ndim != 3 or len(other) != operand.shape[0]:
                raise Irregular
            if min(other.shape) < 2:
                raise Irregular
            more = _class_of(other)
        super().__init__(function.__name__, operand, operand.shape[1:], more)
        self.function, self.binary = function, other is not None
        self.work = operand.size * min(operand.shape[1:])

    def run(self, leaves: list[tuple[Any, ...]], kind: str, threads: int, flags: int) -> np.ndarray:
        """Compute."""
        operands = [self.array(leaves)]
        if self.binary:
            operands.append(_second(leaves))
        extent = len(operands[0])
        cuts = _cuts(extent, threads if extent < 16 * threads else 4 * threads)
        parts: list[Any] = [None] * len(cuts)

        def work(number: int, cut: slice) -> None:
            parts[number] = self.function(*[each[cut] for each in operands])

        _shared(work, cuts, threads, flags)
        return np.concatenate(parts)
