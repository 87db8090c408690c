"""What the names of a namespace that is there already stand for: the one a notebook's cell runs in, or a function's.

Imports no library: what a program has not loaded, no name of it can stand for.
"""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from minpy.transform.catalog import SCIPY_MODULES
from minpy.transform.names import MATH, library_path

_NAME = re.compile(r"\b[^\W\d]\w*")


def granted(source: str, namespace: Mapping[str, Any]) -> dict[str, str | None]:
    """The names of a text that `namespace` binds to NumPy, SciPy, `math` or something in them, and what it binds over
    built-in names: each with its path below numpy, or None."""
    found: dict[str, str | None] = {}
    for name in set(_NAME.findall(source)):
        if name not in namespace:
            continue
        path = path_of(namespace[name])
        if path is not None or hasattr(builtins, name):
            found[name] = path
    return found


def path_of(value: Any) -> str | None:
    """The path of a module of NumPy, SciPy or `math`, or of something in them (see `names.library_path`); else None."""
    if isinstance(value, ModuleType):
        # No attribute of a lazy module may be asked for.
        name = ModuleType.__getattribute__(value, "__dict__").get("__name__")
        return library_path(name) if isinstance(name, str) and sys.modules.get(name) is value else None
    name = getattr(value, "__name__", None) if callable(value) else None
    if not isinstance(name, str):
        return None
    for module in _homes(value):
        if getattr(sys.modules.get(module), name, None) is value:
            path = library_path(module)
            return f"{path}.{name}" if path else name
    return None


def _homes(value: Any) -> list[str]:
    """Where something of a library may be found under its own name."""
    home = getattr(value, "__module__", None)
    if type(value).__name__ == "ufunc":
        return ["numpy", *(f"scipy.{each}" for each in SCIPY_MODULES)]
    if not isinstance(home, str):
        return []
    library = home.partition(".")[0]
    if library == "numpy":
        return ["numpy", "numpy.linalg", "numpy.fft", "numpy.random", home]
    if library == "scipy":
        return [f"scipy.{each}" for each in SCIPY_MODULES]
    return ["math"] if home == MATH[1:] else []
