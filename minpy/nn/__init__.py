"""Neural networks in plain NumPy: layers, initial values, update rules, data, models and the loop that trains them.

The modules are loaded when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = (
    "callbacks",
    "init",
    "io",
    "layers",
    "model",
    "model_builder",
    "model_gallery",
    "modules",
    "optim",
    "solver",
)

__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
