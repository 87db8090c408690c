"""Which calls of library functions are compiled as a whole, and for which operands (see `kernels`)."""

from __future__ import annotations

import operator
from collections.abc import Callable
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from minpy.runtime.fuse import native
from minpy.runtime.fuse.counting import Counts, Unique
from minpy.runtime.fuse.ir import Irregular
from minpy.runtime.fuse.kernels import Kernel
from minpy.runtime.fuse.lanes import Medians
from minpy.runtime.fuse.ranks import Medians as LongMedians
from minpy.runtime.fuse.ranks import Quantiles
from minpy.runtime.fuse.rowwise import NAMES as ROWWISE
from minpy.runtime.fuse.rowwise import Rowwise

_MANY = 4096  # elements: fewer cost less than to make the call in another way
_MISSES = 3  # times that a kernel may say no


class Compiled:
    """A call for one geometry: what its kernel's text is, and how it is run.

    Attributes
    ----------
    job : object
        Has ``text``, and ``run(kernel, array)``, which raises `Irregular` where NumPy is to make the call.
    """

    def __init__(self, job: Any) -> None:
        self.job = job
        self.misses = 0
        self._kernel: Kernel | None = None

    @property
    def gains_surely(self) -> bool:
        """Whether NumPy takes tens of times as long, so that it may be compiled early."""
        return type(self.job) is Medians

    def run(self, array: np.ndarray, wait: bool) -> Any:
        """Make the call; raises as `Kernel` does."""
        if self._kernel is None:
            self._kernel = Kernel(self.job.text, wait)
        try:
            return self.job.run(self._kernel, array)
        except Irregular:
            self.misses += 1
            raise

    @property
    def is_hopeless(self) -> bool:
        """Whether the operands are no such as the kernel takes."""
        return self.misses >= _MISSES


def of(name: str, array: Any, given: dict[str, Any], forced: bool) -> Compiled | None:
    """How a call is compiled; None if it is not."""
    make = _KINDS.get(name)
    if make is None or type(array) is not np.ndarray or array.dtype.kind not in "iufb":
        return None
    if not array.dtype.isnative or not array.flags.aligned or any(step <= 0 for step in array.strides):
        return None
    if not array.ndim or array.size < (2 if forced else _MANY) or not native.may_be_used():
        return None
    try:
        return Compiled(make(name, array, given))
    except Irregular:
        return None


def _axes(array: np.ndarray, axis: Any) -> tuple[int, ...]:
    """The axes that are meant, in order; the result must be one that NumPy lays out in C order."""
    if axis is None:
        return tuple(range(array.ndim))
    axes = []
    for each in axis if type(axis) is tuple else (axis,):
        if type(each) not in (int, np.int64):
            raise Irregular
        number = operator.index(each)
        if not -array.ndim <= number < array.ndim:
            raise Irregular
        axes.append(number % array.ndim)
    if len(set(axes)) < len(axes):
        raise Irregular
    return tuple(sorted(axes))


def _is_in_order(array: np.ndarray, kept: list[int]) -> bool:
    """Whether NumPy's result has the axes that are kept in C order: it follows the operand's strides."""
    steps = [array.strides[k] for k in kept if array.shape[k] > 1]
    return all(a > b for a, b in pairwise(steps))


def _median(name: str, array: np.ndarray, given: dict[str, Any]) -> Any:
    axes, keepdims = _axes(array, given.get("axis")), given.get("keepdims", False)
    if type(keepdims) is not bool:
        raise Irregular
    kept = [k for k in range(array.ndim) if k not in axes]
    if not _is_in_order(array, kept):
        raise Irregular
    length = prod(array.shape[k] for k in axes)
    return (Medians if kept and 2 <= length <= Medians.longest else LongMedians)(array, axes, keepdims)


def _quantile(name: str, array: np.ndarray, given: dict[str, Any]) -> Any:
    axes, keepdims, q = _axes(array, given.get("axis")), given.get("keepdims", False), given.get("q")
    if (
        type(keepdims) is not bool
        or type(q) not in (int, float, np.float64, list, tuple)
        or (q == () or q == [])
    ):
        raise Irregular
    wanted = np.asarray(q)
    if wanted.dtype != np.float64:
        raise Irregular  # whole numbers: NumPy interpolates nothing
    return Quantiles(array, axes, keepdims, wanted)


def _percentile(name: str, array: np.ndarray, given: dict[str, Any]) -> Any:
    q = given.get("q")
    if type(q) not in (int, float, np.float64, list, tuple):
        raise Irregular
    return _quantile(name, array, {**given, "q": np.true_divide(q, 100).tolist()})


def _bincount(name: str, array: np.ndarray, given: dict[str, Any]) -> Any:
    minlength = given.get("minlength", 0)
    if type(minlength) is not int or minlength < 0:
        raise Irregular
    return Counts(array, minlength)


def _unique(name: str, array: np.ndarray, given: dict[str, Any]) -> Any:
    if given:
        raise Irregular
    return Unique(array)


def _rowwise(name: str, array: np.ndarray, given: dict[str, Any]) -> Any:
    axis, keepdims = given.get("axis"), given.get("keepdims", False)
    if axis is None or type(keepdims) is not bool or not given.keys() <= {"axis", "keepdims"}:
        raise Irregular
    if type(axis) is tuple and name.startswith("arg"):
        raise Irregular
    axes = _axes(array, axis)
    if not _is_in_order(array, [k for k in range(array.ndim) if k not in axes]):
        raise Irregular
    return Rowwise(name, array, axes, keepdims)


_KINDS: dict[str, Callable[[str, np.ndarray, dict[str, Any]], Any]] = {
    "median": _median,
    "percentile": _percentile,
    "quantile": _quantile,
    "bincount": _bincount,
    "unique": _unique,
    **dict.fromkeys(ROWWISE, _rowwise),
}
NAMES = frozenset(_KINDS)
