"""Compiled loops on disk: for a later run, which then needs neither to compile nor to load the compiler.

A file a loop and entry: its layout and its object code. Any doubt about a file makes it a miss, any `OSError` makes
the run uncached.
"""

from __future__ import annotations

import contextlib
import hashlib
import marshal
import os
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from minpy import handlers
from minpy.runtime import kept
from minpy.runtime.jit import engine

if TYPE_CHECKING:
    from minpy.runtime.jit.lower import Code

# What a run missed: milliseconds. So many numbers in a file before they become one; and so many more that runs which
# end at the same time may add. More seconds than the last figure no code takes to make.
_MISSED = struct.Struct("<I")
_MOST_MISSED, _AT_ONCE, _LONGEST_MISSED = 64, 64, 60.0


def known_file(name: str) -> str:
    """The file whose existence says that a site was worth compiling in an earlier run."""
    return kept.folder("loops", f"{name}.known")


def is_known(name: str) -> bool:
    """Whether a site was worth compiling in an earlier run."""
    where = known_file(name)
    return bool(where) and os.path.exists(where)


_remembered: set[str] = set()  # by this process


def was_known(name: str) -> bool:
    """The same, leaving out what this run has found."""
    return name not in _remembered and _was_known(name)


_was_known = lru_cache(maxsize=512)(is_known)


def remember(name: str) -> None:
    """Note that a site is worth compiling."""
    where = known_file(name)
    if where and not os.path.exists(where):
        _remembered.add(name)
        kept.write(where, b"")


def forget(name: str) -> None:
    """Note that a site is not worth compiling after all."""
    for where in (known_file(name), _missed_file(name)):
        with contextlib.suppress(OSError):
            os.unlink(where)
    missed.cache_clear()


def _missed_file(name: str) -> str:
    return kept.folder("loops", f"{name}.missed")


def note_missed(name: str, spent: float) -> float:
    """Note that a run spent so many seconds in a site that had no fast code; the seconds of all runs until now.

    Runs that end at the same time lose nothing: each adds a number of its own to the file.
    """
    where = _missed_file(name)
    if not where:
        return 0.0
    before = _missed(where)
    milliseconds = round(1e3 * min(spent, _LONGEST_MISSED))
    if not milliseconds or before >= _LONGEST_MISSED:
        return before + spent
    try:
        if os.path.exists(where) and os.path.getsize(where) >= _MISSED.size * _MOST_MISSED:
            kept.write(where, _MISSED.pack(milliseconds + round(1e3 * before)))
        else:
            os.makedirs(os.path.dirname(where), mode=0o700, exist_ok=True)
            file = os.open(where, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
            try:
                os.write(file, _MISSED.pack(milliseconds))
            finally:
                os.close(file)
    except OSError as error:
        if handlers.raised(error):
            raise
    return before + spent


@lru_cache(maxsize=512)
def missed(name: str) -> float:
    """The seconds that earlier runs spent in a site that had no fast code."""
    return _missed(_missed_file(name))


def _missed(where: str) -> float:
    """What the numbers of a file come to; what is damaged counts as no more than the longest run."""
    try:
        with open(where, "rb") as file:
            data = file.read(_MISSED.size * (_MOST_MISSED + _AT_ONCE))
    except OSError as error:
        if handlers.raised(error):
            raise
        return 0.0
    whole = len(data) - len(data) % _MISSED.size
    return sum(min(each / 1e3, _LONGEST_MISSED) for (each,) in _MISSED.iter_unpack(data[:whole]))


def file_for(text: str, key: str, suffix: str = "loop") -> str:
    """The file of a loop's text at an entry, or of another text; empty if nothing is kept."""
    if not kept.folder():
        return ""
    identity = "\0".join((engine.stamp(), text, key))
    return kept.folder("loops", f"{hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()}.{suffix}")


def load_bytes(where: str) -> bytes | None:
    """What `save_bytes` kept in a file, or None."""
    return kept.read_checked(where) if where else None


def save_bytes(where: str, data: bytes) -> None:
    """Keep what belongs to no loop."""
    if where:
        kept.write_checked(where, data)


def load(where: str) -> tuple[Code, bytes] | None:
    """What is kept in a file, or None; the code has its text if what is kept was compiled quickly."""
    if not where:
        return None
    data = kept.read_checked(where)
    if data is None:
        return None
    from minpy.runtime.jit.lower import Code
    from minpy.runtime.jit.values import ArrayType, ArrayVariable, Variable

    try:
        text, words, scalars, arrays, written, *rest, code = marshal.loads(data)
        variables = tuple(
            Variable(name, set(kinds), set(own), rep, slot, assigned=assigned, may_be_unbound=unbound)
            for name, kinds, own, rep, slot, assigned, unbound in scalars
        )
        tables = tuple(
            ArrayVariable(name, ArrayType(*type_), slot, assigned=assigned, comes_in=comes_in)
            for name, type_, slot, assigned, comes_in in arrays
        )
    except (ValueError, EOFError, TypeError):
        return None
    return Code(text, words, variables, tables, frozenset(written), *rest), code


def save(where: str, code: Code, compiled: bytes, *, quickly: bool = False) -> None:
    """Keep a compiled loop; `quickly`: it will be compiled again."""
    if not where:
        return
    scalars = [
        (
            each.name,
            sorted(each.kinds),
            sorted(each.own),
            each.rep,
            each.slot,
            each.assigned,
            each.may_be_unbound,
        )
        for each in code.scalars
    ]
    arrays = [(each.name, tuple(each.type), each.slot, each.assigned, each.comes_in) for each in code.arrays]
    content: tuple[Any, ...] = (
        code.text if quickly else "",
        code.words,
        scalars,
        arrays,
        sorted(code.written),
        code.reasons,
        code.externals,
        code.clean,
        code.lists,
        code.sources,
        code.whole,
        code.views,
        code.stacks,
        code.columns,
        compiled,
    )
    kept.write_checked(where, marshal.dumps(content))


__all__ = ["file_for", "is_known", "load", "remember", "save"]
