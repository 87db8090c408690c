"""Tools beside the library: a quick check of gradients, a profile of functions, a log in colour.

The modules are loaded when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = ("blacklist_generator", "common", "data", "data_utils", "gradient_checker", "log", "minprof")

__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
