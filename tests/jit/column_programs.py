"""Random programs of loops along the last axis of arrays: names, layouts, shared memory, and what can go wrong."""

from __future__ import annotations

import random

SETUP = """
rng = np.random.default_rng({seed})
n, m, l = {n}, {m}, {l}
A, B, C, D = (rng.standard_normal((n, m, l)) * {scale} + {shift} for _ in range(4))
E = rng.integers(-99, 99, (n, m, l)).astype(np.{integer})
U, V, W = (rng.standard_normal((n, l)) + {shift} for _ in range(3))
F, G = U.astype(np.float32), rng.random((n, l)) > 0.5
v, w = rng.standard_normal(l + 2), rng.standard_normal(m)
x, y, r, s, k = 2, 0.5, None, None, -1
{special}
"""
_TABLES, _ROWS = ["A", "B", "C", "D", "E"], ["U", "V", "W", "F", "G"]
_AXES = [("[:, :, {k}]", "[:, :, {o}]"), ("[1:, :, {k}]", "[1:, :, {o}]"), ("[:, ::2, {k}]", "[:, ::2, {o}]")]
_COLUMNS = [("[:, {k}]", "[:, {o}]")] * 3 + [("[1:, {k}]", "[:-1, {o}]")]
_ROUNDS = [
    "range(l)",
    "range(1, l)",
    "range(l - 2, -1, -1)",
    "range(0, l, 2)",
    "range(l + {e})",
    "range({e})",
]
_OTHERS = ["{k} - 1", "{k}", "{k} + 1", "0", "-1", "{k} % l"]
_SPECIAL = [
    "",
    "",
    "",
    "A[n // 2, m // 2, l // 2] = {value}; U[n // 3, l // 2] = {value}",
    "B, V = A[::-1], U[1:]; W = W[1:]",
    "B, V = A, U",
    "A, C = A.transpose(1, 0, 2), B.transpose(1, 0, 2); w = v[:1]",
    "A, U = np.asfortranarray(A), np.asfortranarray(U)",
    "A, U = A[::-1, ::-1], U[:, ::-1]",
    "U = np.lib.stride_tricks.as_strided(U, U.shape, (8, 8))",
]


class ColumnMaker:
    """Makes one program."""

    def __init__(self, seed: int) -> None:
        self.r = random.Random(seed)

    def program(self) -> str:
        r = self.r
        special = r.choice(_SPECIAL).format(value=r.choice(["np.nan", "np.inf", "0", "1e300", "-0.0"]))
        setup = SETUP.format(
            seed=r.randrange(1000),
            n=r.choice([1, 3, 7, 8]),
            m=r.choice([1, 2, 5, 9]),
            l=r.choice([2, 3, 6]),
            scale=r.choice(["1", "1", "1", "1e200", "0"]),
            shift=r.choice(["0", "3", "3"]),
            integer=r.choice(["int64", "int16", "uint8"]),
            special=special,
        )
        self.names = _TABLES if r.random() < 0.6 else _ROWS
        self.forms = r.choice(_AXES if self.names is _TABLES else _COLUMNS)
        self.made: list[str] = []
        lines = [self.statement() for _ in range(r.choice([1, 1, 2, 3]))]
        lines.append(f"{self.target()} = {self.value(2)}")
        loop = f"for k in {r.choice(_ROUNDS).format(e=r.randrange(3))}:\n" + "\n".join(
            f"  {x}" for x in lines
        )
        if r.random() < 0.4:
            return f"{setup}for t in range(3):\n  x += t\n  " + loop.replace("\n", "\n  ") + "\nx += 1"
        return f"{setup}{loop}\nx += 1 + k"

    def target(self) -> str:
        return self.r.choice(self.names) + self.forms[0].format(k="k")

    def statement(self) -> str:
        r = self.r
        if r.random() < 0.4:
            name, value = r.choice("rs"), self.value(2)
            self.made.append(name)
            return f"{name} = {value}"
        return f"{self.target()} {r.choice(['=', '=', '+=', '*=', '-='])} {self.value(2)}"

    def value(self, depth: int) -> str:
        r = self.r
        if depth and r.random() < 0.75:
            one, other = self.value(depth - 1), self.value(depth - 1)
            form = r.choice(
                ["{} + {}", "{} - {}", "{} * {}", "{} + {}", "{} * {}", "{} / {}", "np.minimum({}, {})"]
            )
            if r.random() < 0.1:
                return f"np.where({one} > {other}, {one}, {other})"
            return f"({form.format(one, other)})"
        if self.made and r.random() < 0.3:
            return r.choice(self.made)
        if r.random() < 0.2:
            return r.choice(["x", "y", "v[k]", "2", "k", "w" if self.names is _TABLES else "v[1]"])
        form = self.forms[r.random() < 0.6]
        if r.random() < 0.03:
            form = "[:, :, {o}]" if self.names is _TABLES else "[:, {o}]"
        return r.choice(self.names) + form.format(k="k", o=r.choice(_OTHERS).format(k="k"))
