"""Random programs made of loops: valid text, but with errors, overflows, warnings and changing types at run time."""

from __future__ import annotations

import random

SETUP = """
rng = np.random.default_rng({seed})
n = {n}
a = rng.random(n) * {scale}
b = rng.standard_normal((n, n))
c = b{view}
k = rng.integers(-5, 6, n)
w = rng.integers(-2**31, 2**31, (n, 2)).astype(np.int32)
u = rng.integers(0, 256, n).astype(np.uint8)
h = rng.random(n).astype(np.float32)
m = rng.random(n) > 0.5
q = {sequence}
out, also = [], []
x, y, f, g, z, t = {values}
"""

_WHOLE = ["0", "1", "-3", "7", "0", "1", "True", "np.int64(3)", "2**62", "2**53 + 1", "0.5", "np.uint8(200)"]
_BROKEN = ["0", "0.0", "1.5", "-0.0", "np.float64(2.5)", "1e308", "np.float32(0.1)", "float('nan')", "7"]
_VIEWS = ["", ".T", "[::-1]", "[:, ::-1]", ".copy()"]
_SEQUENCES = [
    "[1, 2, 3, 4, 5, 6, 7]",
    "(0.5, 1.5, 2.5, -1.0)",
    "bytes(range(9))",
    "'abcabd'",
    "[1, 2.5]",
    "a",
    "k[::-1]",
]
_RANGES = ["n", "n", "n - 1", "1, n", "n - 1, -1, -1", "x % 7", "0, n, 2", "12"]
_SCALARS = "xyfgzt"
_INTS, _FLOATS = "xy", "fgt"
_VECTORS = "akuhmq"
_BINARY = ["+", "-", "*", "+", "-", "*", "/", "//", "%"]
_BITS = ["&", "|", "^", "<<", ">>"]
_COMPARE = ["<", "<=", ">", ">=", "==", "!="]
_CALLS = ["abs({})", "int({})", "float({})", "min({}, {})", "max({}, {}, {})", "math.sqrt({})", "np.sqrt({})"]
_CALLS += [
    "math.exp({})",
    "math.floor({})",
    "bool({})",
    "np.abs({})",
    "np.maximum({}, {})",
    "math.log({})",
    "-{}",
]
_CALLS += [
    "sum(e * 0.5 for e in k if e < {})",
    "sum(a[e] for e in range(n) if e != {})",
    "all(e > {} for e in a)",
]
_CALLS += ["np.float64({})", "np.int64({})", "len(a)", "b.shape[0]", "pow(a[0], 2)", "math.atan2({}, {})"]
_WHOLE_CALLS = [
    "abs({})",
    "int({})",
    "min({}, {})",
    "max({}, {}, {})",
    "bool({})",
    "-{}",
    "np.int64({})",
    "len(a)",
    "sum(e for e in k if e != {})",
    "sum(e + {} for e in range(3))",
    "any(e == {} for e in k)",
]


class Maker:
    """Makes one program."""

    def __init__(self, seed: int) -> None:
        self.r = random.Random(seed)
        self.loops: list[str] = []
        self.left = 14  # statements
        self.counters = 0
        self.whole = False

    def program(self) -> str:
        r = self.r
        setup = SETUP.format(
            seed=r.randrange(1000),
            n=r.randint(2, 7),
            scale=r.choice(["1", "10", "1e200"]),
            view=r.choice(_VIEWS),
            sequence=r.choice(_SEQUENCES),
            values=", ".join(
                map(r.choice, (_WHOLE, _WHOLE, _BROKEN, _BROKEN, ["True", "False", "0"], _BROKEN))
            ),
        )
        loop = "\n".join(self.loop())
        if r.random() < 0.3:
            body = "\n".join(f"  {line}" for line in loop.split("\n"))
            call = "run(n, a, b, c, k, w, u, h, m, q, x, y, f, g, z, t)"
            names = "x, y, f, g, z, t"
            loop = f"def {call}:\n{body}\n  return {names}\n{names} = {call}"
        return f"import math\n{setup}{loop}\n"

    def loop(self) -> list[str]:
        r = self.r
        name = "ijl"[len(self.loops)]
        kind = r.random()
        if kind < 0.6:
            head = f"for {name} in range({r.choice(_RANGES)}):"
        elif kind < 0.75:
            head = f"for {name}, {r.choice('fg')} in enumerate({r.choice('akuq')}):"
        elif kind < 0.9:
            head = f"for {r.choice(_SCALARS)} in {r.choice('akuhmq')}:"
        else:
            head = f"for {r.choice('xy')}, {r.choice('fg')} in zip({r.choice('akq')}, {r.choice('aku')}):"
        self.loops.append(name if f" {name} " in head or f" {name}," in head else "n")
        lines = [head, *self.body()]
        if r.random() < 0.15:
            lines += ["else:", f"  {r.choice(_SCALARS)} = {self.expression(1)}"]
        self.loops.pop()
        return lines

    def body(self) -> list[str]:
        lines: list[str] = []
        for _ in range(self.r.randint(1, 4)):
            if self.left > 0:
                lines += self.statement()
        return [f"  {line}" for line in lines or ["pass"]]

    def statement(self) -> list[str]:
        r = self.r
        self.left -= 1
        kind = r.random()
        self.whole = r.random() < 0.4  # of integers, mostly
        if kind < 0.33:
            return [f"{self.target()} = {self.expression(2)}"]
        if kind < 0.45:
            operator = r.choice(_BINARY)
            return [f"{self.target()} {operator}= {self.small() if operator == '*' else self.expression(1)}"]
        if kind < 0.65:
            return [f"{self.element(True)} {r.choice(['', '', '+', '-', '*'])}= {self.expression(2)}"]
        if kind < 0.80:
            lines = [f"if {self.condition()}:", *self.body()]
            return lines + (["else:", *self.body()] if r.random() < 0.4 else [])
        if kind < 0.88 and len(self.loops) < 3:
            return self.loop()
        if kind < 0.92:
            self.counters += 1
            name = f"e{self.counters}"
            return [
                f"{name} = 0",
                f"while {name} < 3 and ({self.condition()}):",
                f"  {name} += 1",
                *self.body(),
            ]
        if kind < 0.95:
            return [f"if {self.condition()}: {r.choice(['break', 'continue', 'pass'])}"]
        if kind < 0.96:
            return ["x, y = y, x"]
        if kind < 0.975:
            return [f"{r.choice(['out', 'out', 'also'])}.append({self.expression(1)})"]
        if kind < 0.985:
            return [
                f"if {self.condition()}: {r.choice(['raise KeyError(x)', 'z = str(x)', 'assert x', 'z = None'])}"
            ]
        return [f"{r.choice('fg')} = {r.choice('abc')}"]

    def target(self) -> str:
        r = self.r
        if r.random() < 0.05:
            return r.choice(_SCALARS)
        return r.choice(_INTS if self.whole else _FLOATS)

    def index(self) -> str:
        r = self.r
        loop = r.choice(self.loops)
        return r.choice(
            [loop, loop, loop, f"{loop} - 1", f"{loop} // 2", "0", "-1", "x", f"k[{loop}]", f"n - 1 - {loop}"]
        )

    def element(self, stored: bool = False) -> str:
        r = self.r
        if r.random() < 0.9:
            names = "kku" if self.whole else "aabch"
        else:
            names = _VECTORS[:5] if stored else _VECTORS
        if names == "kku" and r.random() < 0.2:
            return f"w[{self.index()}, {r.choice('01')}]"
        name = r.choice(names)
        if name in "bc":
            return f"{name}[{self.index()}, {self.index()}]"
        if r.random() < 0.8:
            return f"{name}[{self.index()}]"
        return f"{r.choice('bc')}[{self.index()}][{self.index()}]"

    def expression(self, depth: int) -> str:
        r = self.r
        kind = r.random()
        if depth == 0 or kind < 0.2:
            simple = r.random()
            if simple < 0.35:
                if r.random() < 0.05:
                    return r.choice(_SCALARS)
                return r.choice(_INTS if self.whole else _FLOATS)
            if simple < 0.5:
                return r.choice(self.loops)
            if simple < 0.7:
                return r.choice(
                    ["0", "1", "2", "3", "255"] if self.whole else ["0.5", "-1.0", "0.0", "2", "0"]
                )
            return self.element()
        if kind < 0.7:
            operator = r.choice(_BINARY[:6] + _BINARY[7:] if self.whole and r.random() < 0.9 else _BINARY)
            right = self.small() if operator == "*" else self.expression(depth - 1)
            return f"({self.expression(depth - 1)} {operator} {right})"
        if kind < 0.76 and (self.whole or r.random() < 0.1):
            return (
                f"({self.expression(depth - 1)} {r.choice(_BITS)} {r.choice([*self.loops, '1', '3', '9'])})"
            )
        if kind < 0.79:
            return f"({self.small()} ** {r.choice(['2', '3', '0'] if self.whole else ['2', '3', '0.5', '-1', '0'])})"
        if kind < 0.84:
            return f"({self.expression(0)} if {self.condition()} else {self.expression(depth - 1)})"
        if kind < 0.87:
            return f"({self.condition()})"
        call = r.choice(_WHOLE_CALLS if self.whole and r.random() < 0.9 else _CALLS)
        return call.format(*(self.expression(depth - 1) for _ in range(call.count("{}"))))

    def small(self) -> str:
        """An operand that keeps integers from growing exponentially."""
        r = self.r
        return (
            self.element() if r.random() < 0.5 else r.choice([*self.loops, "2", "-1", "0.1", "1e10", "2**31"])
        )

    def condition(self) -> str:
        r = self.r
        kind = r.random()
        if kind < 0.6:
            return f"{self.expression(1)} {r.choice(_COMPARE)} {self.expression(1)}"
        if kind < 0.7:
            return f"{self.expression(0)} < {self.expression(0)} <= {self.expression(0)}"
        if kind < 0.9:
            joined = r.choice(["and", "or"])
            return f"{self.expression(0)} > {self.expression(0)} {joined} {self.expression(0)} != {self.expression(1)}"
        return f"not {self.expression(1)}"
