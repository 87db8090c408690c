"""The oracle: a program under `grad`, against differences and side effects of the same text run by plain Python."""

from __future__ import annotations

import builtins
import linecache
import math
import random
import re
import types
import warnings
from typing import Any

import numpy as np
import structures  # noqa: F401  (adds its statements)
from source import Author, inputs
from statements import STATEMENTS

import minpy
from minpy.errors import TraceError
from minpy.options import Options
from minpy.transform import hook, rewriter

OPTIONS = Options()
SECOND = 3  # second derivatives of one program in so many
STATE = ("BUFFER", "GRID", "TABLE", "ROWS", "HELD", "LAYER", "Layer", "LAST", "f")


class WrongGradient(AssertionError):
    """The derivative is not that of the program; the text says which program."""


def make(seed: int | random.Random, size: int = 10) -> tuple[str, tuple[int, int, int]]:
    """A program's text and the sizes of its arguments."""
    author = Author(random.Random(seed) if isinstance(seed, int) else seed, size)
    return author.program(STATEMENTS), author.dims


def load(text: str, name: str, rewritten: bool) -> dict[str, Any]:
    """Run a module's text, as the hook does or as Python does."""
    return executed(compiled(text, name) if rewritten else compile(text, name, "exec"))


def compiled(text: str, name: str) -> types.CodeType:
    """The code that the hook makes of a module's text."""
    builtins.__minpy__ = minpy.routed
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    return hook.announce(rewriter.compile_source(text, name, OPTIONS))


def executed(code: types.CodeType) -> dict[str, Any]:
    """The namespace of a module of its own after its code has run."""
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
        namespace = executed(self.code)
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
    elif isinstance(theirs, type):
        same(theirs.kept if ours is theirs else ours.kept, theirs.kept, f"{where}.kept")
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
        ``"right"``; ``"refused: …"`` for an error that names the line and what to write instead; ``"kink"`` where
        differences from the left and the right differ, and no derivative exists; ``"invalid"`` if plain Python itself
        refuses the program.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return _Check(text, dims, seed).verdict()
        finally:
            linecache.cache.pop(f"<program {seed}>", None)


class _Check:
    """One program, on a tape and as plain Python."""

    def __init__(self, text: str, dims: tuple, seed: int) -> None:
        self.plain, self.name, self.seed, self.dims = Plain(text, dims, seed), f"<program {seed}>", seed, dims
        # Rewritten once: the same code runs for every verb, each time from the state the module starts with.
        self.code = compiled(text, self.name)
        # Half of the programs are differentiated with respect to all their arguments, the others to the first alone.
        self.places: Any = [0, 1, 2] if seed % 2 else 0

    def verdict(self) -> str:
        try:
            self.value, self.state = self.plain()
            self.again = self.plain(times=2)
        except (
            ValueError,
            IndexError,
            AttributeError,
        ):  # an output that overlaps or is read-only, a shape that needs a copy
            return "invalid"
        if not math.isfinite(self.value) or abs(self.value) > 1e6:
            return "invalid"
        try:
            found = self.first_order()
            if found == "right" and self.seed % SECOND == 0:
                self.second_order()
            return found
        except TraceError as error:
            return told(error, self.name)

    # ----- the verbs, each from the state the module starts with

    def fresh(self, along: Any = None, step: float = 0.0) -> tuple[dict, Any]:
        """The module, and arguments, moved by `step` in the direction `along`."""
        arguments = inputs(self.dims, self.seed)
        if along is not None:
            for array, v in zip(arrays_in(arguments), along, strict=True):
                array += step * v
        return executed(self.code), arguments

    def direction(self, number: int) -> list[np.ndarray]:
        """A tangent for every array among the arguments; zero where it is not differentiated."""
        rng = np.random.default_rng(self.seed + number)
        arrays = arrays_in(inputs(self.dims, self.seed))
        return [rng.normal(size=a.shape) * (i == 0 or self.places != 0) for i, a in enumerate(arrays)]

    def after(self, what: str, namespace: dict, arguments: Any, state: Any = None) -> None:
        """What the caller can see must be as the plain run leaves it."""
        reached = (arguments, {key: namespace[key] for key in STATE})
        same(reached, state or self.state, what)
        assert aliasing(reached) == aliasing(state or self.state), (
            f"{what}: arrays share memory otherwise than in the plain run"
        )

    def gradient(self, along: Any = None, step: float = 0.0) -> list[np.ndarray]:
        namespace, arguments = self.fresh(along, step)
        return arrays_in(minpy.grad(namespace["f"], self.places)(*arguments))

    def forward(self, function: Any, arguments: Any, along: Any) -> tuple[Any, Any]:
        """`minpy.jvp` with respect to the arguments that are differentiated."""
        tangents = _like(arguments, iter(along))
        if self.places:
            return minpy.jvp(function, arguments, tangents)
        return minpy.jvp(lambda x: function(x, *arguments[1:]), arguments[:1], tangents[:1])

    # ----- what must hold

    def first_order(self) -> str:
        plain, value = self.plain, self.value
        namespace, arguments = self.fresh()
        f = namespace["f"]
        found = minpy.grad(f, self.places)(*arguments)
        self.after("state", namespace, arguments)
        g, along = arrays_in(found), self.direction(1)
        for ours, array in zip(g, arrays_in(inputs(self.dims, self.seed)), strict=False):
            assert type(ours) is np.ndarray and ours.shape == array.shape and ours.dtype == array.dtype, (
                f"a gradient of type {type(ours)}"
            )
        assert len(g) == (len(along) if self.places else 1)
        second = f(*arguments)
        same(second, self.again[0], "the value of a second call")
        self.after("a second call", namespace, arguments, self.again[1])
        # Forward mode.
        namespace, arguments = self.fresh()
        ours, tangent = self.forward(namespace["f"], arguments, along)
        assert ours == value, f"the value on a tape is {ours!r}, not {value!r}"
        self.after("state after jvp", namespace, arguments)
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

    def second_order(self) -> None:
        """Forward over reverse and reverse over reverse, against each other and against differences of the gradient."""
        v, w = self.direction(2), self.direction(3)
        namespace, arguments = self.fresh()
        ours, product = self.forward(minpy.grad(namespace["f"], self.places), arguments, v)
        self.after("state after forward over reverse", namespace, arguments)
        product, g = arrays_in(product), arrays_in(ours)
        namespace, arguments = self.fresh()
        inner = minpy.grad(namespace["f"], self.places)

        def along(*given: Any) -> Any:
            return sum(np.sum(a * b) for a, b in zip(minpy_arrays(inner(*given)), v, strict=False))

        again = arrays_in(minpy.grad(along, self.places)(*arguments))
        self.after("state after reverse over reverse", namespace, arguments)
        scale = 1 + sum(np.sum(np.abs(a)) for a in product) + max(np.max(np.abs(a)) for a in g)
        curve, other = (
            sum(float(np.sum(a * b)) for a, b in zip(p, w, strict=False)) for p in (product, again)
        )
        assert abs(curve - other) <= 1e-7 * scale or curve != curve, (
            f"forward over reverse {curve!r}, reverse over reverse {other!r}"
        )
        errors = []
        for step in (1e-5, 1e-4, 1e-6):
            slopes = [
                sum(float(np.sum(a * b)) for a, b in zip(self.gradient(w, s), v, strict=False))
                for s in (step, 0.0, -step)
            ]
            errors.append((slopes[0] - slopes[2]) / (2 * step))
            if abs(errors[-1] - curve) <= 1e-4 * scale:
                return
        if abs(slopes[0] - 2 * slopes[1] + slopes[2]) / step <= 1e-3 * scale:  # else a kink of the derivative
            raise WrongGradient(
                f"the second derivative is wrong: {curve!r}, differences of the gradient {errors}"
            )


def minpy_arrays(tree: Any) -> list[Any]:
    """The arrays of a gradient, on a tape or not."""
    if isinstance(tree, np.ndarray):
        return [tree]
    parts = list(tree.values()) if isinstance(tree, dict) else tree
    return [found for part in parts for found in minpy_arrays(part)]


def told(error: TraceError, name: str) -> str:
    """An error that says where, and what to write instead."""
    said = str(error)
    assert f'File "{name}"' in said and any(w in said for w in ("Make the array", "Assign", "Use ")), said
    said = re.sub(r"\(shape[^)]*\)+[^,)]*\)?", "(…)", said)
    return "refused: " + re.sub(r'File "[^"]*", line \d+, in \w+', "…", said).partition(". ")[0]


def _like(arguments: Any, parts: Any) -> Any:
    """The parts in the structure of the arguments."""
    if isinstance(arguments, dict):
        return {key: _like(value, parts) for key, value in arguments.items()}
    if isinstance(arguments, (list, tuple)):
        return type(arguments)(_like(value, parts) for value in arguments)
    return next(parts)


def size_of(seed: int) -> int:
    """How long the program of a seed is."""
    return 6 + seed % 3 * 4


def run(seed: int) -> str:
    """Make and check the program of a seed; errors carry its text."""
    size = size_of(seed)
    text, dims = make(seed, size)
    try:
        return check(text, dims, seed)
    except Exception as error:
        raise WrongGradient(
            f"program {seed} (size {size}): {type(error).__name__}: {error}\n\n{text}"
        ) from error
