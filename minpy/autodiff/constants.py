"""Values through which no gradient flows: `stop_gradient` and `nograd`."""

from __future__ import annotations

from typing import Any

from minpy.autodiff import trees
from minpy.runtime.array import Array


def stop_gradient(x: Any) -> Any:
    """`x` as a constant: a copy through which no gradient flows (arrays inside lists, tuples, dicts and dataclasses too)."""

    def constant(leaf: Any) -> Any:
        if type(leaf) is not Array:
            return leaf
        return leaf.asnumpy()[()] if leaf.scalar else leaf.asnumpy()

    return trees.transform(constant, x)
