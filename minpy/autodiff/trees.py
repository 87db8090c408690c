"""Trees: values inside nested lists, tuples, named tuples, mappings and dataclasses; all else is a leaf, None too."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from minpy.errors import GradientError
from minpy.runtime.array import Array

# Deeper than a program nests its parameters: a container that holds itself.
_DEEPEST = 200
# What is a leaf without a closer look.
_LEAVES = frozenset((Array, np.ndarray, float, int, bool, str, type(None), np.float64, np.float32, np.int64))


def is_flat(values: Iterable[Any]) -> bool:
    """Whether all of these are surely leaves."""
    return _LEAVES.issuperset(map(type, values))


def children(value: Any) -> list[tuple[str, Any, Any]] | None:
    """The parts of a container as (how it is written after the container's name, key, value); None for a leaf."""
    kind = type(value)
    if kind in _LEAVES:
        return None
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return [(f".{name}", i, v) for i, (name, v) in enumerate(zip(kind._fields, value, strict=True))]
    if isinstance(value, (list, tuple)):
        return [(f"[{i}]", i, v) for i, v in enumerate(value)]
    if isinstance(value, Mapping):
        return [(f"[{key!r}]", key, value[key]) for key in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [
            (f".{f.name}", f.name, getattr(value, f.name))
            for f in dataclasses.fields(value)
            if hasattr(value, f.name)
        ]
    return None


def rebuild(value: Any, parts: dict[Any, Any]) -> Any:
    """A container like `value` with other parts, by key; its type, order and everything that is no part are kept."""
    kind = type(value)
    if kind is list or kind is tuple:
        return kind(parts.values())
    if kind is dict:
        return dict(parts)
    if isinstance(value, tuple):
        return kind._make(parts.values()) if hasattr(kind, "_make") else kind(parts.values())
    if isinstance(value, Mapping) and not hasattr(kind, "__setitem__"):
        return kind(parts)  # type: ignore[call-arg]
    # A copy keeps what the constructor would ask for: a default factory, attributes, fields that are not in
    # __init__.
    made = copy.copy(value)
    if isinstance(value, list):
        made[:] = parts.values()
    elif isinstance(value, Mapping):
        for key, part in parts.items():
            made[key] = part  # type: ignore[index]
    else:
        for name, part in parts.items():
            object.__setattr__(made, name, part)  # a frozen dataclass has no other way
    return made


def walk(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """The leaves of a tree in order, each with its path."""
    parts = children(value)
    if parts is None:
        yield path, value
        return
    if depth > _DEEPEST:
        raise GradientError(
            f"{path[:40]}… is nested more than {_DEEPEST} deep: a container that holds itself?"
        )
    for step, _, part in parts:
        yield from walk(part, path + step, depth + 1)


def leaves(value: Any) -> list[Any]:
    """The leaves of a tree, in order."""
    found: list[Any] = []
    try:
        _collect(value, found, 0)
    except RecursionError:
        return [leaf for _, leaf in walk(value)]  # which says where
    return found


def _collect(value: Any, found: list[Any], depth: int) -> None:
    kind = type(value)
    if kind in _LEAVES:
        found.append(value)
        return
    if kind is tuple or kind is list:
        parts = value
    elif kind is dict:
        parts = value.values()
    elif (items := children(value)) is None:
        found.append(value)
        return
    else:
        parts = [part for _, _, part in items]
    if depth > _DEEPEST:
        raise RecursionError
    for part in parts:
        _collect(part, found, depth + 1)


def arrays_in(value: Any) -> list[Array]:
    """The leaves that are `Array` objects, in order."""
    return [leaf for leaf in leaves(value) if type(leaf) is Array]


def transform(function: Callable[..., Any], value: Any, *others: Any, depth: int = 0) -> Any:
    """A tree like `value` with ``function(leaf, *others)`` at every leaf; `others` are trees of the same structure."""
    if not others:
        kind = type(value)
        if kind in _LEAVES:
            return function(value)
        if depth <= _DEEPEST:
            if kind is tuple:
                return tuple([transform(function, part, depth=depth + 1) for part in value])
            if kind is list:
                return [transform(function, part, depth=depth + 1) for part in value]
            if kind is dict:
                return {
                    key: function(part)
                    if type(part) in _LEAVES
                    else transform(function, part, depth=depth + 1)
                    for key, part in value.items()
                }
    parts = children(value)
    if parts is None:
        return function(value, *others)
    if depth > _DEEPEST:
        raise GradientError(f"a container is nested more than {_DEEPEST} deep: does it hold itself?")
    rest = []
    for other in others:
        found = children(other)
        if found is None or [key for _, key, _ in found] != [key for _, key, _ in parts]:
            raise GradientError(
                f"the structures differ: {summary(value)} on one side, {summary(other)} on the other"
            )
        rest.append({key: part for _, key, part in found})
    made = {
        key: transform(function, part, *[r[key] for r in rest], depth=depth + 1) for _, key, part in parts
    }
    return rebuild(value, made)


def summary(value: Any) -> str:
    """A tree in a few words, for messages."""
    parts = children(value)
    if parts is not None:
        inner = ", ".join(f"{step}: {summary(part)}" for step, _, part in parts[:4])
        return f"{type(value).__name__}({inner}{', …' if len(parts) > 4 else ''})"
    if isinstance(value, np.ndarray):
        return f"array of shape {value.shape}, {value.dtype}"
    return type(value).__name__
