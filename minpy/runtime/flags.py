"""The flags that rewritten code asks before it names a place (see `minpy.places`): whose they are, who keeps them set.

Each place gets a flag of its own when its code is loaded, as long as there are free ones: then it is asked when it is
reached for the first time, however late that is.

Where places share a flag, it is set until one of them goes to sleep and no other one is awake. A place that was not
asked yet counts as awake while its module is new; later its flag is set now and then, for a moment. So those that sleep
cost what they do with the flag set (some 30 ns) for the first seconds at most; what runs only once, and late, may be
passed by.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from time import sleep as _pause
from types import CodeType

from minpy import places
from minpy.runtime import entry

# Seconds that places which were not asked keep their flag set; seconds of a moment in which they are waited for later.
_NEW, _MOMENT = 5.0, 0.02

_awake: dict[str, set[str]] = {}
_unasked: dict[str, set[str]] = {}
_asked: set[str] = set()
# Until when the flags count as new that are set for places only that were not asked.
_until: dict[str, float] = {}
# Flags that no code asks; and those that the code of a place asks, where it was loaded with flags of its own.
_free = dict.fromkeys(places.FLAGS)
_flags_of: dict[str, tuple[str, ...]] = {}


def wake(flag: str, name: str) -> None:
    """Let the place `name` be asked for, whose flag is this one if it was given no other."""
    for each in _flags_of.get(name, (flag,)):
        _note(each, name)
        _awake.setdefault(each, set()).add(name)
        setattr(entry.routed, each, True)


def sleep(flag: str, name: str) -> None:
    """Let the place `name` be passed by, as far as others let it."""
    for each in _flags_of.get(name, (flag,)):
        _note(each, name)
        _awake.setdefault(each, set()).discard(name)
        if _unasked.get(each):
            _wait(each)
        if each not in _until or _until[each] < perf_counter():
            _settle(each)


def assigned(code: CodeType) -> CodeType:
    """The code of a module that is about to run, with flags that no other code asks, where there are free ones.

    Its places are expected (`expect`).
    """
    code = places.with_flags(code, _choose)
    found: dict[str, set[str]] = {}
    for flag, names in places.places_in(code).items():
        for name in names:
            for each in _flags_of.get(name, (flag,)):
                found.setdefault(each, set()).add(name)
        if not names:
            found.setdefault(flag, set())
    expect(found)
    return code


def _choose(flag: str, names: set[str]) -> str:
    """The flag that places are to ask which are in one piece of code, and would ask `flag`."""
    known = {_flags_of.get(name, ()) for name in names}
    if len(known) == 1 and len(only := known.pop()) == 1:
        return only[0]  # a module that is loaded again
    if not names:
        return flag
    # (Without a lock, which a signal's handler that imports, or a fork, would find taken: each is taken once.)
    others = [] if flag in _free else [each for each in list(_free) if each[0] == flag[0]]
    chosen = next((each for each in (flag, *others) if _free.pop(each, each) is None), flag)
    for name in names:
        _flags_of[name] = (*_flags_of.get(name, ()), chosen)
    return chosen


def expect(found: Mapping[str, set[str]]) -> None:
    """Let places be asked for that are new: their module is about to run. Their names by their flags."""
    for flag, names in found.items():
        _free.pop(flag, None)
        for name in names:
            _flags_of.setdefault(name, (flag,))
        unasked = names - _asked
        if unasked:
            _unasked.setdefault(flag, set()).update(unasked)
            if flag in _until:
                _until[flag] = perf_counter() + _NEW
        setattr(entry.routed, flag, True)


def _note(flag: str, name: str) -> None:
    """Put down that a place was asked."""
    _asked.add(name)
    if flag in _unasked:
        _unasked[flag].discard(name)


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
