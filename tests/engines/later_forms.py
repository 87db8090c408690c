"""Random programs of the forms that came later: masks that limits tell, rounds made point by point, statements where a comparison
holds, extremes along axes, tables whose rounds are left in the middle, complex products, items of lists and tuples that are numbers."""

from __future__ import annotations

from forms import FormMaker

_LIMITS = ["np.logical_and({0} <= A, A < {1})", "(A >= {0}) & (A < {1})", "({0} < A) & (A <= {1})", "A < {1}", "{0} >= A", "np.logical_and(A > {0}, {1} > A)", "(A > {0}) & (B < {1})", "~(A > {0})", "(A > {0}) & (A > x) & (A < {1})"]  # fmt: skip
_BOUNDS = [
    "i * 0.5 - 2",
    "x",
    "y",
    "i",
    "w[i]",
    "-np.inf",
    "np.inf",
    "np.nan",
    "0.0",
    "-0.0",
    "u[i % m]",
    "b",
]
_MASKED = ["s += A[M].sum()", "s += B[M].sum()", "s += A[M].mean()", "z[i % m] = B[M].max()", "J[M] += 1", "I[M] = i", "d = A[M]", "B[M] = A[M] * x", "a += M.sum()", "s += np.sqrt(A[M]).sum()", "A[M] = 0", "d = A[M]; s += d.std()", "q[i % m] = M.any()", "s += len(A[M])"]  # fmt: skip
_INSIDE = ["np.less(np.abs(Z), 2.0)", "abs(Z) < 2", "np.abs(Z) <= y", "A > x", "M & (A < y)", "np.isnan(A)", "A * A < 2", "J < 5", "abs(c) < i", "A > i", "np.greater(B, 0)"]  # fmt: skip
_POINTS = ["J[M] = i", "Z[M] = Z[M] ** 2 + c[M]", "Z[M] = Z[M] * Z[M] + c[M]", "A[M] = A[M] * x + B[M]", "B[M] += A[M]", "A[M] -= x", "J[M] += 1", "A[M] = np.sqrt(A[M])", "C[M] = A[M] / B[M]", "I[M] = J[M] * 2", "Z[M] *= c[M]", "A[M] = A[M] ** 2", "A[M] = i", "J[M] = a"]  # fmt: skip
_HOLDS = [
    "A > 0",
    "A < x",
    "B != 0",
    "x < B",
    "A == A",
    "J > 2",
    "v > 0",
    "A >= y",
    "C > -9e9",
    "-1 < v",
    "B <= 1e300",
]
_THERE = ["{0}[{c}] = {0}[{c}] ** 2", "{0}[{c}] = {0}[{c}] * {1}[{c}] + x", "{0}[{c}] = 1 / {1}[{c}]", "{0}[{c}] = {0}[{c}] ** -1.5", "{0}[{c}] = -{1}[{c}]", "{0}[{c}] = {1}[{c}] - {0}[{c}] * y", "{0}[{c}] = x", "{0}[{c}] += 1", "{0}[{c}] = {1}[{c}]", "{0}[{c}] = {0}[{c}] // 2"]  # fmt: skip
_EXTREMES = ["v = np.max({0}, axis=0)", "k = np.argmax({0}, axis=0)", "w = ({0}).max(axis=1)", "k = np.argmin({0}, axis=1)", "v = ({0}).min(0)", "s += np.max({0})", "a += np.argmax({0})", "B = B - np.max({0}, axis=1, keepdims=True)", "v = ({0}).sum(axis=0)", "w = np.mean({0}, axis=1)",
             "v = np.std({0}, axis=0)", "z[:] = np.max({0}, axis=0)", "J[i] = np.argmax({0}, axis=0)", "s += ({0}).min(axis=1).sum()", "q = np.any({0} > 1, axis=0)", "v = np.cumsum({0}, axis=1)[0]", "w = np.linalg.norm({0}, axis=1)", "v = np.median({0}, axis=0)", "d = np.max(np.abs({0}))"]  # fmt: skip
_OPERANDS = ["A", "A + u", "A * x", "A * i", "B - A", "A[:, :3]", "C + w[:, None]", "np.abs(A)", "J", "M", "A.T", "A[::-1]", "c.real", "T[:, :, 0]", "(A + B) * u", "A[i:]", "A[:, i:]", "I", "A[:0]"]  # fmt: skip
_TABLES = ["A[i, j] = A[i - 1, j] + {v}", "J[i, j] = J[i - 1, j - 1] + I[i, j]", "A[i] = B[i] * {v}", "T[i, j] = {v}", "A[i, 1:] += {v}", "Z[i, j] = Z[i, j - 1] * c[i, j]", "I[i, j] = {v}", "z[j] = {v}", "A[i, j] *= {v}", "C[i, j - 1 : j + 1] = {v}", "M[i, j] = A[i, j] > {v}", "A[:, j] = {v}", "C[i, j] = A[i, j] if M[i, j] else {v}"]  # fmt: skip
_FAILING = ["a = 1 // (3 - i)", "b = 7 // (a - i - j)", "s += u[i + j]", "x = A[i, j] / s if j == 3 else x", "if i == 3 and j == 2: break", "a = text[i * j]", "b = a << i * 9", "a += 2**61 * (i > 2)", "s = np.sqrt(3.5 - i)", "if j > i + 3: a = [][0]", "np.exp(A[i, j] * 1e3)", "u[j] = 1 / (2 - i)", "pass"]  # fmt: skip
_COMPLEX = ["Z[i, j] = c[i, j] * c[i, j - 1]", "Z[:, j] = Z[:, j] * c[:, j] * x", "Z *= c", "Z[i] = c[i] * c[i - 1] + Z[i]", "s += (Z[i] * np.conj(c[i])).real.sum()", "Z[i] = Z[i] ** 2 + c[i]", "s += abs(Z[i, j])", "Z = Z * Z + c", "Z[i] *= c[i, j]", "Z[i] = c[i] * x", "Z[i, j] += 1j * x", "Z += c * (1 + 2j)",
            "Z[i] = np.exp(1j * A[i])", "A[i] = np.abs(c[i] * Z[i])", "Z[i] = c[i] / Z[i]", "Z[i] = np.where(M[i], Z[i], c[i])", "Z[i, ::2] = c[i, ::2] * Z[i, ::2]", "s += (c[i] * c[i]).sum().real", "z[j] = (Z[i, j] * c[i, j]).imag", "Z[:, j] *= 2", "Z[i] = -c[i] * c[i][::-1]"]  # fmt: skip
_ITEMS = ["b = L[j % len(L)]", "found.append(L[i % len(L)])", "b = L[i % len(L)] if i % 2 else b", "L[j % len(L)] = b", "a = L[-1]; b = a", "b, a = a, b", "b = max(L[j % len(L)], b)", "found.append(b)", "b = u[j]; found.append(b)", "x = L[0]; L[0] = x", "b = min(L)", "found.append(i)", "b = L[j % len(L)] + 0", "if b is L[0]: s += 1", "b = abs(b)"]  # fmt: skip


class LaterMaker(FormMaker):
    """Makes one program."""

    def nest(self) -> list[str]:
        return self.r.choice([self.limits, self.limits, self.points, self.points, self.holding, self.extremes, self.left, self.left, self.products, self.items])()  # fmt: skip

    def limits(self) -> list[str]:
        r = self.r
        mask = r.choice(_LIMITS).format(*(self.fill(r.choice(_BOUNDS)) for _ in range(2)))
        lines = [f"  M = {mask}", *(f"  {each}" for each in r.sample(_MASKED, r.choice([1, 1, 2])))]
        if r.random() < 0.3:
            lines = [each.replace("[M]", f"[{mask}]") for each in lines[1:]]
        return [
            r.choice(["for i in range(n):", "for i in range(3 * n):", "for i in range(9):"]).replace(
                "3 * n", "n"
            ),
            *lines,
        ]

    def points(self) -> list[str]:
        r = self.r
        lines = [
            f"  M = {r.choice(_INSIDE)}",
            *(f"  {each}" for each in r.sample(_POINTS, r.choice([1, 2, 2, 3]))),
        ]
        if r.random() < 0.15:
            lines.insert(r.randrange(1, len(lines) + 1), f"  {r.choice(['s += M.sum()', 'if not M.any(): break', 'A = A * x', 'M = M & (A < y)', 'x = x * 0.5', 'a += 1', 'B[:] = A'])}")  # fmt: skip
        return [
            f"for i in {r.choice(['range(n)', 'range(9)', 'range(40)', 'range(1, 30)', 'range(3, 0, -1)'])}:",
            *lines,
        ]

    def holding(self) -> list[str]:
        r = self.r
        condition = r.choice(_HOLDS)
        names = (
            "vuz"
            if condition.startswith("v") or condition.endswith("v")
            else "ABC"
            if r.random() < 0.9
            else "JIM"
        )
        lines = [
            f"  {r.choice(_THERE).format(r.choice(names), r.choice(names), c=condition)}"
            for _ in range(r.choice([1, 1, 2]))
        ]
        return [self.outermost(), *lines]

    def extremes(self) -> list[str]:
        r = self.r
        return [self.outermost(), *(f"  {r.choice(_EXTREMES).format(r.choice(_OPERANDS))}" for _ in range(r.choice([1, 2, 2])))]  # fmt: skip

    def left(self) -> list[str]:
        """Rounds that store, and may then be left in their middle."""
        r = self.r
        lines = [f"    {r.choice(_TABLES).replace('{v}', self.value(['A[i, j]', 'B[i, j]', 'u[j]', 'w[i]', 'A[i, j - 1]'], 1))}" for _ in range(r.choice([1, 2]))]  # fmt: skip
        lines.insert(r.randrange(len(lines) + 1), f"{r.choice(['  ', '    ', '    '])}{r.choice(_FAILING)}")
        if lines[0].startswith("  ") and not lines[0].startswith("    "):
            lines[0] = f"  {lines[0]}"
        cut = next((k for k, each in enumerate(lines) if not each.startswith("    ")), len(lines))
        lines[cut:] = [f"    {each.strip()}" if k > cut else each for k, each in enumerate(lines[cut:], cut)]
        body = lines if cut == len(lines) else [*lines[:cut], *([] if cut else ["    pass"]), f"  {lines[cut].strip().replace('j', 'i')}", *(["  for j in range(m):", *lines[cut + 1 :]] if lines[cut + 1 :] else [])]  # fmt: skip
        return [
            r.choice(["for i in range(n):", "for i in range(1, n):"]),
            self.inner(),
            *[each.replace("breai", "break") for each in body],
        ]

    def products(self) -> list[str]:
        r = self.r
        lines = r.sample(_COMPLEX, r.choice([1, 2]))
        if not any("j]" in each or "j - 1" in each for each in lines):
            return [self.outermost(), *(f"  {each}" for each in lines)]
        return [self.outermost(), self.inner(), *(f"    {each}" for each in lines)]

    def items(self) -> list[str]:
        r = self.r
        made = r.choice(["[2.5, 3.5, 1.25]", "[10**9, 3, 10**9 + 1]", "list(u)", "(0.5, 1.5)", "[1, 2.5]", "u.tolist()", "list(range(300, 309))", "[True, False]", "[x, x, y]", "[np.float64(2.5), 2.5]"])  # fmt: skip
        lines = [f"    {each}" for each in r.sample(_ITEMS, r.choice([1, 2, 3]))]
        return [f"L = {made}", "found = []", self.outermost(), self.inner(), *lines,
                "s = s, found[:40], str(type(b)), L"]  # fmt: skip
