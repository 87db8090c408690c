"""Random programs of loops over small arrays: views, slices, rows, reductions, new arrays, and what can go wrong."""

from __future__ import annotations

import random

SETUP = """
import math
rng = np.random.default_rng({seed})
n = {n}
A = rng.standard_normal((n, n)) * {scale}
B = rng.standard_normal((n + 2, n)){view}[:n, :n]
v = rng.standard_normal(2 * n){stride}[:n]
w = np.round(rng.standard_normal(n), 0)
k = rng.integers(-4, n, n)
c = rng.integers(-9, 9, (n, n))
m = rng.random(n) > 0.5
h = rng.random(n).astype(np.float32)
p = rng.permutation(n)
Z = v + 1j * w
out, todo = [], [(1, 2)]
r, s, R, S = {rows}
x, y, f, g = {values}
{special}
"""
AFTER = """
every = [A, B, v, w, k, c, m, h, r, s, R, S, Z]
arrays = [q for q in every if type(q) is np.ndarray and q.size]
seen = [(q.strides, q.flags.writeable, q.dtype.str) for q in arrays]
same = [[q is t for t in every] for q in every]
shared = [[type(q) is type(t) is np.ndarray and np.may_share_memory(q, t) for t in every] for q in every]
owned = [type(q) is np.ndarray and q.base is None for q in every]
for q in (r, s, R, S):
  if type(q) is np.ndarray and q.flags.writeable: q[...] = 7
"""
_SLICES = [
    ":",
    ":",
    ":",
    "{i}:",
    ":{i}",
    "1:",
    ":-1",
    "::-1",
    "::2",
    "{i}:{i} + 2",
    "-3:",
    "{i} + 1:",
    "x:",
    ":k[{i}]",
]
_ROWS = [
    "v",
    "w",
    "r",
    "s",
    "A[{i}]",
    "A[:, {i}]",
    "B[{i}]",
    "B[{i}, :]",
    "R[{i}]",
    "S[:, {i}]",
    "A[{j}]",
    "k",
    "c[{i}]",
]
_TABLES = ["A", "B", "R", "S", "A.T", "c", "B"]
_MAPS = [
    "np.sqrt({})",
    "np.exp({})",
    "np.abs({})",
    "abs({})",
    "np.sin({})",
    "-{}",
    "np.floor({})",
    "{} ** 2",
    "{}.copy()",
    "np.copy({})",
]
_PAIRS = ["np.minimum({}, {})", "np.maximum({}, {})", "np.where({} > {}, {}, {})", "np.where(m, {}, {})"]
_FOLDS = [
    "{}.sum()",
    "{}.min()",
    "{}.max()",
    "np.sum({})",
    "np.mean({})",
    "{}.argmax()",
    "np.argmin({})",
    "{}.std()",
]
_FOLDS += [
    "np.dot({}, {})",
    "({} @ {})",
    "np.linalg.norm({})",
    "len({})",
    "{}.shape[0]",
    "({} > 0).any()",
    "np.max({})",
]
_NEW = [
    "np.zeros(n)",
    "np.ones(n)",
    "np.zeros_like(v)",
    "np.full(n, y)",
    "np.array([x, y, 2.5])",
    "np.zeros(n, dtype=np.int64)",
]
_CALLS = [
    "v[v > y] = f",
    "v[m] += 1",
    "w[m] = v[m] * 2",
    "r[s > 0] = x",
    "A[A > 0.5] *= 0.5",
    "B[m, {j}] = w[m]",
    "v[p] = w[k]",
    "v[k] += f",
    "c[p, k] += 1",
    "c[k, {i}] -= x",
    "B[p] = A",
    "A[:, p] += v[:, None]",
    "k[k > 2] -= 3",
    "k[m] = v[m]",
    "y = v[m].sum()",
    "x = np.count_nonzero(m) + len(A[m])",
    "r = v[np.flatnonzero(v > w)]",
    "s = A[p[:, None], k].sum(axis=0)",
    "m = np.logical_and(v > 0, w < y) | np.isnan(v)",
    "r = np.hstack((v[1:], w[:1]))",
    "R = np.stack((v, w), axis=x % 2)",
    "R = np.concatenate((A, B))",
    "R = np.vstack((A, v))",
    "S = np.triu(A, x) - np.tril(B)",
    "np.fill_diagonal(R, y)",
    "r = np.roll(v, x) - np.roll(w, -{i})",
    "R = np.roll(A, {i}, 0) - np.roll(B, 1, 1)",
    "r = A.ravel()[:n]",
    "S = A.reshape(n, -1)",
    "R = np.eye(n) * y",
    "r = np.linalg.solve(A + n * np.eye(n), v)",
    "S = np.linalg.inv(B + n * np.eye(n))",
    "r = A.std(axis=0) + A.var(1)",
    "s = (A - A.mean(axis=0, keepdims=True)).sum(axis=1)",
    "S = A.T * 2",
    "S = A.T + B.T",
    "y = (A * B).sum(axis=(0, 1)) + A.max(axis=(0, 1))",
    "r = (A[:, :, None] * v).sum(axis=(0, 2))",
    "r = v.cumsum() + np.clip(w, -0.5, y)",
    "r = np.abs(v) ** 1.5",
    "s = np.exp(A[:, 1:]).sum(axis=1)",
    "Z = Z * (0.5 + 1j)",
    "Z = Z / (y + 1j) - v",
    "Z[m] = 0",
    "Z[1:] += Z[:-1]",
    "r = abs(Z) + Z.imag",
    "Z[{i}] = Z[{j}] * 1j - x",
    "y = Z[{i}].real",
    "todo.append((x, {i}))",
    "if todo: x, t = todo.pop()",
    "todo.append(({i}, 2)); t, x = todo.pop()",
]
_WIDE = ["A", "B", "R", "S", "A[1:, 1:]", "B[:, 1:]", "c"]
_NEW_TABLES = ["np.outer(v, w)", "np.zeros((n, n))"]
_OPERATORS = ["+", "-", "*", "+", "-", "*", "/", "//", "%"]


class RowMaker:
    """Makes one program."""

    def __init__(self, seed: int) -> None:
        self.r = random.Random(seed)
        self.loops: list[str] = []
        self.left = 9
        self.slice = ":"

    def program(self) -> str:
        r = self.r
        setup = SETUP.format(
            seed=r.randrange(1000),
            n=r.choice([1, 2, 3, 3, 4, 4, 5, 9]),
            scale=r.choice(["1", "1", "1", "1e200", "0"]),
            view=r.choice(["", ".T", "[::-1]", "[:, ::-1]", ".copy(order='F')", "[::1, ::1]"]),
            stride=r.choice(["", "[::2]", "[::-1]", "[1:]"]),
            rows=r.choice(
                [
                    "v, w, A, B",
                    "v.copy(), w, A.copy(), B",
                    "A[0], v, B, B",
                    "w, w, A, A.T",
                    "None, v, None, A",
                ]
            ),
            values=", ".join(
                r.choice(["0", "1", "2", "0.5", "np.float64(1.5)", "-0.0", "np.int64(2)"]) for _ in range(4)
            ),
            special=r.choice(
                [
                    "",
                    "",
                    "",
                    "",
                    "v[0] = np.inf",
                    "A[0, -1] = np.nan",
                    "w[w == 0] = -0.0",
                    "A.flags.writeable = False",
                ]
            ),
        )
        loop = "\n".join(self.loop())
        if r.random() < 0.4:
            body = "\n".join(f"  {line}" for line in loop.split("\n"))
            call = "run(n, A, B, v, w, k, c, m, h, p, r, s, R, S, Z, x, y, f, g)"
            names = "A, B, v, w, k, c, m, h, r, s, R, S, Z, x, y, f, g"
            loop = f"def {call}:\n{body}\n  return {names}\n{names} = {call}"
        return f"{setup}{loop}\n{AFTER}"

    def loop(self) -> list[str]:
        r = self.r
        name = "ijl"[len(self.loops)]
        kind = r.random()
        if kind < 0.75 or self.loops:
            head = f"for {name} in range({r.choice(['n', 'n', 'n - 1', '1, n', 'n - 1, -1, -1', '2 * n'])}):"
        elif kind < 0.9:
            head = f"for {name}, {r.choice('rs')} in enumerate({r.choice(['A', 'B', 'A.copy()'])}):"
        else:
            head = f"for {name}, {r.choice('rs')} in zip(range(n), A):"
        self.loops.append(name)
        lines = [head, *self.body()]
        self.loops.pop()
        return lines

    def body(self) -> list[str]:
        lines: list[str] = []
        for _ in range(self.r.randint(1, 3)):
            if self.left > 0:
                lines += self.statement()
        return [f"  {line}" for line in lines or ["pass"]]

    def statement(self) -> list[str]:
        r = self.r
        self.left -= 1
        self.slice = r.choice(_SLICES) if r.random() < 0.5 else ":"
        if r.random() < 0.2:
            return [self.filled(r.choice(_CALLS))]
        if r.random() < 0.15:
            return self.chain()
        kind = r.random()
        if kind < 0.25:
            return [f"{self.place()} {r.choice(['', '', '', '+', '-', '*', '/'])}= {self.line(2)}"]
        if kind < 0.33:
            value = self.table(2)
            return [f"{r.choice(_WIDE)}{r.choice(['[:]', '', '[...]'])} {r.choice(['', '+', '-'])}= {value}"]
        if kind < 0.45:
            return [
                f"{r.choice('rsvw')} = {r.choice([self.line(2), self.row(), r.choice(_NEW), self.row()])}"
            ]
        if kind < 0.50:
            return [f"{r.choice('RS')} = {r.choice([self.table(1), r.choice(_TABLES), *_NEW_TABLES])}"]
        if kind < 0.53:
            return [f"out.append({r.choice([self.scalar(), self.fold(), 'x'])})"]
        if kind < 0.56:
            return [
                r.choice(
                    [
                        "r, s = s, r",
                        "v, w = w, v",
                        "R, S = S, R",
                        "r = s = v",
                        "A[i], A[-1] = A[-1].copy(), A[i].copy()",
                        "r = s[1:]",
                        "s = r",
                        "w, v = v, v + w",
                    ]
                )
            ]
        if kind < 0.70:
            return [f"{r.choice('xyfg')} {r.choice(['', '', '+'])}= {self.fold()}"]
        if kind < 0.80:
            return [
                f"{r.choice('vrskh')}[{r.choice([*self.loops, '0', '-1'])}] {r.choice(['', '+', '*'])}= {self.scalar()}"
            ]
        if kind < 0.86 and len(self.loops) < 3:
            return self.loop()
        if kind < 0.95:
            return [
                f"if {self.condition()}:",
                *self.body(),
                *(["else:", *self.body()] if r.random() < 0.4 else []),
            ]
        if kind < 0.96:
            return [
                f"if {self.condition()}: {r.choice(['break', 'continue', 'raise KeyError(x)', 'y = str(x)'])}"
            ]
        return [
            r.choice(
                [
                    "h = h * 2 + h",
                    "m = ~m & (v > w)",
                    "k = k + c[0]",
                    "v = B @ v",
                    "h *= 0.5",
                    "k[:] = v",
                    "v = w[p]",
                    "y = v[k].sum()",
                    "B = B @ A",
                    "r = v[k]",
                    "r = np.dot(A, w)",
                    "r = A.sum(axis=0) - c.sum(axis=1)",
                    "s = np.max(B, axis=1) - B.argmin(axis=0)",
                    "r = (A * B).mean(axis=1)",
                    "s = (r > 0).sum() + v[:, None].max(axis=0)",
                ]
            )
        ]

    def chain(self) -> list[str]:
        """An array that the next statements read, which need not be made."""
        r, name = self.r, self.r.choice("tu")
        table = r.random() < 0.3
        value = (lambda: self.table(1)) if table else (lambda: self.line(2))
        lines = [f"{name} = {value()} {r.choice('+-*/')} {r.choice([self.row(), self.scalar()])}"]
        if r.random() < 0.3:
            lines.append(f"{name} {r.choice('+-*')}= {value()}")
        for _ in range(r.choice([1, 1, 2, 3])):
            if r.random() < 0.4:
                lines += self.statement()
            lines.append(
                r.choice(
                    [
                        f"{'R' if table else 'r'} = {name} * {value()} + {name}",
                        f"{'A' if table else 'v'}[:] = {name}",
                        f"{'B' if table else 'w'} += {name} * 0.5",
                        f"{'S' if table else 's'} = np.where({name} > 0, {name}, {value()})",
                        f"{'R' if table else 'r'} = -{name}",
                        f"x = ({name} * {value()}).sum()",
                        f"v[1:] = {name}[..., :-1] - 1" if not table else f"v = {name}[0]",
                    ]
                )
            )
        if r.random() < 0.3:
            lines.append(f"{name} = {value()}")
        return lines

    def filled(self, text: str) -> str:
        return text.replace("{i}", self.r.choice(self.loops)).replace(
            "{j}", self.r.choice(["0", "-1", *self.loops, "x"])
        )

    def sliced(self, name: str) -> str:
        part = self.slice if self.r.random() < 0.9 else self.r.choice(_SLICES)
        return name if part == ":" and self.r.random() < 0.7 else f"{name}[{part}]"

    def place(self) -> str:
        r = self.r
        name = r.choice(["v", "w", "r", "A[{i}]", "A[:, {i}]", "B[{i}]", "R[{i}]", "k", "h", "s"])
        if name.endswith("]") and self.slice == ":" and r.random() < 0.6:
            return self.filled(name)
        return self.filled(f"{name}[{self.slice}]")

    def row(self) -> str:
        return self.filled(self.sliced(self.r.choice(_ROWS if self.r.random() < 0.95 else ["h", "m", "p"])))

    def line(self, depth: int) -> str:
        r = self.r
        kind = r.random()
        if depth == 0 or kind < 0.25:
            return self.row()
        if kind < 0.75:
            one, other = self.line(depth - 1), r.choice([self.line(depth - 1), self.scalar()])
            if r.random() < 0.2:
                one, other = other, one
            return f"({one} {r.choice(_OPERATORS)} {other})"
        if kind < 0.9:
            return r.choice(_MAPS).format(f"({self.line(depth - 1)})")
        text = r.choice(_PAIRS)
        return text.format(
            *(
                r.choice([self.line(depth - 1), self.scalar()]) if i else self.line(0)
                for i in range(text.count("{}"))
            )
        )

    def table(self, depth: int) -> str:
        r = self.r
        kind = r.random()
        if depth == 0 or kind < 0.3:
            return r.choice([*_TABLES, "v[:, None]", "w[None, :]", "A[1:, :-1]"])
        if kind < 0.9:
            other = r.choice([self.table(depth - 1), self.row(), self.scalar()])
            return f"({self.table(depth - 1)} {r.choice(_OPERATORS[:6])} {other})"
        return r.choice(["np.sqrt({})", "abs({})", "np.minimum({}, 1)"]).format(self.table(depth - 1))

    def fold(self) -> str:
        text = self.r.choice(_FOLDS)
        return text.format(*(f"({self.line(1)})" for _ in range(text.count("{}"))))

    def scalar(self) -> str:
        r = self.r
        loop = r.choice(self.loops)
        return r.choice(
            [
                "2",
                "0.5",
                "x",
                "y",
                "f",
                "g",
                f"v[{loop}]",
                f"A[{loop}, 0]",
                f"k[{loop}]",
                loop,
                "1.5",
                "3",
                "np.exp(y * 0.1)",
            ]
        )

    def condition(self) -> str:
        r = self.r
        return r.choice(
            [
                f"{self.scalar()} {r.choice(['<', '>', '==', '<='])} {self.scalar()}",
                f"{r.choice(self.loops)} % 2",
                f"{self.fold()} > 0.5",
            ]
        )
