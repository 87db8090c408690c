"""Indexing."""

from __future__ import annotations

import operator

import numpy as np

from minpy.runtime.primitives.table import row


def _scatter(g, ans, x, index):
    full = np.zeros(x.shape, g.dtype)
    np.add.at(full, index, g)
    return full


def scatter_add(x, index, value):
    """A copy of `x` with `value` added at `index`, repeated places accumulating."""
    result = np.array(x)
    np.add.at(result, index, value)
    return result


row("getitem", operator.getitem, cost="move", vjp=(_scatter,))
row(
    "scatter_add",
    scatter_add,
    cost="move",
    vjp=(
        lambda g, ans, x, index, value: g,
        None,
        lambda g, ans, x, index, value: (
            np.broadcast_to(g[index], np.shape(value)) if np.ndim(value) else g[index]
        ),
    ),
)
row("copy", cost="move", vjp=(lambda g, ans, x, order="K": g,))
row(
    "astype",
    lambda x, dtype, casting="unsafe": x.astype(dtype, casting=casting),
    cost="move",
    vjp=(lambda g, ans, x, dtype, casting="unsafe": g,),
)
