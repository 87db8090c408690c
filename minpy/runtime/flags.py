"""The flags that rewritten code asks before it names a place (see `minpy.places`): who keeps them set.

A flag is set until a place that asks it goes to sleep and no other one that shares it is awake. A place that was not
asked yet counts as awake while its module is new; later its flag is set now and then, for a moment. So none is passed
by for ever, and those that sleep cost what they do with the flag set (some 30 ns) for the first seconds at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from time import sleep as _pause

from minpy.runtime import entry

# Seconds that places which were not asked keep their flag set; seconds of a moment in which they are waited for later.
_NEW, _MOMENT = 5.0, 0.02

_awake: dict[str, set[str]] = {}
_unasked: dict[str, set[str]] = {}
_asked: set[str] = set()
# Until when the flags count as new that are set for places only that were not asked.
_until: dict[str, float] = {}


def wake(flag: str, name: str) -> None:
    """Let the place `name` be asked for."""
    _note(flag, name)
    _awake.setdefault(flag, set()).add(name)
    setattr(entry.routed, flag, True)


def sleep(flag: str, name: str) -> None:
    """Let the place `name` be passed by, as far as others let it."""
    _note(flag, name)
    _awake.setdefault(flag, set()).discard(name)
    if _unasked.get(flag):
        _wait(flag)
    if flag not in _until or _until[flag] < perf_counter():
        _settle(flag)


def expect(places: Mapping[str, set[str]]) -> None:
    """Let places be asked for that are new: their module is about to run. Their names by their flags."""
    for flag, names in places.items():
        unasked = names - _asked
        if unasked:
            _unasked.setdefault(flag, set()).update(unasked)
            if flag in _until:
                _until[flag] = perf_counter() + _NEW
        setattr(entry.routed, flag, True)


def _note(flag: str, name: str) -> None:
    """Put down that a place was asked."""
    if name not in _asked:
        _asked.add(name)
        _unasked.get(flag, set()).discard(name)


def _wait(flag: str) -> None:
    """Leave a flag set, with the places that sleep, for those that were not asked."""
    if flag not in _until:
        from minpy.runtime.fuse import sites

        _until[flag] = perf_counter() + _NEW
        sites.watch()


def look() -> None:
    """See which flags are still to be set for places that were not asked; the old ones are, for a moment.

    Called now and then, by the thread that wakes places.
    """
    now = perf_counter()
    for flag in list(_until):
        if not _unasked.get(flag):
            del _until[flag]
            _settle(flag)
    old = [flag for flag, until in _until.items() if until < now]
    for flag in old:
        setattr(entry.routed, flag, True)
    if old:
        _pause(_MOMENT)
        for flag in old:
            _settle(flag)


def _settle(flag: str) -> None:
    """Set a flag as the places want it that were asked."""
    awake = _awake.setdefault(flag, set())
    if not awake:
        setattr(entry.routed, flag, False)
        if awake:  # another thread woke one in between
            setattr(entry.routed, flag, True)
