"""Compiled loops on disk: for a later run, which then needs neither to compile nor to load the compiler.

A file a loop and entry: its layout and its object code. Any doubt about a file makes it a miss, any `OSError` makes
the run uncached.
"""

from __future__ import annotations

import contextlib
import hashlib
import marshal
import os
from functools import lru_cache
from typing import Any

from minpy.runtime import kept
from minpy.runtime.jit import engine
from minpy.runtime.jit.lower import Code
from minpy.runtime.jit.values import ArrayType, ArrayVariable, Variable


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
    return name not in _remembered and _was_there(known_file(name))


@lru_cache(maxsize=512)
def _was_there(where: str) -> bool:
    return bool(where) and os.path.exists(where)


def remember(name: str) -> None:
    """Note that a site is worth compiling."""
    where = known_file(name)
    if where and not os.path.exists(where):
        _remembered.add(name)
        kept.write(where, b"")


def forget(name: str) -> None:
    """Note that a site is not worth compiling after all."""
    for where in (known_file(name), _wanted_file(name)):
        with contextlib.suppress(OSError):
            os.unlink(where)


def _wanted_file(name: str) -> str:
    return kept.folder("loops", f"{name}.wanted")


def want_fast(name: str) -> None:
    """Note that a site spent so long in code made quickly that a later run makes fast code as soon as it gets there."""
    where = _wanted_file(name)
    if where:
        kept.write(where, b"")


def was_fast_wanted(name: str) -> bool:
    """Whether an earlier run noted that."""
    return _was_there(_wanted_file(name))


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
        compiled,
    )
    kept.write_checked(where, marshal.dumps(content))


__all__ = ["file_for", "is_known", "load", "remember", "save"]
