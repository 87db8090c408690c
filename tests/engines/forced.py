"""The oracle: a program with every engine forced on, against plain Python, bit for bit, with its warnings and errors."""

from __future__ import annotations

import builtins
import importlib
import itertools
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
for _folder in ("fuse", "jit", "programs", "engines"):
    sys.path.append(str(HERE.parent / _folder))

import differences
from arrays import Maker as Arrays
from column_programs import ColumnMaker as Columns
from forms import FormMaker as Forms
from generator import Maker as Loops
from later_forms import LaterMaker as Later
from outcomes import execute
from rows import RowMaker as Rows
from source import inputs
from wholes import WholeMaker as Wholes

import minpy
from minpy.options import Options
from minpy.runtime.fuse import sites as blocks
from minpy.runtime.jit import engine
from minpy.runtime.jit import sites as loops
from minpy.transform import hook, rewriter

OPTIONS = Options(jit="force", fuse="force")
ENGINES = ["force", "force:tiled1", "force:tiled2"]
if engine.is_available():
    ENGINES += ["force:native1", "force:native2", "force:direct", "force:direct"]
MAKERS = {
    "arrays": Arrays,
    "loops": Loops,
    "rows": Rows,
    "columns": Columns,
    "forms": Forms,
    "later": Later,
    "wholes": Wholes,
}
KINDS = (
    "arrays",
    "loops",
    "functions",
    "gradients",
    "rows",
    "columns",
    "forms",
    "forms",
    "later",
    "later",
    "wholes",
    "wholes",
)
# Limits from which on some code is made, or used: in these programs all is small.
LIMITS = {
    "jit.undo.LEAST": 0, "jit.bind.LEAST": 0, "jit.zones._LEAST": 256, "jit.zones._BEFORE": 0, "jit.zones._MANY": 2, "jit.columns.WORTH": 2, "jit.columns._AT_ONCE": 4,
    "jit.points.WORTH": 2, "jit.points._AT_ONCE": 4, "jit.looping.ROUNDS": 7, "jit.lower.ROUNDS": 7, "jit.interchange._FEWEST": 1, "jit.undo._ROOM": 64,
    "fuse.streaming.LEAST": 1, "fuse.streaming._LEAST_ROW": 32, "fuse.tapedplan._SHARED": 1, "fuse.stretch._SHARED_WORK": 1, "fuse.stretch._PATIENCE": 0,
}  # fmt: skip
_numbers = itertools.count()


class Different(AssertionError):
    """An engine gave something else than plain Python."""


def text_of(kind: str, seed: int) -> tuple[str, dict[str, Any]]:
    """A program of a kind, and the names that it starts with."""
    if kind in MAKERS:
        return MAKERS[kind](seed).program(), {}
    text, dims = differences.make(seed, differences.size_of(seed))
    return f"{text}\nonce = f(*arguments)\ntwice = f(*arguments)\n", {"arguments": inputs(dims, seed)}


@contextmanager
def lowered(r: random.Random) -> Iterator[str]:
    """Some of the limits lowered, in one of three programs; gives their names."""
    names = [each for each in LIMITS if r.random() < 0.5] if r.random() < 0.34 else []
    kept = []
    for name in names:
        module, _, attribute = name.rpartition(".")
        holder = importlib.import_module(f"minpy.runtime.{module}")
        kept.append((holder, attribute, getattr(holder, attribute)))
        setattr(holder, attribute, LIMITS[name])
    try:
        yield " ".join(names)
    finally:
        for each in kept:
            setattr(*each)


@contextmanager
def hurried(r: random.Random) -> Iterator[None]:
    """Loops begin as written, and go on compiled, and as written again, in rounds that chance chooses: no clock is asked."""
    from minpy.runtime.jit import drive, entering, sites, trial, whiles

    def pays(site: Any, left: int, frame: Any) -> bool:
        return (site.better is None or drive._is_better(site)) and r.random() < 0.6

    changes = [
        (drive, "_pays", pays), (drive, "_rounds", lambda site: r.choice([1, 1, 2, 5])), (drive, "is_hot", lambda *_: True), (drive, "is_large", lambda site: False), (drive, "must_wait", lambda site: False),
        (drive, "LEAVES", 1 << 40), (entering, "_gains", lambda *_: True), (entering, "_CHUNK", r.choice([1e-9, 1e-6, 3e-2])), (sites, "_SHORT", 0.0), (sites, "WORTH", 0.0), (sites, "_TIMED", 0.0),
        (trial, "_MARGIN", 1e9), (trial, "LOSS", 1e9), (whiles, "_SAMPLE", 1),
    ]  # fmt: skip
    kept = [(holder, name, getattr(holder, name)) for holder, name, _ in changes]
    for each in changes:
        setattr(*each)
    try:
        yield
    finally:
        for each in kept:
            setattr(*each)


def check(kind: str, seed: int, folder: Path) -> str:
    """Compare a program with itself under one of the engines; what became of it.

    Raises
    ------
    Different
        With the text and what differs.
    """
    r = random.Random(seed)
    name = ENGINES[r.randrange(len(ENGINES))]
    jit = "auto" if r.random() < 0.25 else "force:quick" if seed % 3 else "force"
    with lowered(r) as limits, hurried(r) if jit == "auto" else nullcontext():
        try:
            return _checked(kind, seed, folder, name, jit)
        except Different as error:
            raise Different(f"{error}\n\n{jit}, lowered: {limits}") from error


def _checked(kind: str, seed: int, folder: Path, name: str, jit: str) -> str:
    os.environ |= {"MINPY_FUSE": name, "MINPY_JIT": jit, "OMP_NUM_THREADS": "2"}
    builtins.__minpy__ = minpy.routed
    if kind == "gradients":
        text, dims = differences.make(seed, differences.size_of(seed))
        differences.OPTIONS = OPTIONS
        try:
            return f"gradients: {differences.check(text, dims, seed).partition(':')[0]}"
        except AssertionError as error:
            raise Different(f"{name}: {error}\n\n{text}") from error
    text, names = text_of(kind, seed)
    path = folder / f"program_{kind}_{seed}.py"
    # Sites are known by the module's text and line: a text of its own.
    text = f"import numpy as np  # {next(_numbers)} {folder}\n{text}"
    path.write_text(text, encoding="utf-8")
    plain = execute(compile(text, str(path), "exec", dont_inherit=True), names)
    first, second = len(blocks.sites), len(loops.sites)
    code = hook.announce(rewriter.compile_source(text, str(path), OPTIONS))
    # Twice: what has run the long way may go a short one after that.
    for _ in range(2):
        outcome = execute(code, names)
        if outcome != plain:
            break
    fused = sum(bool(site.fused) for site in blocks.sites[first:])
    compiled = sum(bool(site.compiled) for site in loops.sites[second:])
    del blocks.sites[first:], loops.sites[second:]
    different = [each for each in {**plain, **outcome} if plain.get(each) != outcome.get(each)]
    if different:
        report = "\n".join(f"{each}: {outcome.get(each)}\ninstead of {plain.get(each)}" for each in different)
        raise Different(f"{name}, {kind} {seed}\n{text}\n{report[:5000]}")
    path.unlink()
    return f"{kind}: {'in pieces' if fused else ''}{' and ' if fused and compiled else ''}{'compiled' if compiled else ''}"
