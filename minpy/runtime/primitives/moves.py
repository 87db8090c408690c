"""What the rows that only move elements share: scatters (the transposes of gathers) and the test operands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minpy.runtime.primitives.table import row


def apply(name: str, *args: Any, **kwargs: Any) -> Any:
    """Run a primitive that NumPy has no function for, from inside a derivative rule (recorded there if a tape is open)."""
    from minpy.runtime import dispatch

    return dispatch.apply(name, *args, **kwargs)


def plain(value: Any) -> Any:
    """The contents on the host: of indices and masks, which no gradient flows through."""
    from minpy.runtime.array import host

    return host(value)


def rows(names: str, **columns: Any) -> None:
    """One row for each of several names of a function; they share every column."""
    for name in names.split():
        row(name, **columns)


def index_scatter(g: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of `shape` with `g` added at ``[index]``, repeated places accumulating: the transpose of indexing."""
    g = np.asarray(g)
    full = np.zeros(shape, g.dtype)
    if _repeats(index):
        np.add.at(full, index, g)
    else:
        full[index] = g
    return full


def _repeats(index: Any) -> bool:
    return any(
        isinstance(part, (list, np.ndarray)) and np.asarray(part).dtype != bool
        for part in (index if isinstance(index, tuple) else (index,))
    )


def flat_scatter(g: Any, places: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of `shape` with `g` added at the flat `places`; places below zero are dropped."""
    g = np.asarray(g)
    places = np.asarray(places)
    full = np.zeros(int(np.prod(shape)), g.dtype)
    keep = places >= 0
    if keep.all():
        np.add.at(full, places, g)
    else:
        np.add.at(full, places[keep], g[keep])
    return full.reshape(shape)


def flat_gather(x: Any, places: Any) -> Any:
    """The elements of `x` at the flat `places`, zero where a place is below zero."""
    x, places = np.asarray(x), np.asarray(places)
    if not x.size:
        return np.zeros(places.shape, x.dtype)
    found = x.reshape(-1)[places]
    return found if (places >= 0).all() else np.where(places >= 0, found, np.zeros((), x.dtype))


def gathers(function: Callable[..., Any], first: int = 0, fills: bool = False) -> Callable[..., Any]:
    """The derivative rule of any function that only moves elements of one operand: run it on the elements' numbers, then scatter.

    Parameters
    ----------
    function : callable
        The NumPy function.
    first : int
        Which positional argument is the array.
    fills : bool
        The function fills places with zeros (``tril``, ``diag``).
    """

    def rule(g: Any, ans: Any, *args: Any, **kwargs: Any) -> Any:
        shape = np.shape(args[first])
        count = int(np.prod(shape))
        numbers = np.arange(fills, count + fills).reshape(shape)
        places = function(*[numbers if i == first else plain(a) for i, a in enumerate(args)], **plain(kwargs))
        return apply("flat_scatter", g, np.asarray(places) - int(fills), shape)

    return rule


row(
    "index_scatter",
    index_scatter,
    cost="move",
    vjp=(lambda g, ans, x, index, shape: g[plain(index)],),
)
row(
    "flat_scatter",
    flat_scatter,
    cost="move",
    vjp=(lambda g, ans, x, places, shape: apply("flat_gather", g, places),),
)
row(
    "flat_gather",
    flat_gather,
    cost="move",
    vjp=(lambda g, ans, x, places: apply("flat_scatter", g, places, np.shape(x)),),
)


# ----- operands for tests -----------------------------------------------------------------------------------


def draw(rng: Any, dtype: Any, *shape: int) -> np.ndarray:
    """A random array of any dtype: small integers, or normal numbers."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind == "u":
        return rng.integers(0, 7, shape).astype(dtype)
    if dtype.kind == "i":
        return rng.integers(-6, 7, shape).astype(dtype)
    if dtype.kind == "c":
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)
    return np.asarray(rng.standard_normal(shape)).astype(dtype)


def cases(*makers: Callable[..., Any]) -> Callable[..., Any]:
    """Samples from functions ``make(a)`` that return an argument tuple, or ``(arguments, keywords)``.

    ``a(*shape)`` draws an array of the dtype under test, ``a.rng`` is the generator.
    """

    def samples(rng: Any, dtype: Any) -> Any:
        def a(*shape: int) -> np.ndarray:
            return draw(rng, dtype, *shape)

        a.rng, a.dtype = rng, np.dtype(dtype)  # type: ignore[attr-defined]
        for make in makers:
            made = make(a)
            if isinstance(made, list):
                yield tuple(made[0]), made[1]
            else:
                yield made, {}

    return samples
