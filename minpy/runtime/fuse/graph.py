"""A block with its derivatives as one graph: operations on leaves and on each other, each value once.

Derivative rules come from the table of primitives: they are called with `Term`s, which put down what the rule does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from minpy.runtime.fuse.ir import Irregular

# Where a value comes from, if it is no operation.
ARRAY, NUMBER, COTANGENT, CONSTANT, SAVED = "x", "s", "g", "k", "y"
_LEAVES = frozenset((ARRAY, NUMBER, COTANGENT, CONSTANT, SAVED))
# Ufuncs under the names that blocks have for them.
_NAMES = {"divide": "true_divide"}


class Graph:
    """Values, numbered in an order in which they can be computed.

    Attributes
    ----------
    nodes : list of (str, tuple)
        Of each value the operation and the numbers of its operands; of a leaf its kind, and which one of these.
    dtypes : list of (numpy.dtype or None)
        None for a number.
    """

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype
        self.nodes: list[tuple[str, tuple]] = []
        self.dtypes: list[np.dtype | None] = []
        self._numbers: dict[tuple, int] = {}
        self._like: list[Any] = []  # stand-ins without elements, for the dtypes

    def leaf(self, kind: str, which: Any, like: Any = None) -> int:
        """A leaf; `like` is a number of the kind that it is, or the dtype of an array."""
        if isinstance(like, np.dtype):
            return self._put((kind, (which,)), np.empty(0, like), like)
        key = (kind, (which, type(which)) if kind == CONSTANT else (which,))
        return self._put(key, which if kind == CONSTANT else like, None)

    def add(self, name: str, *operands: int) -> int:
        """An operation, by the name of its ufunc (or ``where``, ``clip``).

        Raises
        ------
        Irregular
            The result is neither of the block's dtype nor a truth value.
        """
        name = _NAMES.get(name, name)
        found = self._numbers.get((name, operands))
        if found is not None:
            return found
        function = getattr(np, name)
        with np.errstate(all="ignore"):
            like = function(*[self._like[k] for k in operands])
        if type(like) is not np.ndarray:
            raise Irregular("an operation on numbers")
        if like.dtype != self.dtype and like.dtype.kind != "b":
            raise Irregular(f"{name} gives {like.dtype}")
        return self._put((name, operands), like, like.dtype)

    def _put(self, key: tuple, like: Any, dtype: np.dtype | None) -> int:
        found = self._numbers.get(key)
        if found is not None:
            return found
        number = self._numbers[key] = len(self.nodes)
        self.nodes.append(key if key[0] != CONSTANT else (CONSTANT, (key[1][0],)))
        self._like.append(like)
        self.dtypes.append(dtype)
        return number

    def is_leaf(self, number: int) -> bool:
        """Whether a value is no operation."""
        return self.nodes[number][0] in _LEAVES

    def needed(self, wanted: list[int], ready: dict[int, int] | None = None) -> list[int]:
        """The values that must be computed for those of `wanted`, leaves too, in order; `ready` are leaves instead."""
        seen: set[int] = set()
        stack = list(wanted)
        while stack:
            number = stack.pop()
            if number in seen:
                continue
            seen.add(number)
            if not self.is_leaf(number) and not (ready and number in ready):
                stack.extend(self.nodes[number][1])
        return sorted(seen)


class Term(NDArrayOperatorsMixin):
    """A value of a graph in the hands of a derivative rule."""

    __array_priority__ = 1000.0

    def __init__(self, graph: Graph, number: int) -> None:
        self.graph, self.number = graph, number

    @property
    def dtype(self) -> Any:
        """The dtype, which rules ask for."""
        return self.graph._like[self.number].dtype

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs or ufunc.nout != 1:
            raise Irregular(f"{ufunc.__name__}.{method}")
        return self._apply(ufunc.__name__, inputs)

    def __array_function__(self, function: Any, types: Any, args: tuple, kwargs: dict) -> Any:
        if function is np.where and len(args) == 3 and not kwargs:
            return self._apply("where", args)
        if function is np.any:
            return True  # what holds for some elements is looked at for each
        if function is np.iscomplexobj:
            return False
        raise Irregular(getattr(function, "__name__", "a function"))

    def _apply(self, name: str, operands: tuple) -> Term:
        return Term(self.graph, self.graph.add(name, *[self._number(each) for each in operands]))

    def _number(self, value: Any) -> int:
        if type(value) is Term:
            return value.number
        if type(value) in (int, float, bool):
            return self.graph.leaf(CONSTANT, value)
        raise Irregular(f"a {type(value).__name__} in a derivative rule")

    def __bool__(self) -> bool:
        raise Irregular("a derivative rule that depends on values")
