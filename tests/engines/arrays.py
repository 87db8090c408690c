"""Random programs of array code: expressions, reductions and library calls, in place and not, in functions and loops.

Valid text, but with errors, overflows, warnings, NaN, views of one memory and changing dtypes when it runs.
"""

from __future__ import annotations

import random

SETUP = """\
rng = np.random.default_rng({seed})
m, n = {m}, {n}
a = rng.standard_normal((m, n)) * {scale}
b = rng.random((m, n)) + 0.01
c = rng.standard_normal((m, n)).astype({small})
i = rng.integers(-9, 10, (m, n)){whole}
q = rng.random((m, n)) > 0.4
d = rng.standard_normal({layout}
t = rng.standard_normal((3, m, n))
v = rng.standard_normal({length})
w = rng.standard_normal({length})
k = rng.integers(0, 40, {length})
r = rng.random(n)
s, h, e = 0.3, {number}, np.float64(1.5)
class G: pass
g = G()
g.u, g.dt = b * 2, 0.1
p = {{'w': a * 2, 'b': b + 1}}
special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e308])
{spoil}
"""

_MATRICES = [
    "a",
    "a",
    "b",
    "b",
    "c",
    "i",
    "q",
    "d",
    "x",
    "y",
    "a[:, :]",
    "b[::-1][::-1]",
    "t[0]",
    "t[1]",
    "r",
    "r[None, :]",
    "b[:, :1]",
]
_VECTORS = ["v", "v", "w", "w", "k", "v[::-1][::-1]", "z", "w[:]"]
_NUMBERS = ["s", "h", "e", "2", "0.5", "-1", "3.0", "1e-3", "300"]
_UNARY = [
    "-{}",
    "abs({})",
    "np.sqrt({})",
    "np.exp({})",
    "np.tanh({})",
    "({}) ** 2",
    "np.square({})",
    "np.sin({})",
    "np.isnan({})",
    "np.log1p({})",
]
_BINARY = [
    "{} + {}",
    "{} - {}",
    "{} * {}",
    "{} / {}",
    "{} > {}",
    "{} == {}",
    "np.minimum({}, {})",
    "np.maximum({}, {})",
    "np.where({0} > 0, {0}, {1})",
]
_NAMES = "sum sum mean mean max min any all std var prod argmax argmin median count_nonzero".split()
_METHODS = "sum sum mean max min any all std var prod argmax argmin".split()
_LIBRARY = [
    "np.sort({m}, axis={axis})", "np.sort({v})", "np.argsort({m}, axis={axis}, kind='stable')", "np.argsort(i)", "np.cumsum({m}, axis={axis})",
    "np.percentile({m}, {p}, axis={axis})", "np.median({m}, axis={axis})", "np.searchsorted(np.sort(v), w)", "np.take({v}, k)",
    "np.take(a, k, axis=0)", "np.bincount(k)", "np.bincount(k, minlength=50)", "np.histogram({v}, {bins})", "np.histogram(v, bins=9, range=(-1, 1))",
    "np.unique(k)", "np.unique(i)", "np.convolve(v, r[:9])", "np.correlate({v}, w[:7], mode='same')", "rng.random(n * 40)", "rng.random((m, n))", "rng.random(2000)",
    "np.matmul(t, t.transpose(0, 2, 1).copy())", "t.sum(axis={axes})", "np.sum(t * t, axis={axes})", "np.mean(t, axis={axes}, keepdims=True)", "np.max(t - 1, axis={axes})",
    "np.fft.rfft(a)", "np.cumprod({m}, axis={axis})", "({v}).cumsum()", "np.ptp(a, axis={axis})", "v.searchsorted(w)",
]  # fmt: skip
_IN_PLACE = [
    "a.sort()",
    "a.sort(axis=0)",
    "k.sort()",
    "d.sort(axis=1)",
    "v.sort()",
    "b[1:].sort(axis=0)",
    "i.sort(axis=0, kind='stable')",
]
_TARGETS = [
    "a[:, :] = {}",
    "a[1:] = {}",
    "a[:-1] = {}",
    "b[1:-1, 1:-1] = {}",
    "c[:] = {}",
    "a += {}",
    "b *= {}",
    "d[:] = {}",
    "a[::2] = {}",
    "t[1] = {}",
]
# Done again and again with other numbers: slices that move, elements, attributes, items, what is computed first.
_REPEATED = [
    "b[{j}] = a[{j}] * s + b[{j} - 1]",
    "b[:, {j}] -= a[:, {j}] * e + b[:, -{j}]",
    "a[:, {j}:{j} + 3] = b[:, {j}:{j} + 3] * 2 + a[:, :3]",
    "t[:, :, {j}] = t[:, :, {j} - 1] * s - t[:, :, {j}] * t[:, :, {j} - 1]",
    "x = np.minimum(a, a[:, {j}][:, None] + a[1, :][None, :])",
    "a -= a[:, {j}, None] * b[1] * 1e-2",
    "v[{j}:{j} + 30] = v[{j}:{j} + 30] * s + w[2 * {j}:2 * {j} + 30]",
    "v[10 * {j} - 10:10 * {j}] = np.exp(v[10 * {j}:10 * {j} + 10]) - w[:10]",
    "v[{j}:] += w[{j}:] * 2 + s",
    "x = a * v[{j}] + b * w[{j} + 1]",
    "x = a * r[{j}] ** 2 + b / ({j} + 1)",
    "x = b ** {j} + b ** (0.5 * {j})",
    "x = np.exp(-({j} * {j}) / 8.0) * np.exp(-b) + np.exp({j} * 250.0) * a",
    "x = a * (r * {j} + 1) - b",
    "g.u[1:] += g.dt * (g.u[:-1] - a[1:])",
    "g.u -= g.dt * {j} * p['w'] * p['w']",
    "p['w'] -= s * p['b'] * p['w']; g.dt = g.dt * 0.5",
    "x = p['w'] * g.dt + p['b'] * {j}",
    "x = np.roll(a, {j}, 0) * s + np.roll(b, -{j}, 1) - np.roll(a, 1, axis=-1)",
    "a += 0.1 * (np.roll(a, 1, 0) - 2 * a + np.roll(a, -1, 0))",
    "i[:] = np.roll(np.roll(i, 1, 0), {j}, 1) + i",
    "v[:] = np.roll(v, {j}) * s + np.exp(np.roll(w, 7))",
]
_STENCIL = [
    "({0}[1:-1, 1:-1] + {0}[:-2, 1:-1] + {0}[2:, 1:-1]) * s",
    "{0}[1:-1, :-2] - {1}[1:-1, 2:] * 2",
    "{0}[1:-1, 1:-1] * {1}[2:, 2:] + {0}[:-2, :-2]",
]


class Maker:
    """Makes one program."""

    def __init__(self, seed: int) -> None:
        self.r = random.Random(seed)
        self.numbers = 0

    def program(self) -> str:
        """Its text."""
        r = self.r
        setup = SETUP.format(
            seed=r.randrange(10_000), m=r.choice([2, 3, 9, 40, 61]), n=r.choice([4, 5, 7, 33, 130, 512]),
            scale=r.choice(["1", "1", "100", "1e200"]), small=r.choice(["np.float32", "np.float16", "np.complex128", "np.float32"]),
            whole=r.choice(["", "", ".astype(np.int8)", ".astype(np.uint16)", ".astype(np.int32)"]),
            layout=r.choice(["(n, m)).T", "(m, 2 * n))[:, ::2]", "(2 * m, n))[::2]"]),
            length=r.choice([60, 300, 5000, 20_011]), number=r.choice(["3", "-2", "np.float32(0.1)", "np.int64(7)", "2.5", "1e300"]),
            spoil=r.choice(["", "", "", "a.flat[::5] = special[rng.integers(0, 6, a.flat[::5].size)]", "v[::7] = special[rng.integers(0, 6, v[::7].size)]", "v[3] = np.nan", "b[0] = 0"]),
        )  # fmt: skip
        lines = ["x = a * 1", "y = b + 0", "z = v * 2"]
        for _ in range(r.randint(3, 8)):
            lines += self.statement()
        return setup + "\n".join(lines) + "\n"

    def statement(self) -> list[str]:
        r = self.r
        kind = r.random()
        if kind < 0.16:
            return [f"{r.choice('xy')} = {self.matrix(3)}"]
        if kind < 0.24:
            body = [f"  {r.choice(_REPEATED).format(j='j')}" for _ in range(r.choice([1, 1, 2]))]
            values = r.choice(["range(1, 6)", "range(4, 0, -1)", "[1, 2, 2, 3, 60]", "range(3)"])
            if r.random() < 0.5:
                return [f"for j in {values}:", *body]
            name = self.name()
            inner = [f"  {each}" for each in body]
            return [
                f"def f{name}(a, b, t, v, w, r, x, g, p, s, e):",
                f"  for j in {values}:",
                *inner,
                "  return x",
                f"{name} = f{name}(a, b, t, v, w, r, x, g, p, s, e)",
            ]
        if kind < 0.3:
            return [r.choice(_TARGETS).format(self.matrix(2))]
        if kind < 0.35:
            return [f"b[1:-1, 1:-1] = {r.choice(_STENCIL).format(r.choice('ab'), r.choice('ab'))}"]
        if kind < 0.6:
            return [f"{self.name()} = {self.reduction()}"]
        if kind < 0.75:
            return [f"{self.name()} = {self.library()}"]
        if kind < 0.8:
            return [r.choice(_IN_PLACE)]
        if kind < 0.87:
            return [
                f"with np.errstate({r.choice(['all', 'over', 'invalid', 'divide'])}={r.choice(['ignore', 'raise'])!r}):",
                f"  {self.name()} = {self.reduction()}",
            ]
        if kind < 0.93:
            name = self.name()
            value = self.reduction()
            # (Of an unbound variable Python complains after what comes before it has warned; a block complains first.)
            return [f"def f{name}(a, b, s):", "  x = b", f"  x = {self.matrix(2).replace('y', 'b')}", f"  y = {self.matrix(1).replace('y', 'b')}",
                    f"  return x, {value}", f"{name} = [f{name}(a, b, s), f{name}(b, a, 2), f{name}(a[1:], b[1:], e), f{name}(c, i, h)]"]  # fmt: skip
        name = self.name()
        return [
            f"{name} = []",
            f"for j in range({r.randint(2, 5)}):",
            f"  a = a * s + {self.matrix(1)}",
            f"  {name}.append({self.reduction()})",
        ]

    def name(self) -> str:
        self.numbers += 1
        return f"o{self.numbers}"

    def matrix(self, depth: int) -> str:
        return self.expression(depth, _MATRICES)

    def expression(self, depth: int, leaves: list[str]) -> str:
        r = self.r
        if not depth:
            return r.choice(leaves + _NUMBERS[: 2 * len(leaves) // 3] if r.random() < 0.5 else leaves)
        if r.random() < 0.3:
            return f"({r.choice(_UNARY).format(self.expression(depth - 1, leaves))})"
        return f"({r.choice(_BINARY).format(self.expression(depth - 1, leaves), self.expression(r.randrange(depth), leaves))})"

    def reduction(self) -> str:
        r = self.r
        flat = r.random() < 0.3
        inner = self.expression(r.choice([0, 1, 1, 2, 2]), _VECTORS if flat else _MATRICES)
        axis = r.choice(
            ["", ", axis=0"]
            if flat
            else [
                "",
                ", axis=0",
                ", axis=1",
                ", axis=-1",
                ", 0",
                ", axis=None",
                ", axis=(0, 1)",
                ", axis=1, keepdims=True",
            ]
        )
        if r.random() < 0.3:
            return f"({inner}).{r.choice(_METHODS)}({axis[2:]})"
        return f"np.{r.choice(_NAMES)}({inner}{axis})"

    def library(self) -> str:
        r = self.r
        return r.choice(_LIBRARY).format(
            m=self.expression(0, _MATRICES[:12]), v=self.expression(0, _VECTORS), axis=r.choice([0, 1, -1]), p=r.choice(["30", "[5, 95]", "50"]),
            bins=r.choice([3, 10, 50]), axes=r.choice(["0", "1", "2", "(0, 1)", "(1, 2)", "(0, 2)", "None"]),
        )  # fmt: skip
