"""NumPy's functions as NumPy made them, for our own modules while they are imported.

Most of the runtime is imported when it is first needed: in the middle of a program, which may have replaced a function
by then (``unittest.mock.patch("numpy.sqrt")``, pytest's ``monkeypatch``). Our tables have these functions as keys. One
that is made at that moment would take the replacement for NumPy's, and would go on doing so. So, while one of our
modules is imported, NumPy, `math`, `random` and the built-in names are what they were. In our modules the built-in
names stay that way: a test that replaces `open` is told of the files that the program opens, and of no others.
"""

from __future__ import annotations

import builtins
import math
import os
import sys
import threading
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from operator import is_not
from types import ModuleType
from typing import Any

_MISSING = object()
_builtins = dict(vars(builtins))
# Of modules that nobody had touched when this one was imported.
_snapshots: dict[ModuleType, dict[str, Any]] = {
    module: {name: value for name, value in vars(module).items() if name[0] != "_"}
    for module in (math, builtins)
}
# Where NumPy's namespaces have their functions from.
_LIBRARY = (
    "arraypad arraysetops function_base histograms index_tricks nanfunctions npyio polynomial shape_base "
    "stride_tricks twodim_base type_check ufunclike"
).split()
_HOMES = {
    "numpy": (
        *("numpy.core", "numpy.lib", "numpy._core", "numpy.matrixlib"),
        *(f"numpy.lib._{name}_impl" for name in _LIBRARY),
    ),
    "numpy.linalg": ("numpy.linalg._linalg", "numpy.linalg.linalg"),
    "numpy.fft": ("numpy.fft._pocketfft", "numpy.fft._helper", "numpy.fft.helper"),
    "numpy.random": ("numpy.random.mtrand", "numpy.random._generator"),
}
_lock = threading.Lock()
_depth = 0
_changed: list[tuple[ModuleType, str, Any, Any]] = []


def replaced() -> list[tuple[ModuleType, str, Any]]:
    """What is not as it was: a module, a name in it, and what that stood for."""
    found = []
    for module, names in _snapshots.items():
        if any(map(is_not, map(vars(module).get, names), names.values())):
            now = vars(module)
            found += [(module, name, was) for name, was in names.items() if now.get(name) is not was]
    for name, homes in _HOMES.items():
        module = sys.modules.get(name)
        if module is not None and module not in _snapshots:
            there = _replaced_in(module, homes)
            if not there:
                _snapshots[module] = _public(module)
            found += there
    generator = getattr(sys.modules.get("random"), "_inst", None)
    if generator is not None:
        module = sys.modules["random"]
        for name, now in list(vars(module).items()):
            was = getattr(generator, name, now)
            if name[0] != "_" and was is not now and was != now:
                found.append((module, name, was))
    return found


def _replaced_in(module: ModuleType, homes: tuple[str, ...]) -> list[tuple[ModuleType, str, Any]]:
    """The same, of one of NumPy's namespaces, which may have been touched before."""
    found = []
    doubtful = _public(module)
    for home in homes:
        if home in sys.modules:
            there = vars(sys.modules[home]).get
            doubtful = {name: now for name, now in doubtful.items() if there(name) is not now}
    for name, now in doubtful.items():
        if isinstance(now, type) and now.__module__.startswith("numpy"):
            continue
        places = [vars(sys.modules[home]) for home in homes if home in sys.modules]
        was = next((place[name] for place in places if name in place), None)
        if callable(was):
            found.append((module, name, was))
    return found


def _public(module: ModuleType) -> dict[str, Any]:
    """What programs call, and may have replaced."""
    return {
        name: value
        for name, value in vars(module).items()
        if name[0] != "_" and name != "test" and callable(value)
    }


class _Loader(SourceFileLoader):
    """Runs a module of ours with NumPy as it was."""

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = _builtins
        _restore()
        try:
            super().exec_module(module)
        finally:
            _put_back()


def _restore() -> None:
    global _depth
    with _lock:
        _depth += 1
        if _depth == 1:
            for module, name, was in replaced():
                _changed.append((module, name, was, vars(module).get(name, _MISSING)))
                setattr(module, name, was)


def _put_back() -> None:
    global _depth
    # The lock is not held in between: two threads that wait for a module of each other would wait for ever.
    with _lock:
        _depth -= 1
        if _depth:
            return
        for module, name, was, value in _changed:
            if vars(module).get(name) is not was:
                continue  # somebody set it meanwhile
            if value is _MISSING:
                delattr(module, name)
            else:
                setattr(module, name, value)
        _changed.clear()


def watch(folder: str, *below: str) -> None:
    """From now on, run the modules in a folder of ours, and in those `below` it, with NumPy as it was."""
    for path in (folder, *(os.path.join(folder, each) for each in below)):
        sys.path_importer_cache[path] = FileFinder(path, (_Loader, SOURCE_SUFFIXES))
