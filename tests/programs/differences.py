"""The oracle: a program under `grad`, against differences and side effects of the same text run by plain Python."""

from __future__ import annotations

import builtins
import linecache
import math
import random
import types
import warnings
from typing import Any

import numpy as np
from source import Author, inputs
from statements import STATEMENTS

import minpy
from minpy.errors import TraceError
from minpy.options import Options
from minpy.transform import rewriter

OPTIONS = Options()
STATE = ("BUFFER", "GRID", "TABLE", "ROWS", "HELD")


class WrongGradient(AssertionError):
    """The derivative is not that of the program; the text says which program."""


def make(seed: int | random.Random, size: int = 10) -> tuple[str, tuple[int, int, int]]:
    """A program's text and the sizes of its arguments."""
    author = Author(random.Random(seed) if isinstance(seed, int) else seed, size)
    return author.program(STATEMENTS), author.dims


def load(text: str, name: str, rewritten: bool) -> dict[str, Any]:
    """Run a module's text, as the hook does or as Python does."""
    if rewritten:
        builtins.__minpy__ = minpy.routed
        code = rewriter.compile_source(text, name, OPTIONS)
    else:
        code = compile(text, name, "exec")
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    module = types.ModuleType("generated")
    exec(code, module.__dict__)
    return module.__dict__


class Plain:
    """The program under plain Python, every call of it from the state the module starts with."""

    def __init__(self, text: str, dims: tuple, seed: int) -> None:
        self.code = compile(text, "<plain>", "exec")
        self.dims, self.seed = dims, seed

    def __call__(self, step: float = 0.0, along: Any = None, times: int = 1) -> tuple[float, Any]:
        """The value of the last call, and the state after it."""
        namespace = types.ModuleType("generated").__dict__
        exec(self.code, namespace)
        arguments = inputs(self.dims, self.seed)
        if along is not None:
            for array, v in zip(arrays_in(arguments), along, strict=True):
                array += step * v
        for _ in range(times):
            value = namespace["f"](*arguments)
        return value, (arguments, {name: namespace[name] for name in STATE})


def same(ours: Any, theirs: Any, where: str = "state") -> None:
    """Bit for bit the same values, types, dtypes, shapes and memory order."""
    if isinstance(theirs, np.ndarray):
        if type(ours) is minpy.Array:  # a result that the program put into a container of its own
            ours = np.asarray(ours)
        assert type(ours) is np.ndarray, f"{where}: {type(ours)} instead of an array"
        assert (ours.dtype, ours.shape, ours.strides) == (theirs.dtype, theirs.shape, theirs.strides), where
        assert ours.tobytes() == theirs.tobytes(), f"{where}: {ours} instead of {theirs}"
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs), where
        for key, value in theirs.items():
            same(ours[key], value, f"{where}[{key!r}]")
    elif isinstance(theirs, (list, tuple)):
        assert type(ours) is type(theirs) and len(ours) == len(theirs), where
        for i, value in enumerate(theirs):
            same(ours[i], value, f"{where}[{i}]")
    elif hasattr(theirs, "__dict__"):
        same(vars(ours), vars(theirs), where)
    else:
        assert type(ours) is type(theirs) and (ours == theirs or ours != ours), (
            f"{where}: {ours!r}, not {theirs!r}"
        )


def arrays_in(state: Any) -> list[np.ndarray]:
    if isinstance(state, np.ndarray):
        return [np.asarray(state)]
    if isinstance(state, dict):
        state = list(state.values())
    if isinstance(state, (list, tuple)):
        return [found for part in state for found in arrays_in(part)]
    return arrays_in(vars(state)) if hasattr(state, "__dict__") else []


def aliasing(state: Any) -> list[tuple[int, int, int]]:
    """Which arrays of the state share memory, and by how much they are apart."""
    arrays = arrays_in(state)
    address = [a.__array_interface__["data"][0] for a in arrays]
    pairs = [
        (i, j) for i in range(len(arrays)) for j in range(i) if np.may_share_memory(arrays[i], arrays[j])
    ]
    return [(i, j, address[i] - address[j]) for i, j in pairs]


def check(text: str, dims: tuple, seed: int) -> str:
    """Compare; return what became of the program.

    Returns
    -------
    str
        ``"right"``; ``"told"`` for an error that names the line and what to write instead; ``"kink"`` where
        differences from the left and the right differ, and no derivative exists; ``"refused"`` if plain Python itself
        refuses the program.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return _check(text, Plain(text, dims, seed), f"<program {seed}>")


def _check(text: str, plain: Plain, name: str) -> str:
    try:
        value, state = plain()
        again = plain(times=2)
    except (ValueError, IndexError):  # an output that overlaps or is read-only
        return "refused"
    if not math.isfinite(value) or abs(value) > 1e6:
        return "refused"
    arguments = inputs(plain.dims, plain.seed)
    rng = np.random.default_rng(plain.seed + 1)
    # Half of the programs are differentiated with respect to all their arguments, the others to the first alone.
    places: Any = [0, 1, 2] if plain.seed % 2 else 0
    along = [rng.normal(size=a.shape) * (i == 0 or places != 0) for i, a in enumerate(arrays_in(arguments))]
    namespace = load(text, name, rewritten=True)
    f = namespace["f"]
    try:
        found = minpy.grad(f, places)(*arguments)
    except TraceError as error:
        return told(error, name)
    reached = (arguments, {key: namespace[key] for key in STATE})
    same(reached, state)
    assert aliasing(reached) == aliasing(state), "arrays share memory otherwise than in the plain run"
    g = arrays_in(found)
    for ours, array in zip(g, arrays_in(inputs(plain.dims, plain.seed)), strict=False):
        assert type(ours) is np.ndarray and ours.shape == array.shape and ours.dtype == array.dtype, (
            f"a gradient of type {type(ours)}"
        )
    assert len(g) == (1 if places == 0 else len(along))
    second = f(*arguments)
    same((second, arguments, {key: namespace[key] for key in STATE}), (again[0], *again[1]), "a second call")
    # Forward mode.
    namespace = load(text, name, rewritten=True)
    arguments = inputs(plain.dims, plain.seed)
    tangents = _like(arguments, iter(along))
    f = namespace["f"]
    try:
        if places == 0:
            ours, tangent = minpy.jvp(lambda x: f(x, *arguments[1:]), arguments[:1], tangents[:1])
        else:
            ours, tangent = minpy.jvp(f, arguments, tangents)
    except TraceError as error:
        return told(error, name)
    assert ours == value, f"the value on a tape is {ours!r}, not {value!r}"
    same((arguments, {key: namespace[key] for key in STATE}), state, "state after jvp")
    slope = sum(float(np.sum(a * b)) for a, b in zip(g, along, strict=False))
    scale = 1 + max(np.max(np.abs(a)) for a in g) + abs(value)
    verdict = "" if abs(slope - tangent) <= 1e-8 * scale else "forward and reverse mode disagree"
    errors = []
    for step in (1e-5, 1e-4, 1e-6, 1e-7):
        right, left = plain(step, along)[0], plain(-step, along)[0]
        errors.append((right - left) / (2 * step))
        if abs(errors[-1] - slope) <= 2e-5 * scale and not verdict:
            return "right"
    # A branch, a mask or an order that changes within the step, or a corner of max, abs, median at the point itself.
    if abs((right - value) - (value - left)) / step > 1e-3 * scale:
        return "kink"
    raise WrongGradient(
        f"{verdict or 'the gradient is wrong'}: reverse {slope!r}, forward {tangent!r}, differences {errors}"
    )


def told(error: TraceError, name: str) -> str:
    """An error that says where, and what to write instead."""
    said = str(error)
    assert f'File "{name}"' in said and ("Make the array inside" in said or "Assign" in said), said
    return "told"


def _like(arguments: Any, parts: Any) -> Any:
    """The parts in the structure of the arguments."""
    if isinstance(arguments, dict):
        return {key: _like(value, parts) for key, value in arguments.items()}
    if isinstance(arguments, (list, tuple)):
        return type(arguments)(_like(value, parts) for value in arguments)
    return next(parts)


def run(seed: int, size: int = 10) -> str:
    """Make and check the program of a seed; errors carry its text."""
    text, dims = make(seed, size)
    try:
        return check(text, dims, seed)
    except Exception as error:
        raise WrongGradient(
            f"program {seed} (size {size}): {type(error).__name__}: {error}\n\n{text}"
        ) from error
