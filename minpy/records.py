"""Dataclasses whose methods are made when the first instance is: a program that starts does not wait for the others.

Making one takes half a millisecond or more, most of it for compiling six small texts; there are some fifty in what is
loaded when a program is rewritten, and when its first loop or block is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass as _make
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(kind: type | None = None, /, **options: bool) -> Any:
        """As `dataclasses.dataclass`, without ``slots``; before there is an instance, `fields` knows nothing of it."""
        if kind is None:
            return lambda each: dataclass(each, **options)
        names = dict(vars(kind))

        def __init__(self: Any, *arguments: Any, **keywords: Any) -> None:
            make()
            kind.__init__(self, *arguments, **keywords)

        def make() -> None:
            """Make the methods of the class, after those of the classes that it has fields from."""
            for base in kind.__mro__[1:]:
                getattr(vars(base).get("__init__"), "make", _nothing)()
            # Of a copy, so that a signal's handler that raises, or another thread, finds the class as it was, or done.
            copy = {name: value for name, value in names.items() if name not in ("__dict__", "__weakref__")}
            copy["__qualname__"] = kind.__qualname__
            made = vars(_make(**options)(type(kind.__name__, kind.__bases__, copy)))
            for name in sorted(made, key="__init__".__eq__):  # that one last
                if name not in ("__dict__", "__weakref__") and made[name] is not names.get(name, copy):
                    setattr(kind, name, made[name])
            for name in names.keys() - made.keys():
                if name in vars(kind) and not name.startswith("__"):
                    delattr(kind, name)

        __init__.make = make
        kind.__init__ = __init__
        return kind


def _nothing() -> None: ...


__all__ = ["dataclass"]
