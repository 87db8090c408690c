"""The whole programs of the test-suite, as the import hook loads them and as Python does."""

from __future__ import annotations

import builtins
from pathlib import Path
from types import ModuleType

import minpy
from minpy.options import Options
from minpy.transform import hook, rewriter

FOLDER = Path(__file__).parents[1] / "tests" / "programs" / "corpus"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))


def load(name: str, rewritten: bool) -> ModuleType:
    """Run a program's text; it has ``run``, ``sample`` (a small input) and ``large`` (one to measure, and settings)."""
    path = FOLDER / f"{name}.py"
    source = path.read_bytes()
    if rewritten:
        builtins.__minpy__ = minpy.routed  # type: ignore[attr-defined]
        code = hook.announce(rewriter.compile_source(source, str(path), Options()))
    else:
        code = compile(source, str(path), "exec")
    module = ModuleType(name)
    exec(code, module.__dict__)
    return module
