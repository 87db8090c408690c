"""Random loops over numbers and elements, inside functions that are differentiated.

``python tests/jit/gradient_programs.py --count 2000 --from 0`` runs many, as written and compiled, and says what differs.
"""

# ruff: noqa: E501 (statements to choose from)

from __future__ import annotations

import argparse
import os
import pickle
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

HEAD = """\
import math
import pickle
import sys
import warnings

import numpy as np

import minpy

warnings.simplefilter("ignore")


class Settings:
    kind = 1
    power = 2


settings = Settings()
settings.shift = 0.21
settings.rate = 0.3
TABLE = np.linspace(0.2, 1.4, 7)


def bump(x, y):
    z = x * y
    z += 0.1
    return z / (1.0 + z * z)


def bent(x):
    if x > 0.4:
        return x
    elif x > 0.2:
        return 0.5 * bump(x, x)
    return 0.1 * x


def taken(array, i):
    return array[i % 5] * settings.rate
"""

TAIL = """\


def described(value):
    if isinstance(value, (list, tuple)):
        return [described(each) for each in value]
    return type(value).__name__, value


def outcome(function):
    rng = np.random.default_rng(5)
    a, b = rng.uniform(0.2, 1.2, 7), rng.uniform(0.2, 1.2, (5, 7))
    found = []
    for _ in range(3):
        left = []
        try:
            value, gradients = minpy.value_and_grad(function, argnum=[0, 1, 2])(a.copy(), b.copy(), 0.7, left)
            found = [value, *gradients, described(left)]
        except Exception as error:
            found = [type(error).__name__, str(error)[:60]]
    return found


with open(sys.argv[1], "wb") as file:
    pickle.dump({name: outcome(f) for name, f in list(globals().items()) if name.startswith("f_")}, file)
"""


class Writer:
    """Writes one function."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.seed = seed
        self.lines: list[str] = []
        self.loops: list[tuple[str, str]] = []  # variables of the loops around, and what they stay below

    def pick(self, *choices: Any) -> Any:
        return self.random.choice(choices)

    def put(self, depth: int, text: str) -> None:
        self.lines.append("    " * depth + text)

    def index(self, size: int) -> str:
        """An integer expression from -size to below size."""
        name = self.pick(*[name for name, _ in self.loops], "k", "0")
        return self.pick(
            f"{name} % {size}", f"({name} + {self.random.randrange(4)}) % {size}", f"{self.random.randrange(size)}",
            f"-1 - {name} % {size}", f"({name} * 3 + k) % {size}",
        )  # fmt: skip

    def element(self) -> str:
        return self.pick(
            f"a[{self.index(7)}]", f"b[{self.index(5)}, {self.index(7)}]", f"c[{self.index(7)}]",
            f"v[{self.index(5)}]", f"TABLE[{self.index(7)}]", f"w[{self.index(4)}, {self.index(4)}]",
        )  # fmt: skip

    def expression(self, depth: int = 0) -> str:
        """A number that is not large, and can be divided by."""
        if depth > 2 or self.random.random() < 0.2:
            return self.pick(
                "s", "t", "u", "p", self.element(), self.element(), self.element(), "0.5", "1.25", "settings.rate",
                "settings.shift",
            )  # fmt: skip
        one, other = self.expression(depth + 1), self.expression(depth + 1)
        return self.pick(
            f"({one} + {other})", f"({one} - {other})", f"0.5 * {one} * ({other})", f"{one} / (1.5 + ({other}) ** 2)",
            f"math.sin({one})", f"np.cos({one})", f"np.tanh({one})", f"math.exp(-abs({one}))", f"-({one})",
            f"np.sqrt(0.5 + ({one}) ** 2)", f"math.sqrt(abs({one}))", f"max({one}, {other})", f"min({one}, {other}, 0.8)",
            f"np.maximum({one}, {other})", f"abs({one})", f"({one} if {self.test()} else {other})",
            f"({one}) ** 2", f"np.log(1.5 + abs({one}))", f"np.arctan2({one}, 1.0 + abs({other}))",
            f"(0.1 + abs({one})) ** 1.5", f"float({one})", f"np.float64({one})", f"math.atan({one})",
            f"({one}) % 1.3", f"np.square(np.sin({one}))", f"np.hypot({one}, {other})", f"abs(np.cos({one})) ** 0.5",
            f"bump({one}, {other})", f"bump({one}, {other})", f"taken({self.pick('a', 'c', 'v')}, k)",
            f"np.minimum({one}, {other})", f"math.cosh(math.tanh({one}))", f"(1.1 + np.cos({one})) ** np.sin({other})",
        )  # fmt: skip

    def test(self) -> str:
        name = self.pick(*[name for name, _ in self.loops], "k")
        return self.pick(
            f"{self.element()} > {self.pick('0.5', 's', 't')}", f"{name} % 2 == 0", f"{name} > 1", "s < t", "k < 3",
            f"s > 0.4 and {name} < 3", f"not {name} == 1", f"0.2 < {self.element()} < 0.9",
        )  # fmt: skip

    def target(self) -> str:
        return self.pick("s", "t", "u", "q", f"c[{self.index(7)}]", f"v[{self.index(5)}]", f"a[{self.index(7)}]",
                         f"w[{self.index(4)}, {self.index(4)}]", f"b[{self.index(5)}, {self.index(7)}]")  # fmt: skip

    def statement(self, depth: int, level: int) -> None:
        """One statement."""
        what = self.random.random()
        if what < 0.42:
            self.put(depth, f"{self.target()} = {self.expression()}")
        elif what < 0.6:
            name = self.pick("s", "t", f"c[{self.index(7)}]", f"v[{self.index(5)}]", f"w[{self.index(4)}, 0]")
            self.put(
                depth, f"{name} {self.pick('+=', '-=', '*=')} {self.pick('', '0.3 * ')}{self.expression(2)}"
            )
        elif what < 0.66:
            self.put(depth, self.pick("k = (k + 1) % 5", f"k = ({self.loops[-1][0]} * 2) % 5", "k += 1"))
        elif what < 0.7:
            self.put(
                depth, self.pick("s, t = t, s", f"c[0], c[{self.index(7)}] = c[1], c[0]", "s, k = u, k + 1")
            )
        elif what < 0.84 or level > 2:
            self.put(depth, f"if {self.test()}:")
            self.block(depth + 1, level + 1, self.random.randrange(1, 3))
            if self.random.random() < 0.3 and self.loops:
                self.put(depth + 1, self.pick("continue", "break") if level else "continue")
            elif self.random.random() < 0.5:
                self.put(depth, "else:")
                self.block(depth + 1, level + 1, self.random.randrange(1, 3))
        elif what < 0.94:
            name = f"i{len(self.loops)}"
            if self.random.random() < 0.25:
                heads = (
                    "for x in v:",
                    "for k, x in enumerate(a):",
                    "for x, u in zip(v, TABLE):",
                    "for j, (x, s) in enumerate(zip(a, c)):",
                )
                self.put(depth, self.pick(*heads))
                self.block(depth + 1, level + 1, self.random.randrange(1, 3))
                self.put(depth + 1, self.pick("s += 0.1 * x", "t = t * 0.5 + bent(x)", "c[k % 7] += x"))
                return
            spans = [
                "b.shape[1] - 3",
                "w.shape[0]",
                f"{self.random.randrange(1, 5)}",
                "1, 5",
                "4, 0, -1",
                "0, 6, 2",
                "k % 4",
                "len(v)",
            ]
            if self.loops:
                spans += [
                    f"{self.loops[-1][0]} % 4",
                    f"{self.loops[-1][0]} % 3, 5",
                    f"5, {self.loops[-1][0]} % 3, -2",
                ]
            self.put(depth, f"for {name} in range({self.pick(*spans)}):")
            self.loops.append((name, ""))
            self.block(depth + 1, level + 1, self.random.randrange(1, 4))
            self.loops.pop()
        else:
            name = f"n{depth}{len(self.lines)}"
            self.put(depth, f"{name} = {self.pick('0', 'k % 3')}")
            self.put(
                depth,
                f"while {name} < {self.pick('3', '2 + k % 2')} and {self.pick('s < 5.0', 'True', 'k >= 0')}:",
            )
            self.put(depth + 1, f"{name} += 1")
            self.block(depth + 1, 3, self.random.randrange(1, 3))

    def block(self, depth: int, level: int, count: int) -> None:
        for _ in range(count):
            self.statement(depth, level)

    def text(self) -> str:
        """The function."""
        self.put(0, f"def f_{self.seed}(a, b, p, left):")
        self.put(
            1,
            "s, t, u, q, k = "
            + self.pick("0.3, 0.6, p, 0.1, 1", "0, p, 0.4, 1.5, 0", "p * p, a[1], 0.2, p, 2"),
        )
        self.put(1, "c = " + self.pick("np.zeros(7)", "a * 0.5", "np.ones(7)", "b[1]"))
        self.put(
            1,
            "v = "
            + self.pick(
                "c[1:6]", "np.zeros(5)", "b[:, 2]", "a[::-1][:5]", "np.arange(5) * 0.1", "b[1:3, 1:6][0]"
            ),
        )
        self.put(
            1, "w = " + self.pick("np.zeros((4, 4))", "b[:4, :4]", "np.outer(a[:4], a[3:])", "b[1:, 3:]")
        )
        for _ in range(self.random.randrange(1, 3)):
            heads = [
                "for i0 in range(4):",
                "for i0 in range(1, 6):",
                "for i0 in range(5, 0, -1):",
                "for i0 in range(len(a)):",
            ]
            heads += ["for i0, y in enumerate(a):", "for y, s, i0 in zip(TABLE, c, [1, 0, 2, 4, 3]):"]
            self.put(1, self.pick(*heads))
            self.loops.append(("i0", ""))
            self.block(2, 0, self.random.randrange(1, 5))
            self.loops.pop()
            self.put(1, self.pick("c[1] = c[0] * s", "s = s * 0.5 + c[2]", "v = v * 1.0", "b[0] *= 0.9"))
        self.put(1, "left.extend([s, t, u, k, c, v, i0])")
        self.put(
            1,
            "return s + 2.0 * t + u * 0.5 + np.sum(c * c) + np.sum(v) * 0.3 + np.sum(a * b) + np.sum(np.sin(w)) + q",
        )
        return "\n".join(self.lines) + "\n"


def text_of(seeds: range) -> str:
    """A program that writes what the functions of some seeds come to."""
    return HEAD + "".join("\n\n" + Writer(seed).text() for seed in seeds) + TAIL


def run(path: Path, jit: str, cache: Path) -> dict[str, Any]:
    """What the functions of a program come to with or without compiled loops."""
    out = path.with_suffix(f".{jit}")
    environment = os.environ | {"MINPY_JIT": jit, "MINPY_CACHE_DIR": str(cache), "MINPY_VERBOSE": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "minpy", "run", str(path), str(out)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(done.stderr)
    with open(out, "rb") as file:
        return pickle.load(file)


def difference(one: Any, other: Any) -> str:
    """How two outcomes differ; empty if they do not (but in the last digits of the gradients)."""
    if len(one) != len(other):
        return f"{one} or {other}"
    if isinstance(one[0], str):
        return "" if one == other else f"{one} or {other}"
    if np.float64(one[0]).tobytes() != np.float64(other[0]).tobytes():
        return f"the value: {one[0]!r} or {other[0]!r}"
    for i in (1, 2, 3):
        scale = max(1.0, float(np.max(np.abs(one[i]), initial=0.0)))
        if not np.allclose(one[i], other[i], rtol=1e-8, atol=1e-9 * scale, equal_nan=True):
            return f"gradient {i}: {one[i]!r} or {other[i]!r}"
        if type(one[i]) is not type(other[i]):
            return f"the gradient's type: {type(one[i])} or {type(other[i])}"
    return _left(one[4], other[4])


MINPYS = "numpy.ndarray"  # what the class of MinPy's arrays says it is


def _left(one: Any, other: Any) -> str:
    for i, ((kind, value), (kind2, value2)) in enumerate(zip(one, other, strict=True)):
        if kind != kind2 or kind == MINPYS or np.asarray(value).tobytes() != np.asarray(value2).tobytes():
            return f"what is left, {i}: {kind} {value!r} or {kind2} {value2!r}"
    return ""


def compare(seeds: range, folder: Path) -> list[str]:
    """What differs between the functions of some seeds as written and compiled."""
    path = folder / f"loops_{seeds.start}.py"
    path.write_text(text_of(seeds), encoding="utf-8")
    one, other = (run(path, jit, folder / "cache") for jit in ("off", "force"))
    return [f"{name}: {why}" for name in one if (why := difference(one[name], other[name]))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--block", type=int, default=25)
    given = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for start in range(given.first, given.first + given.count, given.block):
            found = compare(range(start, start + given.block), Path(folder))
            for each in found:
                print(each, flush=True)
            wrong += len(found)
    print(f"{given.count} programs, {wrong} differ")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
