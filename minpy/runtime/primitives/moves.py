"""What the rows that only move elements share: scatters (the transposes of gathers) and the test operands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minpy.runtime.primitives.table import row

SCATTERS = "MXNet adds up repeated places in no fixed order"


def apply(name: str, *args: Any, **kwargs: Any) -> Any:
    """Run a primitive that NumPy has no function for, from inside a derivative rule."""
    from minpy.runtime import dispatch

    return dispatch.apply(name, *args, **kwargs)


def plain(value: Any) -> Any:
    """The contents on the host: of indices and masks, which no gradient flows through."""
    from minpy.runtime.array import host

    return host(value)


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape of an operand, which may be a list of arrays (`numpy.shape` would convert it)."""
    if type(value) in (list, tuple):
        return (len(value), *shape_of(value[0])) if value else (0,)
    return np.shape(value)


def as_array(value: Any) -> Any:
    """A list as an array, through the tape; anything else as it is."""
    return apply("array", value) if type(value) in (list, tuple) else value


def holds_arrays(value: Any) -> bool:
    """Whether a nested list holds an array or a NumPy scalar, which bring dtypes of their own."""
    return type(value) in (list, tuple) and any(
        isinstance(v, (np.ndarray, np.generic, Array)) or holds_arrays(v) for v in value
    )


def rows(names: str, **columns: Any) -> None:
    """One row for each of several names of a function; they share every column."""
    for name in names.split():
        row(name, **columns)


def index_scatter(g: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of `shape` with `g` added at `index`, repeated places accumulating: the transpose of indexing."""
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


def _layout(value: Any) -> np.ndarray:
    """An array of numbers with the shape and the memory layout of an operand."""
    from minpy.runtime.array import Array

    if type(value) is Array:
        return np.empty_like(value.window, np.intp)
    return np.empty_like(value, np.intp) if type(value) is np.ndarray else np.empty(shape_of(value), np.intp)


def gathers(function: Callable[..., Any], first: int = 0, fills: bool = False) -> Callable[..., Any]:
    """The derivative rule of a function that only moves elements: run it on element numbers, then scatter.

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
        shape = shape_of(args[first])
        count = int(np.prod(shape))
        # In the operand's layout: the orders A and K follow it.
        numbers = _layout(args[first])
        numbers[...] = np.arange(fills, count + fills).reshape(shape)
        places = function(*[numbers if i == first else plain(a) for i, a in enumerate(args)], **plain(kwargs))
        return apply("flat_scatter", g, np.asarray(places) - int(fills), shape)

    return rule


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


row(
    "index_scatter",
    index_scatter,
    family="index",
    cost="move",
    mxnet=SCATTERS,
    vjp=(lambda g, ans, x, index, shape: g[plain(index)],),
    samples=cases(
        lambda a: (a(3), np.array([1, 1, 0]), (4,)),
        lambda a: (a(2, 2), (slice(0, 2), slice(1, 3)), (3, 4)),
        lambda a: (a(2), np.array([True, False, True]), (3,)),
    ),
)
row(
    "flat_scatter",
    flat_scatter,
    family="index",
    cost="move",
    mxnet=SCATTERS,
    vjp=(lambda g, ans, x, places, shape: apply("flat_gather", g, places),),
    samples=cases(
        lambda a: (a(3), np.array([1, 1, 5]), (2, 3)), lambda a: (a(2, 2), np.array([[0, -1], [2, 3]]), (4,))
    ),
)
row(
    "flat_gather",
    flat_gather,
    family="index",
    cost="move",
    mxnet=SCATTERS,
    vjp=(lambda g, ans, x, places: apply("flat_scatter", g, places, np.shape(x)),),
    samples=cases(lambda a: (a(2, 3), np.array([1, 1, 5])), lambda a: (a(4), np.array([[0, -1], [2, 3]]))),
)

# At the end: dispatch imports the table.
from minpy.runtime.array import Array  # noqa: E402
