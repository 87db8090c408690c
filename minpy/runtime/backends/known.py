"""What was found out about element-wise operations on operands of some dtypes, so that it is asked once.

A device asks NumPy for each operation in which dtype it is computed, and of which dtype the result is. That takes
longer than to put the operation off. The answers depend on the dtypes alone, but for numbers that change them: floats
so large that they do are not answered for, and integers are part of the question. So a kernel's condition on operands
like these has been met before as well.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

_MOST = 4096  # answers that are kept
_WIDE = 6e4  # a float beyond it may not fit into the narrowest dtype


class Answer(NamedTuple):
    """In which dtype an operation is computed (None: that of its operand), and the dtype of its result."""

    dtype: np.dtype | None
    wanted: np.dtype | None


class Known:
    """The answers for one device."""

    def __init__(self) -> None:
        from minpy.runtime.array import Array

        self._array = Array
        self._answers: dict[tuple, Answer] = {}

    def key(self, primitive: Any, args: tuple) -> tuple | None:
        """What the answer depends on; None if the operands are not such that a device certainly takes them.

        They are arrays with elements whose shapes can be broadcast, and Python's numbers.
        """
        parts: list[Any] = [primitive.function]
        shape: tuple[int, ...] | None = None
        for arg in args:
            kind = type(arg)
            if kind is float:
                if not -_WIDE < arg < _WIDE:
                    return None
                parts.append(kind)
                continue
            if kind is int or kind is bool:
                parts += (kind, arg)
                continue
            if kind is self._array:
                arg = arg.window
            elif kind is not np.ndarray:
                return None
            dtype, extents = arg.dtype, arg.shape
            if not extents or 0 in extents or not dtype.isnative:
                return None
            if shape is None:
                shape = extents
            elif shape != extents and not _fit(shape, extents):
                return None
            parts.append(dtype.num)
        return None if shape is None or len(args) > 2 else tuple(parts)

    def find(self, primitive: Any, args: tuple) -> Answer | None:
        """The answer, if it is known."""
        key = self.key(primitive, args)
        return None if key is None else self._answers.get(key)

    def put(self, primitive: Any, args: tuple, dtype: Any, wanted: Any) -> None:
        """Note an answer."""
        key = self.key(primitive, args)
        if key is not None:
            if len(self._answers) >= _MOST:
                self._answers.clear()
            self._answers[key] = Answer(dtype, wanted)

    def forget(self) -> None:
        """A result was of another dtype than was said."""
        self._answers.clear()


def _fit(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return all(m == n or m == 1 or n == 1 for m, n in zip(reversed(one), reversed(other), strict=False))
