"""What derivative rules look at, found in their code, so that no rule has to say it."""

from __future__ import annotations

import dis
from collections.abc import Callable
from typing import Any


def reads(rule: Callable[..., Any] | None, count: int) -> tuple[bool, ...]:
    """Which of its arguments after the cotangent (the result, and `count` operands) a derivative rule looks at.

    An argument that no instruction loads is not looked at.
    """
    if rule is None:
        return (False,) * (count + 1)
    code = getattr(rule, "__code__", None)
    if code is None or code.co_flags & 0x0C or code.co_argcount != count + 2:  # *args, **kwargs
        return (True,) * (count + 1)
    names = code.co_varnames[1 : count + 2]
    used = set(code.co_cellvars)
    for instruction in dis.get_instructions(code):
        value = instruction.argval
        used.update(value if type(value) is tuple else (value,) if type(value) is str else ())
    return tuple(name in used for name in names)


def passes(rule: Callable[..., Any], count: int) -> bool:
    """Whether the rule hands the cotangent on as it is."""
    if any(reads(rule, count)):
        return False
    g = object()
    try:
        return rule(g, *[None] * (count + 1)) is g
    except TypeError:
        return False
