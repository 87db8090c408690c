"""Random programs of the forms that loops and blocks have ways of their own for: columns, columns abreast, slices that move, masks, choices,
indices within bounds, sums that are looked at once, rests, limits, `while`; of the right types mostly, with arrays that
share memory, turn, are empty, cannot be written, or hold what warns."""

from __future__ import annotations

import random

SETUP = """
import warnings
rng = np.random.default_rng({seed})
n, m, l = {n}, {m}, {l}
A, B, C = (rng.standard_normal((n, m)) * {scale} + {shift} for _ in range(3))
T, Q = rng.standard_normal((n, m, l)), rng.standard_normal((n, m, l)) * {scale}
u, v, w, z = rng.standard_normal(m), rng.standard_normal(m) * {scale}, rng.random(n), np.zeros(m)
I, J = rng.integers(-9, 10, (n, m)).astype(np.{whole}), rng.integers(0, {most}, (n, m))
i8, k = rng.integers(0, 250, m).astype(np.uint8), rng.integers({least}, m, m)
M, q = rng.random((n, m)) > 0.4, rng.random(m) > {share}
Z, c = np.zeros((n, m), complex), rng.uniform(-2, 1, (n, m)) + 1j * rng.uniform(-1, 1, (n, m))
text, a, b, x, y, s = b'abcabdacb' * 4, 3, {b}, 0.5, {y}, 0.0
special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1e308, 5e-324])
def attempt(f, *arguments):
    try:
        return f(*arguments)
    except Exception as error:
        return type(error).__name__, str(error)
{special}
"""
_SPECIAL = [
    "", "", "", "", "A.flat[::5] = special[rng.integers(0, 8, A.flat[::5].size)]", "v[::3] = special[rng.integers(0, 8, v[::3].size)]",
    "T.flat[::9] = special[rng.integers(0, 8, T.flat[::9].size)]", "u[m // 2] = 1e300; A[n // 2] *= 1e300", "A[n // 2, m // 2] = np.nan",
    "B = A", "B = A[::-1]", "B = A[:, ::-1]", "v = A[0]", "z = A[:, 0]; u = A[n // 2]", "v, z = v[::-1], v", "z = v", "Q = T", "Q = T[::-1]",
    "A, B = np.asfortranarray(A), np.asfortranarray(B)", "A, C = A[::-1], C[:, ::-1]", "A, B, C = A.T.copy().T, B, C.T.copy().T",
    "A = rng.standard_normal((n, 2 * m))[:, ::2]; v = rng.standard_normal(2 * m)[::2]", "T = np.asfortranarray(T)",
    "A.flags.writeable = False", "z.flags.writeable = False", "A = A.astype(np.float32); z = z.astype(np.float32)", "A, v = A.round(), v.round()",
    "A = np.lib.stride_tricks.as_strided(A, A.shape, (8, 8))", "v = np.lib.stride_tricks.as_strided(v, v.shape, (0,))", "A = A[:0]; n = 0", "A, B, C, M = A[:1], B[:1], C[:1], M[:1]",
    "A = A.astype(A.dtype.newbyteorder())", "I = np.full_like(I, np.iinfo(I.dtype).max)", "J = J * 2**40", "k = k.astype(np.int8)", "q[:] = True", "q[:] = False; M[:] = False",
    "A = A.view(np.recarray)", "A = np.ma.array(A)", "u = list(u)", "m = m + 1", "n = np.int64(n)", "x = np.float64(x); s = np.float32(0)", "a, b = np.int64(a), np.uint8(b)",
]  # fmt: skip
_NUMBER = ["x", "y", "2", "0.5", "w[i]", "u[{j}]", "A[i, {j}]", "(i + 1)", "{j}"]
_ROW = ["A[i]", "B[i]", "A[i - 1]", "C[{o}]", "u", "v", "z", "I[i]", "A[:, {j}]"]
_COLUMN = ["A[:, {j}]", "B[:, {j}]", "C[:, {j}]", "A[:, {j} - 1]", "C[:, {o}]", "w", "A[:, 0]"]
_SHEET = ["T[:, :, {j}]", "Q[:, :, {j}]", "T[:, :, {j} - 1]", "A", "B[:, {o}, None]", "u", "Q[:, :, {o}]"]
_PAIR = ["{0} + {1}", "{0} - {1}", "{0} * {1}", "{0} / {1}", "{0} + {1}", "{0} * {1}", "np.minimum({0}, {1})", "np.maximum({0}, {1})", "np.where({0} > {1}, {0}, {1})", "{0} % {1}", "{0} // {1}"]  # fmt: skip
_ONE = ["np.sqrt({0})", "np.abs({0})", "-{0}", "np.exp({0})", "{0} ** 2", "np.clip({0}, -0.5, {1})", "np.clip({0}, {1}, 2)", "np.floor({0})", "np.square({0})", "np.tanh({0})"]  # fmt: skip

_WHOLE = ["I[i, {j}]", "J[i, {j}]", "i8[{j}]", "k[{j}]", "a", "b", "i", "{j}", "3", "(i - {j})", "7"]
_CONDITIONS = ["I[i, {j}] == J[i, {j}]", "A[i, {j}] > x", "a % 2 == 0", "text[i % 36] == text[{j} % 36]", "{j} > i", "np.sqrt(A[i, {j}]) < 0", "M[i, {j}]", "np.isnan(v[{j}])", "i8[{j}] > 99", "s > 1"]  # fmt: skip
_ROUNDS = [
    "range(1, n)",
    "range(n)",
    "range(n - 1, -1, -1)",
    "range(0, n, 2)",
    "range(n + {e})",
    "range(-2, n)",
]
_PLACES = ["range(1, m)", "range(m)", "range(m - 1)", "range(m - 1, 0, -1)", "range(i, m)", "range(i + 1, m)", "range(0, m, 2)", "range(m + {e})", "range(i)", "range(-{e}, 3)"]  # fmt: skip


_STATES = ["", "", "all='ignore'", "all='raise'", "over='raise'", "invalid='ignore'"]


class FormMaker:
    """Makes one program."""

    def __init__(self, seed: int) -> None:
        self.r = random.Random(seed)

    def program(self) -> str:
        r = self.r
        special = "\n".join({r.choice(_SPECIAL) for _ in range(2)})
        setup = SETUP.format(
            seed=r.randrange(10_000), n=r.choice([1, 2, 5, 9, 12]), m=r.choice([1, 2, 7, 8, 9, 17, 33, 70]), l=r.choice([2, 3, 9]), scale=r.choice([1, 1, 1, 100, "1e154", 0]),
            shift=r.choice([0, 0, 3]), whole=r.choice(["int64", "int64", "int32", "int8", "uint16", "uint64"]), most=r.choice([2, 9, 2**31, 2**62]), least=r.choice([0, 0, 0, "-m", "-m - 1"]),
            share=r.choice([0.1, 0.5, 0.9]), b=r.choice([2, 0, -3, 2**40, 2**62]), y=r.choice([2.5, 1e200, -0.0, 3, "np.float64(0.1)"]), special=special,
        )  # fmt: skip
        lines = []
        for number in range(r.choice([1, 1, 2])):
            body = "\n".join(f"        {line}" for line in self.nest())
            lines.append(
                f"def f{number}(n, m, l, A, B, C, T, Q, u, v, w, z, I, J, i8, k, M, q, Z, c, text, a, b, x, y, s):\n    i = j = -1\n    with np.errstate({r.choice(_STATES)}):\n"
                f"{body}\n    return i, j, a, b, x, y, s, u is v, z, v, Z"
            )
            lines += [
                f"out{number} = [attempt(f{number}, n, m, l, A, B, C, T, Q, u, v, w, z, I, J, i8, k, M, q, Z, c, text, a, b, x, y, s) for _ in range(3)]",
            ]
            if r.random() < 0.3:
                other = r.choice(["A, B = B, A", "A = A.copy()", "v = v.astype(np.float32)", "n -= 1", "x, y = y, x", "a = float(a)", "u[:] = v", "A, C = C, A; z = u", "np.sqrt, kept = np.abs, np.sqrt"])  # fmt: skip
                lines += [
                    other,
                    lines[-1].replace("range(3)", "range(2)").replace(f"out{number}", f"again{number}"),
                ]
                if "kept" in other:
                    lines.append("np.sqrt = kept")
        return setup + "\n".join(lines) + "\n"

    def nest(self) -> list[str]:
        form = self.r.choice(
            [self.columns, self.abreast, self.sheets, self.moves, self.masks, self.choices, self.choices, self.sums, self.rows, self.tables, self.while_, self.outer, self.program_of_rows]
        )  # fmt: skip
        return form()

    def fill(self, text: str, j: str = "j") -> str:
        r = self.r
        return text.format(j=j, o=r.choice([f"{j} - 1", f"{j} + 1", "0", "-1", "i", j]), e=r.randrange(3))

    def value(self, leaves: list[str], depth: int, j: str = "j") -> str:
        r = self.r
        if not depth or r.random() < 0.15:
            return self.fill(r.choice(leaves if r.random() < 0.75 else _NUMBER), j)
        one, other = self.value(leaves, depth - 1, j), self.value(leaves, r.randrange(depth), j)
        if r.random() < 0.2:
            return r.choice(_ONE).replace("{0}", one).replace("{1}", r.choice(["x", "1.5", "np.inf", other]))
        return f"({r.choice(_PAIR[:9] if r.random() < 0.9 else _PAIR).format(one, other)})"

    def outermost(self) -> str:
        return f"for i in {self.fill(self.r.choice(_ROUNDS))}:"

    def inner(self) -> str:
        return f"  for j in {self.fill(self.r.choice(_PLACES))}:"

    def columns(self) -> list[str]:
        r = self.r
        lines = [f"{r.choice('ABC')}[:, j] {r.choice(['=', '+=', '-=', '*='])} {self.value(_COLUMN, 2)}" for _ in range(r.choice([1, 1, 2]))]  # fmt: skip
        return [self.outermost(), self.inner(), *[f"    {line}" for line in lines]]

    def abreast(self) -> list[str]:
        r = self.r
        product = r.choice(["np.dot(C[:, i], A[:, j])", "C[:, i] @ A[:, j]", "w @ A[:, j]", "w.dot(B[:, j])", "A[:, i] @ A[:, j]", "B[:i, i] @ A[:i, j]"])  # fmt: skip
        change = r.choice(
            [
                "A[:, j] -= C[:, i] * s",
                "A[:, j] = A[:, j] - s * w",
                "z[j] = s",
                "z[j] += s * x",
                "A[:, j] /= s + 2",
                "A[i, j] -= s",
            ]
        )
        return [self.outermost(), self.inner(), f"    s = {product}", f"    {change}"]

    def sheets(self) -> list[str]:
        r = self.r
        return [self.outermost(), f"  for j in {r.choice(['range(1, l)', 'range(l)', 'range(l - 2, -1, -1)'])}:", f"    {r.choice('TQ')}[:, :, j] {r.choice(['=', '+=', '*='])} {self.value(_SHEET, 2)}"]  # fmt: skip

    def moves(self) -> list[str]:
        r = self.r
        roll = "np.roll({0}, {1}, axis={2})"
        lines = []
        for _ in range(r.choice([1, 2])):
            name = r.choice("TTQ")
            value = roll.format(f"{name}[:, :, j]", r.choice(["k[j]", "j", "1", "-2", "b"]), r.choice([0, 1]))
            lines.append(f"    {name}[:, :, j] = {value}{r.choice(['', '', ' * x', f' + {name}[:, :, j]'])}")
        return [self.outermost(), "  for j in range(l):", *lines]

    def masks(self) -> list[str]:
        r = self.r
        mask = r.choice(
            ["M", "np.abs(Z) < 2", "abs(Z) <= x + 1", "A > x", "np.isnan(A)", "~M", "M & (B > 0)"]
        )
        lines = [f"  M = {mask}"] if r.random() < 0.6 else []
        lines += [
            f"  {line}"
            for line in r.sample(
                ["Z[M] = Z[M] ** 2 + c[M]", "J[M] += 1", "A[M] = B[M] * x - A[M]", "A[M] *= 0.5", "s += A[M].sum()", "A[A > y] = 0", "M[np.abs(Z) > 2] = False", "I[M] -= 3", "C[M] = np.sqrt(A[M])", "B[~M] = x", "z[q] = v[q] + u[q] * x", "A[i] = np.where(M[i], A[i], 0)"],
                r.choice([1, 2, 3]),
            )
        ]  # fmt: skip
        return [self.outermost(), *lines]

    def choices(self) -> list[str]:
        r = self.r
        j = "j"
        lines = []
        for _ in range(r.choice([1, 2, 3])):
            condition = self.fill(r.choice(_CONDITIONS), j)
            one, other = self.fill(r.choice(_WHOLE), j), self.fill(r.choice(_WHOLE), j)
            form = r.choice(["b = {one} if {c} else {other}", "if {c}: a += 1", "a = a // 2 if a % 2 == 0 else 3 * a + {one}", "if {c}: J[i, j] = {one}\n    else: J[i, j] = {other}", "a = min(a + 1, {one})",
                             "b = max({one}, {other}, a)", "J[i, j] = min(J[i - 1, j] + 1, J[i, j - 1] + 1, J[i - 1, j - 1] + {one} % 3)", "a += {one} * {other}", "a = ({one} + 2 * {other}) % 1000", "b = {one} ^ ({other} << 3) & 255",
                             "v[j] = v[{one} % m] + x", "z[k[j]] += x", "if {c}: break", "if {c}: continue", "I[i, j] = {one}", "s += A[i, j] if {c} else B[i, j]", "a = abs({one} - {other})", "b = {one} // {other}"])  # fmt: skip
            lines += [
                f"    {line.strip()}" for line in form.format(c=condition, one=one, other=other).split("\n")
            ]
        return [self.outermost(), self.inner(), *lines]

    def sums(self) -> list[str]:
        r = self.r
        leaves = [
            "A[i, j]",
            "B[i, j]",
            "v[j]",
            "u[j]",
            "w[i]",
            "x",
            "y",
            "s",
            "A[i - 1, j]",
            "A[i, j - 1]",
            "z[j]",
        ]
        lines = []
        for _ in range(r.choice([2, 3, 5])):
            target = r.choice(["s", "x", "A[i, j]", "z[j]", "y", "s"])
            lines.append(
                f"    {target} {r.choice(['=', '=', '+=', '*='])} {self.value(leaves, 2).replace('% ', '- ')}"
            )
        return [self.outermost(), self.inner(), *lines]

    def rows(self) -> list[str]:
        r = self.r
        lines = [
            f"  {r.choice(['A[i]', 'B[i]', 'z[:]', 'v', 'A[i, 1:]', 's', 'A[i - 1]', 'A[i, ::-1]'])} {r.choice(['=', '=', '+=', '-='])} {self.value(_ROW, 2, 'i')}"
            for _ in range(r.choice([1, 2, 3]))
        ]
        lines += r.choice([[], [], ["  s += A[i].sum() + A[i].max()"], ["  a += np.argmin(A[i])"], ["  x = np.median(A[i]) + A[i].std()"], ["  if A[i, 0] > x: break"]])  # fmt: skip
        return [self.outermost(), *[line.replace("  v =", "  v = v *") for line in lines]]

    def tables(self) -> list[str]:
        r = self.r
        leaves = [
            "A",
            "B",
            "C",
            "A[:, i:i + 1]",
            "B[i]",
            "u",
            "J",
            "I",
            "np.outer(w, u)",
            "np.outer(A[:, 0], B[0])",
        ]
        return [self.outermost(), *[f"  {r.choice(['A[:]', 'B[1:]', 'C', 'A[i]', 'A'])} {r.choice(['=', '+=', '-='])} {self.value(leaves, 2, 'i')}" for _ in range(r.choice([1, 2]))]]  # fmt: skip

    def outer(self) -> list[str]:
        r = self.r
        return [self.outermost(), f"  A -= np.outer({r.choice(['w', 'A[:, i % m]', 'B[:, 0] * x'])}, {r.choice(['u', 'A[i % n]', 'v / y'])})", f"  J = J % {r.choice(['7', 'I', '(I + 10)', 'b', '-3'])}", f"  s += np.clip(A, {r.choice(['-1', '-0.0', 'x', 'np.nan'])}, {r.choice(['1', 'y', '0.0'])}).sum()"]  # fmt: skip

    def while_(self) -> list[str]:
        r = self.r
        return [f"while {r.choice(['a < 40', 'a < 40 and s < 1e9', 'not a > 40', 'abs(s) < 50 and a < 90'])}:", "  a += 1", f"  {r.choice(['s += x * a', 's = s * 0.5 + A[a % n, 0]', 'A[:] = A * 0.5 + B', 'v[:] = v * 0.9 + u', 's += v[a % m]', 'z[a % m] = s'])}", f"  {r.choice(['b = a % 7', 'if b > 3: b -= 1', 'x = x / 2', 'A[1:-1] = (A[:-2] + A[2:]) * x', 'J[0, a] = 3'])}"]  # fmt: skip

    def program_of_rows(self) -> list[str]:
        r = self.r
        return [f"for i in {r.choice(['range(1, n)', 'range(n)', 'range(n + 1)'])}:", f"  for j in {r.choice(['range(1, m)', 'range(m)', 'range(m, -1, -1)'])}:", f"    {r.choice(['J[i, j] = max(J[i - 1, j], J[i - 1, j - 1] + i8[i])', 'A[i, j] = max(A[i - 1, j], A[i - 1, j - 1] + w[i])', 'A[i, j] = A[i - 1, j] + A[i, j - 1] * x', 'z[j] = max(z[j], z[j - a] + w[i])', 'J[i, j] = J[i - 1, j] + (J[i, j - b] if j >= b else 0)'])}"]  # fmt: skip
