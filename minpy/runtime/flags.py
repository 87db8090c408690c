"""The flags that rewritten code asks before it names a place (see `minpy.places`): who keeps them set.

A flag is set until a place that asks it goes to sleep and no other one that shares it is awake.
"""

from __future__ import annotations

from collections.abc import Iterable

from minpy.runtime import entry

_awake: dict[str, set[str]] = {}


def wake(flag: str, name: str) -> None:
    """Let the place `name` be asked for."""
    _awake.setdefault(flag, set()).add(name)
    setattr(entry.routed, flag, True)


def sleep(flag: str, name: str) -> None:
    """Let the place `name` be passed by, as far as others let it."""
    others = _awake.setdefault(flag, set())
    others.discard(name)
    if not others:
        setattr(entry.routed, flag, False)
        if others:  # another thread woke one in between
            setattr(entry.routed, flag, True)


def expect(flags: Iterable[str]) -> None:
    """Let places be asked for that are new: their module is about to run."""
    for flag in flags:
        setattr(entry.routed, flag, True)
