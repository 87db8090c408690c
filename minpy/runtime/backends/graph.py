"""Element-wise work that a back end puts off: nodes of a graph, whose leaves are arrays on the device.

The handle of what is put off refers to its `Node`, and the node to whoever holds that handle, so that what nobody
holds any more when the graph is computed need never be written to memory.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np


class Node:
    """One operation that is to be done.

    Attributes
    ----------
    name : str
        The row of the table; empty once it is computed, its only operand then being the result.
    operands : tuple
        Nodes, arrays of the device's library, and numbers (as NumPy scalars of the operands' dtype).
    dtype, kind : numpy.dtype
        Of the result, and of the operands (those of a choice: of its branches).
    count : int
        How many nodes it takes, itself included.
    lazy : weakref or None
        To the handle that holds the result; None if there is none yet, or once it is computed.
    """

    __slots__ = ("count", "dtype", "kind", "lazy", "name", "operands")

    def __init__(self, name: str, operands: tuple, kind: np.dtype, dtype: np.dtype) -> None:
        self.name, self.operands, self.kind, self.dtype = name, operands, kind, dtype
        self.count = 1 + sum([o.count for o in operands if type(o) is Node])
        self.lazy: weakref.ref | None = None

    def holder(self) -> Any:
        """The handle that holds the result, or None."""
        return None if self.lazy is None else self.lazy()

    def settle(self, result: Any) -> None:
        """Note that it is computed."""
        self.operands, self.name, self.count, self.lazy = (result,), "", 0, None


def order(node: Node) -> list[Node]:
    """The nodes that a node takes and that are still to be computed, operands first, each once."""
    found: dict[int, Node] = {}

    def visit(each: Node) -> None:
        if id(each) in found or not each.name:
            return
        for operand in each.operands:
            if type(operand) is Node:
                visit(operand)
        found[id(each)] = each

    visit(node)
    return list(found.values())


def leaves(values: Any) -> list[Any]:
    """The arrays that are read, each once."""
    found: dict[int, Any] = {}
    stack = list(reversed(values))
    while stack:
        value = stack.pop()
        if type(value) is Node:
            stack.extend(reversed(value.operands))
        elif not isinstance(value, np.generic):
            found.setdefault(id(value), value)
    return list(found.values())


def held(nodes: list[Node], last: Any, most: int) -> list[tuple[Node, Any]]:
    """The nodes whose results somebody holds, with their handles, the one of the handle `last` at the end.

    At most `most` of them, the last ones, and only those of its shape.
    """
    owners = [(node, node.holder()) for node in nodes]
    found = [
        (node, owner)
        for node, owner in owners
        if owner is not None and owner is not last and owner.shape == last.shape
    ]
    return [*found[len(found) - min(len(found), most - 1) :], (last.node, last)]


class PutOff:
    """What is put off on one device: the handles that are still to be computed.

    Attributes
    ----------
    lock : threading.RLock
        Held while something is computed.
    """

    handle: type  # with `array`, and `node`, None once it is computed

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._pending: weakref.WeakSet[Any] = weakref.WeakSet()

    def array(self, handle: Any) -> Any:
        """The library's array of a handle of either kind, computed."""
        if type(handle) is not self.handle:
            return handle
        with self.lock:
            if handle.node is not None:
                self._compute(handle)
        return handle.array

    def settle(self) -> None:
        """Compute all that somebody holds."""
        with self.lock:
            for lazy in list(self._pending):
                if lazy.node is not None:
                    self._compute(lazy)

    def _compute(self, lazy: Any) -> None:
        raise NotImplementedError
