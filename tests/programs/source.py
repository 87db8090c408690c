"""Random NumPy programs as source text: a module with buffers of its own, helpers that mutate, and a function ``f(x, w, box)``.

Shapes are followed while the text grows, so every program is a correct one; values are kept small by squashing what is written, and
thresholds are irrational-looking numbers, so that comparisons are away from ties.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import numpy as np

Shape = tuple[int, ...]

ELEMENTWISE = ("np.sin({})", "np.tanh({})", "np.cos({})", "np.exp(-({0}) * ({0}))", "np.sqrt(1.5 + ({0}) ** 2)", "np.arctan({})", "(-({}))",
               "np.abs({})", "np.square({})", "np.log1p(({0}) ** 2)", "np.negative({})", "({}) ** 2", "({}) ** 3")  # fmt: skip
SQUASH = ("np.sin({})", "np.tanh({})", "0.6 * np.cos({})", "np.tanh({}) * 0.8", "np.arctan({})")
BINARY = ("{} + {}", "{} - {}", "{} * {}", "{} / (1.7 + np.cos({}))", "np.maximum({}, {})", "np.multiply({}, {})", "np.hypot({}, 0.3 + np.abs({}))",
          "np.where({0} > {t}, {0}, {1})", "np.add({}, {})", "np.minimum({}, {})", "np.arctan2({}, 1.5 + np.square({}))")  # fmt: skip
REDUCTIONS = ("np.sum({})", "np.mean({})", "({}).sum()", "np.max({})", "({}).mean()", "np.linalg.norm({})", "np.var({})", "np.prod(np.cos({}))", "np.min({})",
              "np.dot(np.ravel({0}), np.ravel({0}))", "np.median({})", "np.std({})", "np.ptp({})")  # fmt: skip
MATH = ("math.sin({})", "math.tanh({})", "math.exp(-abs({}))", "math.sqrt(1.2 + ({0}) * ({0}))", "math.atan2({}, 1.3)", "float({})", "abs({})",
        "max({}, {t})", "min({}, {t})", "pow({}, 2)", "round(2.4) * ({})", "sum([{0}, {0}, 0.5])")  # fmt: skip
AUGMENT = ("+=", "-=", "*=", "/=")


class Author:
    """Writes one program.

    Parameters
    ----------
    rng : random.Random
        Every choice comes from it, so that a seed is a program and hypothesis can shrink one.
    size : int
        About how many statements ``f`` has.
    """

    def __init__(self, rng: random.Random, size: int = 10) -> None:
        self.rng, self.size = rng, size
        self.lines: list[str] = []
        self.indent = 1
        self.arrays: dict[str, Shape] = {}
        self.scalars: list[str] = []
        self.boxes: dict[str, list[tuple[str, Shape]]] = {}  # expressions for what a container holds
        self.helpers: list[tuple[str, Shape, Shape]] = []
        self.head: list[str] = []
        self.names = 0
        self.frozen: set[str] = set()  # loop variables over elements of an array: not to be rebound
        self.deep = 0

    # ----- small choices

    def pick(self, options: Any) -> Any:
        return options[self.rng.randrange(len(options))]

    def chance(self, percent: int) -> bool:
        return self.rng.randrange(100) < percent

    def number(self) -> str:
        return str(self.rng.randrange(1, 2000) / 1000 + 0.000713)

    def threshold(self) -> str:
        return str((self.rng.randrange(2000) - 1000) / 1000 + 0.00017319)

    def fresh(self, stem: str = "v") -> str:
        self.names += 1
        return f"{stem}{self.names}"

    def say(self, line: str) -> None:
        self.lines.append("    " * self.indent + line)

    def of_shape(self, shape: Shape) -> list[str]:
        held = [e for parts in self.boxes.values() for e, s in parts if s == shape]
        return [name for name, s in self.arrays.items() if s == shape] + held

    def places(self, least: int = 1) -> list[tuple[str, Shape]]:
        """What can be written into: names and parts of containers."""
        found = list(self.arrays.items()) + [p for parts in self.boxes.values() for p in parts]
        return [(e, s) for e, s in found if s and math.prod(s) >= least]

    def some(self, least: int = 1, dims: int | None = None) -> tuple[str, Shape] | None:
        found = [(e, s) for e, s in self.places(least) if dims is None or len(s) == dims]
        return self.pick(found) if found else None

    # ----- expressions

    def scalar(self, depth: int = 1) -> str:
        kind = self.rng.randrange(10)
        if kind < 3 and self.scalars:
            return self.pick(self.scalars)
        if kind < 6:
            name, shape = self.some()
            return f"{name}[{', '.join(str(self.rng.randrange(-n, n)) for n in shape)}]"
        if kind < 8 or depth <= 0:
            name, _ = self.some()
            return f"0.2 * {self.pick(REDUCTIONS).format(name)}"
        inner = self.scalar(depth - 1)
        if self.chance(50):
            return self.pick(MATH).format(inner, t=self.threshold())
        return f"({inner}) {self.pick('+-*')} ({self.scalar(depth - 1)})"

    def array(self, shape: Shape, depth: int = 2) -> str:
        """An expression of this shape."""
        if not shape:
            return self.scalar()
        names = self.of_shape(shape)
        kind = self.rng.randrange(14)
        if depth <= 0 or kind < 3:
            return self.pick(names) if names else self.made(shape)
        if kind < 6:
            return self.pick(ELEMENTWISE).format(self.array(shape, depth - 1))
        if kind < 9:
            left, right = f"({self.array(shape, depth - 1)})", f"({self.other(shape, depth - 1)})"
            return self.pick(BINARY).format(left, right, t=self.threshold())
        if kind < 12:
            return self.moved(shape, depth)
        return self.made(shape)

    def other(self, shape: Shape, depth: int) -> str:
        """What broadcasts to the shape."""
        kind = self.rng.randrange(6)
        if kind == 0:
            return self.scalar(0)
        if kind == 1:
            return self.number()
        if kind == 2 and len(shape) == 2 and self.of_shape(shape[1:]):
            return self.pick(self.of_shape(shape[1:]))
        if kind == 3 and len(shape) == 2 and self.of_shape(shape[:1]):
            return f"{self.pick(self.of_shape(shape[:1]))}[:, None]"
        return self.array(shape, depth)

    def made(self, shape: Shape) -> str:
        """Made from something of another shape, or of constants."""
        kind = self.rng.randrange(8)
        n = math.prod(shape)
        found = self.some(least=2)
        if kind < 3 and found:
            name, _ = found
            return f"np.resize({name}, {shape}) * {self.number()}"
        if kind == 3 and found:
            name, its = found
            index = [self.rng.randrange(-its[0], its[0]) for _ in range(shape[0])]
            if its[1:] == shape[1:]:
                return f"{name}[{index}]"
            flat = [self.rng.randrange(math.prod(its)) for _ in range(n)]
            return f"np.take({name}, {flat}).reshape({shape})"
        if kind == 4:
            return f"np.full({shape}, {self.scalar(0)})"
        if kind == 5 and len(shape) == 2:
            return f"np.outer({self.array(shape[:1], 0)}, {self.array(shape[1:], 0)})"
        if kind == 6 and len(shape) == 1 and n < 7:
            return f"np.array([{', '.join(self.scalar(0) for _ in range(n))}])"
        return f"np.linspace(-0.7, 1.1, {n}).reshape({shape}) * {self.scalar(0)}"

    def moved(self, shape: Shape, depth: int) -> str:
        inner = self.array(shape, depth - 1)
        if len(shape) == 1:
            n = shape[0]
            forms = [f"np.cumsum({inner}) * 0.3", f"np.roll({inner}, {self.rng.randrange(1, 4)})", f"({inner})[::-1]", f"np.sort({inner})",
                     f"np.flip({inner})", f"({inner}).copy()", f"np.concatenate([({inner})[1:], ({inner})[:1]])", f"np.clip({inner}, -0.81, 0.93)",
                     f"np.convolve({inner}, [0.2, 0.5, 0.3], mode='same')[:{n}]" if n >= 3 else inner, f"np.asarray({inner})",
                     f"np.interp({inner}, [-2.0, -0.3, 0.6, 2.0], [0.1, 0.9, -0.4, 1.0])", f"np.pad({inner}, 1)[:-2]"]  # fmt: skip
            return self.pick(forms)
        n, m = shape
        forms = [f"np.cumsum({inner}, axis={self.rng.randrange(2)}) * 0.3", f"({inner})[:, ::-1]", f"({inner}).T.copy().T", f"np.roll({inner}, 1, axis=0)",
                 f"np.vstack([({inner})[1:], ({inner})[:1]])", f"np.where({inner} > {self.threshold()}, {inner}, 0.5)",
                 f"({inner}) @ np.eye({m})", f"np.einsum('ij->ij', {inner})", f"np.sort({inner}, axis=1)",
                 f"({inner}).reshape({n * m}).reshape({n}, {m})", f"np.dot({inner}, np.ones(({m}, {m}))) * 0.2"]  # fmt: skip
        return self.pick(forms)

    def squashed(self, shape: Shape, depth: int = 2) -> str:
        return self.pick(SQUASH).format(self.array(shape, depth))

    # ----- parts

    def part(self, shape: Shape) -> tuple[str, Shape]:
        """A basic index that leaves something, and the shape it has."""
        for _ in range(8):
            index = ", ".join(self.cut(n) for n in shape[: self.rng.randrange(1, len(shape) + 1)])
            if self.chance(8):
                index = "..., " + self.cut(shape[-1])
            result = np.empty(shape)[eval(f"np.s_[{index}]")]
            if result.size and result.ndim:
                return index, result.shape
        return "...", shape

    def cut(self, n: int) -> str:
        kind = self.rng.randrange(9)
        if kind == 0 and n > 1:
            return str(self.rng.randrange(-n, n))
        if kind < 3:
            return f"{self.rng.randrange(n)}:"
        if kind == 3:
            return f":{self.rng.randrange(1, n + 1)}"
        if kind == 4:
            return f"::{self.rng.randrange(1, 4)}"
        if kind == 5:
            return f"::-{self.rng.randrange(1, 3)}"
        if kind == 6:
            a = self.rng.randrange(n)
            return f"{a}:{self.rng.randrange(a, n) + 1}:{self.rng.randrange(1, 3)}"
        return ":"

    def fancy(self, n: int) -> list[int]:
        return [self.rng.randrange(-n, n) for _ in range(self.rng.randrange(1, 5))]

    # ----- the text

    @contextmanager
    def block(self, header: str) -> Any:
        """A block: what is made in it is not known behind it."""
        kept = dict(self.arrays), list(self.scalars), {k: list(v) for k, v in self.boxes.items()}
        self.say(header)
        self.indent += 1
        self.deep += 1
        before = len(self.lines)
        yield
        if len(self.lines) == before:
            self.say("pass")
        self.indent -= 1
        self.deep -= 1
        self.arrays, self.scalars, self.boxes = kept

    def program(self, statements: dict[str, Callable[[Author], Any]]) -> str:
        """The module's text."""
        from statements import write_helpers
        from structures import HEAD

        n, rows, columns = self.rng.randrange(4, 8), self.rng.randrange(2, 4), self.rng.randrange(2, 5)
        self.dims = (n, rows, columns)
        self.head = [
            "import dataclasses", "import math", "", "import numpy as np", *HEAD.splitlines(), "",
            f"BUFFER = np.linspace(-1.0, 1.3, {n})", f"GRID = np.zeros(({rows}, {columns}))",
            f'TABLE = {{"a": np.linspace(0.1, 0.9, {n}), "g": np.ones(({rows}, {columns}))}}',
            f"ROWS = [np.full({n}, 0.4), np.arange({float(columns)})]", "", "",
            "class Holder:", "    pass", "", "", "HELD = Holder()", f"HELD.a = np.linspace(1.0, -0.5, {n})", "",
        ]  # fmt: skip
        self.head += [f"LAYER = Layer({n})"]
        write_helpers(self)
        self.head += ["", "def f(x, w, box):"]
        self.arrays = {
            "x": (n,),
            "w": (rows, columns),
            "BUFFER": (n,),
            "GRID": (rows, columns),
            "held.a": (n,),
            "layer.buffer": (n,),
        }
        self.boxes = {"table": [('table["a"]', (n,)), ('table["g"]', (rows, columns))],
                      "rows": [("rows[0]", (n,)), ("rows[1]", (columns,))],
                      "box": [('box["p"]', (n,)), ('box["q"][0]', (columns,))]}  # fmt: skip
        # Made by the function itself; or outside, where a value that is differentiated may be refused.
        self.local = self.chance(75)
        if self.local:
            self.arrays["buffer"], self.arrays["grid"] = self.arrays.pop("BUFFER"), self.arrays.pop("GRID")
            self.say("buffer, grid = np.copy(BUFFER), np.zeros_like(GRID)")
            self.say(
                "held, table, rows = Holder(), {key: np.copy(a) for key, a in TABLE.items()}, [np.array(a) for a in ROWS]"
            )
            self.say("held.a = np.zeros(len(x)) + 0.3")
            self.say("layer = Layer(len(x))")
        else:
            self.say("held, table, rows, layer = HELD, TABLE, ROWS, LAYER")
        self.say("total = 0.0")
        kinds = list(statements)
        for _ in range(self.rng.randrange(2, self.size)):
            statements[self.pick(kinds)](self)
        for i, (name, _) in enumerate(self.places()):
            self.say(f"total = total + {0.3 + 0.11 * i:.2f} * np.sum(np.sin({name}))")
        for name in self.scalars:
            self.say(f"total = total + np.tanh({name})")
        self.say("return total")
        return "\n".join(self.head + self.lines) + "\n"


def inputs(dims: tuple[int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray, dict]:
    """Arguments of ``f``; the same ones for the same seed."""
    n, rows, columns = dims
    rng = np.random.default_rng(seed)
    box = {"p": rng.normal(size=n), "q": [rng.normal(size=columns)]}
    return rng.normal(size=n), rng.normal(size=(rows, columns)), box
