"""What rewritten code and the runtime call the places at which the runtime may take over, and the flags that ask.

A place asks its flag first, ``__minpy__.w3a``; only if that is set it says its name. There is a fixed number of flags
because the interpreter finds an attribute fastest in an object that has always had it. The places of one module get
different ones until all are used; those of different modules are told apart when their code is loaded
(`minpy.runtime.flags.assigned`).
"""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType

# Whether some array expression, or some loop, of those that share the flag wants to be looked at.
BLOCKS, LOOPS = "w", "l"
_COUNT = 256
# A built-in name of its own: whether what writes into arrays must be told.
TAPING = "__minpy_taping__"
# Another one: whether operators are to be looked at, which they are not while all that they meet is small.
ALERT = "__minpy_alert__"

FLAGS = tuple(f"{kind}{number:02x}" for kind in (BLOCKS, LOOPS) for number in range(_COUNT))
_FLAGS = frozenset(FLAGS)


def flag_of(kind: str, number: int, digest: str) -> str:
    """The flag of a place: its number in the module, or its line, and a digest of the module's text."""
    return f"{kind}{(int(digest[:4], 16) + number) % _COUNT:02x}"


def taping_of(door: str) -> str:
    """What asks whether a tape is open, in code that goes through `door`."""
    return TAPING if door == "__minpy__" else f"{door}.taping"


def places_in(code: CodeType) -> dict[str, set[str]]:
    """The flags that code, and all code in it, may ask, each with the names of the places that ask it."""
    found: dict[str, set[str]] = {}
    waiting = [code]
    while waiting:
        each = waiting.pop()
        for flag, names in _asked_in(each).items():
            found.setdefault(flag, set()).update(names)
        waiting += [constant for constant in each.co_consts if isinstance(constant, CodeType)]
    return found


def with_flags(code: CodeType, choose: Callable[[str, set[str]], str]) -> CodeType:
    """The same code, asking other flags, for code that has not run.

    For each function, class and module by itself `choose` is called with a flag that it asks and the places that do,
    and gives the flag that is to be asked there.
    """
    parts = [with_flags(each, choose) if isinstance(each, CodeType) else each for each in code.co_consts]
    if any(new is not old for new, old in zip(parts, code.co_consts, strict=True)):
        code = code.replace(co_consts=tuple(parts))
    chosen = {flag: choose(flag, names) for flag, names in _asked_in(code).items()}
    if any(flag != other for flag, other in chosen.items()):
        code = code.replace(co_names=tuple(chosen.get(name, name) for name in code.co_names))
    return code


def _asked_in(code: CodeType) -> dict[str, set[str]]:
    """The flags that this code itself may ask, each with the names of the places that ask it."""
    found: dict[str, set[str]] = {}
    for name in code.co_names:
        if name in _FLAGS:
            found.setdefault(name, set())
        elif name[-9:-8] == "_":
            flag, place = _place(name)
            if flag:
                found.setdefault(flag, set()).add(place)
    return found


def _place(name: str) -> tuple[str, str]:
    """The flag and the name of a place, of what rewritten code calls it; empty if it is none."""
    parts = name.split("_")
    if len(parts) < 3:
        return "", ""
    first, number, digest = parts[0], parts[-2], parts[-1]
    if not (number.isascii() and number.isdecimal()) or digest.strip("0123456789abcdef"):
        return "", ""
    if first in ("nest", "loop", "inner"):
        return flag_of(LOOPS, int(number), digest), name
    if first[:1] == "t" and first[1:].isdecimal():
        return flag_of(BLOCKS, int(number), digest), name[1:]
    return "", ""
