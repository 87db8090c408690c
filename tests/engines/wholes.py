"""Random programs of whole shapes: classes with methods, closures, generators, comprehensions around loops, dataclasses that
hold arrays, `try` and `finally` around loops and in them, early returns, recursion, names that are bound anew on the way; and
arrays of all sorts that pass by: packed fields, other byte orders, `float16`, `longdouble`, objects, dates, subclasses."""

from __future__ import annotations

import random

SETUP = """
import copy, dataclasses, math, pickle, sys, warnings
rng = np.random.default_rng({seed})
n, m, x, y, t = {n}, {m}, {x}, {y}, {t}
base = rng.standard_normal(2 * n + 1) * {scale}
grid = rng.standard_normal((n, m)) * {scale}
whole = rng.integers(-5, 6, n)
special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1e308, 5e-324])
class Tagged(np.ndarray):
    tag = None
    def __array_finalize__(self, other):
        self.tag = getattr(other, 'tag', 0)
class Stop(Exception):
    pass
def attempt(f, *arguments):
    try:
        return f(*arguments)
    except (Exception, Stop) as error:
        return type(error).__name__, str(error)
a, b = {a}, {b}
c = {c}
p = {p}
{special}
"""

# A vector of n numbers.
_VECTORS = [
    "base[:n].copy()", "base[:n].copy()", "base[:n].copy()", "base[:n].copy()", "np.abs(base[:n])", "whole.copy()", "whole.copy()", "base[::2][:n]", "base[n - 1::-1]", "grid[:, 0]", "grid.T[-1]",
    "base[:n].astype(np.float32)", "whole.astype(np.int32)", "whole.astype(np.uint8)", "whole.astype(np.int8)", "base[:n] > 0", "base[:n] + 1j * base[n:2 * n]", "(base[:n] * (1 + 2j)).astype(np.complex64)",
    "base[:n].astype(np.float16)", "base[:n].astype(np.longdouble)", "base[:n].astype('>f8')", "whole.astype('>i4')", "base[:n].astype(object)", "whole.astype(object)", "whole.astype('M8[D]')", "whole.astype('m8[s]')",
    "np.zeros(n, [('k', 'i1'), ('x', 'f8')])['x']", "np.rec.fromarrays([base[:n], whole], names='x,k')['x']", "np.rec.fromarrays([base[:n], whole], names='x,k')", "np.asmatrix(base[:n])", "np.ma.array(base[:n], mask=whole > 2)",
    "base[:n].view(Tagged)", "np.broadcast_to(np.float64(2.5), n)", "np.frombuffer(base[:n].tobytes())", "np.array(2.5)", "np.zeros(0)", "list(base[:n])", "whole.tolist()", "np.full(n, np.nan)", "np.zeros(n, 'S3')",
    "np.lib.stride_tricks.as_strided(base, (n,), (0,))", "np.frombuffer(bytearray(8 * n + 1), offset=1, count=n)", "base[:n].reshape(n, 1)", "whole.astype(np.uint64)", "whole + 2**62",
]  # fmt: skip
_SHARED = ["a", "a[::-1]", "a[:]", "base[1:n + 1]", "base[:n]", "grid[:, m - 1]"]
_MATRICES = ["grid", "grid.copy()", "np.asfortranarray(grid)", "grid[::-1]", "grid.astype(np.float32)", "grid.astype(np.float16)", "grid.astype('>f8')", "np.asmatrix(grid)", "np.ma.array(grid)", "np.zeros((n, m), int)",
             "np.zeros((n, m), complex)", "grid.astype(object)", "grid[:, ::-1]", "np.lib.stride_tricks.sliding_window_view(base, m)[:n]", "grid.view(Tagged)", "np.zeros((n, 0))", "np.zeros((n, m), bool)", "grid.astype(np.longdouble)"]  # fmt: skip
_NUMBERS = ["0.5", "2", "3", "-1", "0.0", "np.float64(1.5)", "np.float32(0.1)", "np.int64(7)", "True", "1e200", "2**40", "2**63", "1j", "np.float16(2)", "np.longdouble(3)", "np.array(2.0)", "float('nan')", "np.bool_(True)",
            "np.uint8(250)", "fractions.Fraction(1, 3)", "decimal.Decimal('1.5')", "None", "'s'"]  # fmt: skip
_SPECIAL = ["", "", "", "", "base[::3] = special[rng.integers(0, 8, base[::3].size)]", "grid.flat[::5] = special[rng.integers(0, 8, grid.flat[::5].size)]", "a.flags.writeable = False", "b.flags.writeable = False", "warnings.simplefilter('error')",
            "np.seterr(all='raise')", "np.seterr(all='ignore')", "np.seterr(over='call'); np.seterrcall(lambda *_: None)", "c.flags.writeable = False", "a = np.concatenate([a, a]); a = a[:n]"]  # fmt: skip

_LEAVES = [
    "{A}[i]",
    "{A}[i]",
    "{B}[i]",
    "{B}[i - 1]",
    "{A}[-1]",
    "{X}",
    "{Y}",
    "i",
    "2",
    "0.5",
    "{S}",
    "{C}[i, 0]",
    "{C}[i - 1, -1]",
    "whole[i]",
    "{A}[i % 3]",
]
_TWO = ["{0} + {1}", "{0} - {1}", "{0} * {1}", "{0} + {1}", "{0} * {1}", "{0} / {1}", "{0} % {1}", "{0} // {1}", "min({0}, {1})", "max({0}, {1})", "np.maximum({0}, {1})", "{0} ** 2", "({0} if {0} > {1} else {1})", "np.hypot({0}, {1})"]  # fmt: skip
_ONE = ["abs({0})", "-{0}", "np.sqrt({0})", "math.sqrt({0})", "np.exp({0})", "math.floor({0})", "float({0})", "int({0})", "np.abs({0})", "help_({0}, {X})", "np.float64({0})", "round({0})", "math.exp({0})", "np.isnan({0})", "bool({0})"]  # fmt: skip
# Of as many elements as a row of the matrix has, as the vectors have, as many less one; and of the matrix.
_ROWS = [
    "{C}[i]",
    "{C}[i - 1]",
    "{C}[0]",
    "grid[i]",
    "{X}",
    "{Y}",
    "{C}[i, :]",
    "{A}[i]",
    "2",
    "{C}[-1, ::-1]",
    "p[i]",
]
_ALL = ["{A}", "{B}", "{A}", "{B}[::-1]", "{C}[:, 0]", "{X}", "{Y}", "whole", "0.5", "{C}.T[-1]", "base[:n]"]
_PARTS = ["{A}[1:]", "{B}[:-1]", "{A}[:-1]", "{B}[1:]", "{X}", "{C}[1:, 0]", "whole[:-1]", "base[2:n + 1]"]
_SHEETS = ["{C}", "{C}", "p", "grid", "{A}[:, None]", "{X}", "{C}[::-1]", "{C}[0]", "p[:, ::-1]", "2"]
_PAIRS = ["{0} + {1}", "{0} - {1}", "{0} * {1}", "{0} + {1}", "{0} * {1}", "{0} / {1}", "{0} % {1}", "{0} // {1}", "np.minimum({0}, {1})", "np.maximum({0}, {1})", "{0} ** 2", "np.where({0} > {1}, {0}, {1})", "np.hypot({0}, {1})", "np.add({0}, {1})", "np.arctan2({0}, {1})"]  # fmt: skip
_EACH = ["np.abs({0})", "-{0}", "np.sqrt(np.abs({0}))", "np.sqrt({0})", "np.exp({0})", "np.floor({0})", "np.tanh({0})", "np.clip({0}, -1, 1)", "help_({0}, {X})", "np.sign({0})", "np.isnan({0})", "np.square({0})", "np.roll({0}, 1)", "np.round({0}, 1)"]  # fmt: skip
_OVER = [
    "range(n)",
    "range(1, n)",
    "range(n - 1, -1, -1)",
    "range(n + 1)",
    "range(0, n, 2)",
    "range(len({A}))",
    "range({C}.shape[0])",
    "range(-3, n)",
    "range(m)",
    "range({B}.size)",
]
_ELEMENTS = [
    "{A}",
    "{B}",
    "whole",
    "zip({A}, {B})",
    "enumerate({A})",
    "zip({A}, whole)",
    "enumerate({B}, 1)",
    "{C}[0]",
    "{A}[::-1]",
    "list({A})",
    "{C}",
]
_STATES = ["all='raise'", "all='ignore'", "divide='raise'", "over='warn'", "invalid='raise'", ""]
_OUTSIDE = ["np.sqrt = np.cbrt", "np.exp, np.abs = np.log, np.negative", "n += 1", "x, y = y, x", "x = float(x)", "help_ = abs", "range = reversed_range", "a, b = b, a", "whole = whole[::-1]", "np.maximum = np.minimum", "abs = np.abs",
            "min = max", "math.sqrt = math.exp", "x = np.float64(x)", "a = a[1:]", "math = np", "int = float", "c = c.T", "x = x + 1"]  # fmt: skip


class WholeMaker:
    """Makes one program."""

    def __init__(self, seed: int) -> None:
        self.r = random.Random(seed)
        self.names: dict[str, str] = {}
        self.count = 0

    def program(self) -> str:
        r = self.r
        plain = r.random() < 0.6  # arrays of the kinds that loops and blocks are made for
        vectors = _VECTORS[: 12 if plain else None]
        setup = SETUP.format(
            seed=r.randrange(10_000), n=r.choice([1, 2, 5, 8, 9, 20, 40]), m=r.choice([2, 3, 4, 5, 8, 17]), x=r.choice(_NUMBERS[: 9 if plain else None]),
            y=r.choice(_NUMBERS[: 9 if plain else None]), t=r.choice(["0", "0.0", "1", "np.float64(0)"]), scale=r.choice([1, 1, 1, 10, "1e155", "1e-310", 0]), a=r.choice(vectors),
            b="base[n:2 * n]", c=r.choice(_MATRICES[: 4 if plain else None]), p=r.choice(_MATRICES[:4]), special=r.choice(_SPECIAL),
        )  # fmt: skip
        if r.random() < 0.7:
            setup += f"b = {r.choice(vectors)}\n"
        else:
            setup += f"b = attempt(lambda: {r.choice(_SHARED)})\n"
        setup = setup.replace("import copy", "import copy, decimal, fractions")
        scenes = [self.model, self.closure, self.generator, self.comprehension, self.guarded, self.recursion, self.record, self.returns, self.frames, self.blocks, self.objects, self.module, self.changing]  # fmt: skip
        lines = [
            "def reversed_range(*given):",
            "    return kept_range(*given)[::-1]",
            "kept_range = range",
            "def help_(v, k=2):",
            f"    {r.choice(['return v * k', 'if v > k: return k', 'v += k', 'return v', 'w = v * v; return w - k', 'raise Stop(v)'])}",
            "    return v + 1" if r.random() < 0.8 else "    return None",
        ]
        for _ in range(r.choice([1, 1, 2, 2, 3])):
            self.count += 1
            lines += r.choice(scenes)(f"{self.count}")
        return setup + "\n".join(lines) + "\n"

    # ----- pieces

    def fill(self, text: str) -> str:
        names = {"A": "a", "B": "b", "C": "c", "X": "x", "Y": "y", "S": "s"} | self.names
        for key, value in names.items():
            text = text.replace("{" + key + "}", value)
        return text

    def value(self, depth: int, leaves: list[str] | None = None) -> str:
        """An expression of numbers, or of arrays of one shape."""
        r = self.r
        leaves, one_of, two_of = (leaves, _EACH, _PAIRS) if leaves else (_LEAVES, _ONE, _TWO)
        if not depth:
            return self.fill(r.choice(leaves))
        one = self.value(depth - 1, None if leaves is _LEAVES else leaves)
        if r.random() < 0.2:
            return self.fill(r.choice(one_of)).replace("{0}", one)
        other = self.value(r.randrange(depth), None if leaves is _LEAVES else leaves)
        return f"({self.fill(r.choice(two_of)).replace('{0}', one).replace('{1}', other)})"

    def simple(self) -> str:
        """A statement of a loop's body."""
        r = self.r
        form = r.choice([
            "{A}[i] = {v}", "{B}[i] = {v}", "{S} = {v}", "{S} += {v}", "{S} += {v}", "{B}[i] += {v}", "{C}[i, 0] = {v}", "{C}[i, i % m] += {v}", "{C}[i] = {r}", "{C}[i] += {r}", "{B}[1:] = {p}", "{S} = {S} + np.sum({r})", "{C}[i, :] -= {r}",
            "d = {r}; {C}[i] = d", "{A}[i], {B}[i] = {B}[i], {A}[i]", "{C}[:, i % m] = {a}", "{S} = np.dot({A}, {B})", "{B}[{A} > 0] = {X}", "{C}[i] = np.where({C}[i] > 0, {r}, {Y})", "{B} += {a}", "e = {A}[i]; {S} -= e * e", "{A}[...] = {a}", "{S} = ({a}).max()",
            "d = {a}; {B}[:] = d * d", "{C} *= {s}", "{S} += ({s}).mean()", "q = {a}; {S} = q[0]", "{A}[1:] -= {p}", "{A}[:-1] *= {p}",
        ])  # fmt: skip
        for key, leaves in (("{r}", _ROWS), ("{a}", _ALL), ("{p}", _PARTS), ("{s}", _SHEETS)):
            form = form.replace(key, self.value(r.choice([1, 1, 2]), leaves))
        return self.fill(form).replace("{v}", self.value(2))

    def odd(self) -> list[str]:
        """A statement that a compiled loop is left at, or that a loop does not have as a rule."""
        r = self.r
        v = self.value(1)
        return [
            each.replace("{v}", v)
            for each in map(
                self.fill,
                r.choice([
                    ["if {v} > 1: break"], ["if {v} < 0: continue"], ["if i == n - 2: raise Stop(i)"], ["try:", "  {S} = {v}", "except (ZeroDivisionError, TypeError):", "  {S} = i"], ["seen.append({v})"], ["if i == 2: seen.append(i)"],
                    ["assert {v} != 3, i"], ["with np.errstate(all='ignore'):", "  {S} = {v}"], ["if i > 2: {A}[n + i] = 1"], ["seen.append(locals().get('i'))"], ["if (z := {v}) > 0:", "  {S} = z"], ["{S} = eval('i + 1')"], ["seen.append((i, {A}[i]))"],
                    ["if i == 1: n_ = 7"], ["seen += [{v}]"], ["del i", "i = 1"], ["i += 1"], ["if {v} == {S}: pass", "else: {S} = 0"], ["while -9 < {S} < i: {S} += 1"], ["seen.append({A}[i:])"], ["for j in range(2): {B}[j] = {v}"], ["match i:", "  case 1: {S} = 0", "  case _: pass"],
                    ["seen.append(f'{i} {x}')"], ["{S} = (lambda q: q + i)({v})"], ["print(end='')"], ["seen.append({C}[i])"], ["{A}[i] /= i - 2"], ["global shown; shown = i"], ["{A} = {A} * 1"], ["{X} = {v}"],
                ]),
            )
        ]  # fmt: skip

    def loop(self, depth: int = 2) -> list[str]:
        """A loop, or two."""
        r = self.r
        if r.random() < 0.2:
            over = self.fill(r.choice(_ELEMENTS))
            names = "i_, e" if over.startswith(("zip", "enum")) else "e"
            head = [f"for {names} in {over}:", "  i += 1"]
        elif r.random() < 0.15:
            head = [
                f"at = {r.choice(['-1', '0', 'len(seen)'])}",
                self.fill(
                    r.choice(
                        ["while at < n - 1:", "while at + 1 < len({A}):", "while {S} < 9 and at < n - 1:"]
                    )
                ),
                "  at += 1",
                "  i = at",
            ]
        else:
            head = [f"for i in {self.fill(r.choice(_OVER))}:"]
        body: list[str] = []
        for _ in range(r.choice([1, 1, 2, 3])):
            body += self.odd() if r.random() < 0.15 else [self.simple()]
        if depth > 1 and r.random() < 0.3:
            body += self.loop(1) if r.random() < 0.2 else self.inner()
        lines = [*head, *[f"  {each}" for each in body]]
        if r.random() < 0.1:
            lines += ["else:", f"  {self.simple()}"]
        return lines

    def inner(self) -> list[str]:
        r = self.r
        body = self.value(2, [*_LEAVES, "{C}[i, j]", "{C}[i, j - 1]", "{A}[j]", "j", "{C}[i - 1, j]"])
        target = self.fill(r.choice(["{C}[i, j]", "{A}[j]", "{S}", "{C}[i, j]", "{B}[i]"]))
        lines = [f"for j in {r.choice(['range(m)', 'range(1, m)', 'range(i)', 'range(m - 1, 0, -1)', 'range(3)'])}:", f"  {target} {r.choice(['=', '=', '+=', '-=', '*='])} {body}"]  # fmt: skip
        return lines + (
            [
                f"  if {self.value(1)} > {self.fill('{Y}')}: {r.choice(['break', 'continue', 'seen.append(j)'])}"
            ]
            if r.random() < 0.2
            else []
        )

    def deep(self, lines: list[str], by: int = 1) -> list[str]:
        return ["  " * by + each for each in lines]

    # ----- scenes

    def model(self, k: str) -> list[str]:
        self.names = {
            "A": "self.a",
            "B": "self.b",
            "C": "self.c",
            "X": "self.x",
            "Y": "k",
            "S": self.r.choice(["self.s", "s"]),
        }
        base = self.r.choice(["", "", "(Base)", "(list)"])
        slots = ["  __slots__ = ('a', 'b', 'c', 'x', 's')"] if self.r.random() < 0.2 and not base else []
        property_ = (
            [
                "  @property",
                "  def x(self):",
                f"    return {self.r.choice(['2.5', 'self.a[0]', 'len(self.b)'])}",
            ]
            if self.r.random() < 0.15
            else []
        )
        lines = ["class Base:", "  x = 3", "  scale = 2.0", f"class Model{k}{base}:", *slots, *(property_ if not slots else []), "  def __init__(self, a, b, c):", "    self.a, self.b, self.c, self.s = a, b, c, 0.0"]  # fmt: skip
        lines += [] if property_ and not slots else ["    self.x = x"]
        lines += [
            "  def step(self, k):",
            "    s, i, seen = 0, -1, []",
            *self.deep(self.loop(), 2),
            "    return s, self.s, i, len(seen)",
        ]
        self.names = {}
        return [*lines, f"model{k} = attempt(Model{k}, a, b, c)", f"steps{k} = [attempt(lambda: model{k}.step({self.r.choice('xy')})) for _ in range(3)]",
                self.r.choice(["", f"model{k} = attempt(copy.deepcopy, model{k})", f"model{k}.x = 2", f"model{k}.a = model{k}.b", f"other{k} = attempt(lambda: pickle.loads(pickle.dumps(vars(model{k}))))", f"del model{k}.a"]) or "pass",
                f"more{k} = attempt(lambda: model{k}.step(x))"]  # fmt: skip

    def closure(self, k: str) -> list[str]:
        self.names = {"S": self.r.choice(["s", "held"])}
        body = self.loop()
        self.names = {}
        lines = [
            f"def make{k}(x):",
            "  held = t",
            "  def run(a, b, c, y):",
            "    nonlocal held",
            "    s, i, seen = t, -1, []",
            *self.deep(body, 2),
            "    return s, i, seen",
        ]
        return [
            *lines,
            "  def look():",
            "    return held, x",
            "  return run, look",
            f"run{k}, look{k} = make{k}(x)",
            f"runs{k} = [attempt(run{k}, a, b, c, y) for _ in range(3)], look{k}()",
        ]

    def generator(self, k: str) -> list[str]:
        r = self.r
        body = self.loop()
        give = r.choice(["yield s", "yield a[i % 2]", "yield a", "got = yield s", "yield from (i, s)"])
        lines = [
            f"def gen{k}(a, b, c, x, y):",
            "  s, i, seen = t, -1, []",
            *self.deep(body),
            *self.deep(["for i in range(3):", f"  {give}", f"  {self.simple()}"]),
        ]
        end = r.choice(
            [
                f"got{k} = attempt(lambda: list(gen{k}(a, b, c, x, y)))",
                f"got{k} = attempt(lambda: [e for e in gen{k}(a, b, c, x, y) for _ in range(2)])",
                f"g{k} = gen{k}(a, b, c, x, y)\ngot{k} = attempt(next, g{k}), attempt(lambda: g{k}.send(3)), attempt(lambda: list(g{k}))\ndel g{k}",
            ]
        )
        return [*lines, end, f"again{k} = attempt(lambda: sum(1 for _ in gen{k}(a, b, c, y, x)))"]

    def comprehension(self, k: str) -> list[str]:
        lines = [
            f"def work{k}(k, x, y, a, b, c):",
            "  s, i, seen = k, -1, []",
            *self.deep(self.loop()),
            "  return s",
        ]
        end = self.r.choice(["[attempt(work{k}, k, x, y, a, b, c) for k in range(3)]", "{k: attempt(work{k}, k, x, y, a, b, c) for k in range(3) if k != 1}", "list(map(lambda k: attempt(work{k}, k, x, y, a, b, c), range(3)))",
                             "[[attempt(work{k}, j + i, x, y, a, b, c) for i in range(j)] for j in range(3)]", "attempt(lambda: sum(a[i] * work{k}(i, x, y, a, b, c) for i in range(2)))", "sorted([1, 2, 0], key=lambda k: len(str(attempt(work{k}, k, x, y, a, b, c))))"])  # fmt: skip
        return [*lines, f"worked{k} = {end.replace('work{k}', 'work' + k)}"]

    def guarded(self, k: str) -> list[str]:
        r = self.r
        kind = r.choice(
            [
                "(IndexError, ZeroDivisionError)",
                "Exception as error",
                "FloatingPointError",
                "(Stop, ValueError) as error",
                "TypeError",
            ]
        )
        lines = [
            f"def guard{k}(a, b, c, x, y):",
            "  s, i, seen = t, -1, []",
            "  try:",
            *self.deep(self.loop(), 2),
        ]
        lines += [
            f"  except {kind}:",
            f"    {r.choice(['return i, s', 'seen.append(i)', 'raise Stop(i)', 's = None', 'raise', 'seen.append(sys.exc_info()[2].tb_lineno)'])}",
        ]
        if r.random() < 0.4:
            lines += ["  else:", *self.deep(self.loop(), 2)]
        if r.random() < 0.5:
            lines += [
                "  finally:",
                *self.deep(
                    r.choice([[self.simple()], self.loop(1), ["seen.append((i, s))"], ["return i"]]), 2
                ),
            ]
        if r.random() < 0.4:
            lines = [lines[0], lines[1], f"  with np.errstate({r.choice(_STATES)}):", *self.deep(lines[2:])]
        return [
            *lines,
            "  return s, i, seen",
            f"guarded{k} = [attempt(guard{k}, a, b, c, x, y) for _ in range(3)]",
        ]

    def recursion(self, k: str) -> list[str]:
        lines = [
            f"def deep{k}(k, a, b, c, x, y):",
            "  s, i, seen = 0, -1, []",
            "  if k <= 0: return x",
            *self.deep(self.loop()),
            f"  s += deep{k}(k - 1, b, a, c, y, x) {self.r.choice(['', f'+ deep{k}(k - 2, a, b, c, x, y)'])}",
        ]
        if self.r.random() < 0.5:
            lines += [
                "  for i in range(2):",
                f"    s += deep{k}(k - 2, a, b, c, x, y)",
                f"    {self.simple()}",
            ]
        return [*lines, "  return s", f"deepest{k} = [attempt(deep{k}, 3, a, b, c, x, y) for _ in range(2)]"]

    def record(self, k: str) -> list[str]:
        r = self.r
        self.names = {"A": "d.a", "B": "d.b", "C": "d.c", "X": "d.x", "S": r.choice(["s", "d.s"])}
        body = self.loop()
        self.names = {}
        given = r.choice(["", "", "(frozen=True)", "(slots=True)", "(eq=False)"])
        lines = [f"@dataclasses.dataclass{given}", f"class Data{k}:", "  a: object", "  b: object", "  c: object = None", "  x: float = 1.5", "  s: float = 0.0",
                 f"def use{k}(d, y):", "  s, i, seen = t, -1, []", *self.deep(body), "  return s, i, len(seen)", f"data{k} = Data{k}(a, b, c, {r.choice('xy')})",
                 f"used{k} = [attempt(use{k}, data{k}, y) for _ in range(3)]"]  # fmt: skip
        if r.random() < 0.4:
            lines += [
                f"data{k} = attempt(lambda: dataclasses.replace(data{k}, a=b, x=2))",
                f"used{k}.append(attempt(use{k}, data{k}, y))",
            ]
        return lines

    def returns(self, k: str) -> list[str]:
        r = self.r
        lines = [
            f"def find{k}(a, b, c, x, y):",
            "  s, i, seen = t, -1, []",
            f"  for j in {r.choice(['range(3)', 'range(m)', 'whole'])}:",
            *self.deep(self.loop(1), 2),
            f"    if {self.value(1)} > {self.value(0)}: return i, j, s",
            "    s += 1",
        ]
        return [
            *lines,
            f"  {r.choice(['return None', 'return a', 'pass', 'return s, b', 'return a[0], c[0]'])}",
            f"found{k} = [attempt(find{k}, a, b, c, x, y) for _ in range(3)]",
        ]

    def frames(self, k: str) -> list[str]:
        r = self.r
        look = r.choice(
            [
                "left = sorted(map(str, locals()))",
                "left = {k: v for k, v in locals().items() if k in ('i', 's', 'x')}",
                "left = eval('(i, s)')",
                "left = vars()['s']",
                "exec('s = 5'); left = s",
                "left = sys._getframe().f_locals['i']",
                "left = [i for i in range(3)] + [i]",
                "left = dir()",
            ]
        )
        lines = [
            f"def look{k}(a, b, c, x, y):",
            "  s, i, seen = t, -1, []",
            *self.deep(self.loop()),
            f"  {look}",
            "  return left, s",
            f"looks{k} = [attempt(look{k}, a, b, c, x, y) for _ in range(3)]",
        ]
        return lines

    def blocks(self, k: str) -> list[str]:
        """Expressions of whole arrays, in a function that is given other ones."""
        r = self.r
        lines = [f"def whole{k}(a, b, c, x, y):"]
        for _ in range(r.choice([1, 2, 3, 4])):
            v = self.value(2, r.choice([_ALL, _ALL, _SHEETS]))
            form = r.choice(["  d = {v}", "  d = {v}", "  a = {v}", "  c[...] = {v}", "  a[1:] = {p}", "  a[:-1] += {p}", "  b += {v}", "  d = np.sum({v})", "  d = ({v}).max(axis=0)", "  c[1:-1] = {v}", "  a *= {v}", "  d = np.mean({v}, axis=-1)", "  d = np.sqrt(np.abs({v}))",
                             "  if np.any(a > 0): d = {v}", "  d = np.clip({v}, -1, x)", "  d = np.where({v} > 0, a, b)", "  d = np.exp(-({v}) ** 2)", "  d = np.sort({v})", "  d = np.argmax({v})", "  d = np.cumsum({v})", "  d = ({v}).astype(np.float32)"])  # fmt: skip
            lines.append(form.replace("{v}", v).replace("{p}", self.value(2, _PARTS)))
        lines.append("  return locals().get('d', a), a")
        other = r.choice(
            [
                "a, b",
                "b, a",
                "c, c",
                "c, p",
                "whole, a",
                "a[:0], b[:0]",
                "a.T, b.T",
                "base, base",
                "base[1:], base[:-1]",
                "grid[0], grid[-1]",
                "x, y",
                "np.array(1.5), np.array(2)",
            ]
        )
        return [
            *lines,
            f"wholes{k} = [attempt(whole{k}, a, b, c, x, y) for _ in range(2)], attempt(lambda: whole{k}({other}, p, y, x)), attempt(whole{k}, a, b, c, x, y)",
        ]

    def objects(self, k: str) -> list[str]:
        """What passes by inside of lists, dictionaries, structured arrays."""
        r = self.r
        self.names = {
            "A": r.choice(["box['a']", "rows[0]", "rec['x']", "pair[0]"]),
            "B": r.choice(["box['b']", "rows[1]", "rec['k']", "b"]),
            "C": r.choice(["box['c']", "c", "rec['m']"]),
            "X": r.choice(["x", "box['x']", "rec[0]['x']"]),
        }
        body = self.loop()
        self.names = {}
        dtype = r.choice(
            [
                "[('x', 'f8'), ('k', 'i8'), ('m', 'f8', (m,))]",
                "[('k', 'i1'), ('x', 'f4'), ('m', 'i2', (m,))]",
                "np.dtype([('x', '>f8'), ('k', 'u1'), ('m', 'c16', (m,))], align=True)",
            ]
        )
        return [f"rec = np.zeros(n, {dtype})", "rec['x'] = attempt(lambda: base[:n].real)", "box, rows, pair = {'a': a, 'b': b, 'c': c, 'x': x}, [a, b], (a, b)", f"def pass{k}(box, rows, pair, rec, b, c, x, y):", "  s, i, seen = t, -1, []", *self.deep(body),
                "  return s, i, seen", f"passed{k} = [attempt(pass{k}, box, rows, pair, rec, b, c, x, y) for _ in range(3)]", r.choice(["box['a'] = box['b']", "rows.reverse()", "rec = rec[::-1]", "box['x'] = 2", "rows[0] = rows[0] * 1", "rec = rec.copy()"]),
                f"passed{k}.append(attempt(pass{k}, box, rows, pair, rec, b, c, x, y))"]  # fmt: skip

    def module(self, k: str) -> list[str]:
        """Loops of the module itself."""
        lines = [
            "s, i, seen = t, -1, []",
            "try:",
            *self.deep(self.loop()),
            "except Exception as error:",
            f"  kept{k} = type(error).__name__, str(error)",
        ]
        if self.r.random() < 0.4:
            lines = ["for again in range(3):", *self.deep(lines)]
        return [*lines, f"left{k} = i, s"]

    def changing(self, k: str) -> list[str]:
        """Names that the loop has from outside are bound anew between its runs, or in one."""
        r = self.r
        lines = [
            f"def now{k}():",
            "  s, i, seen = t, -1, []",
            *self.deep([each for each in self.loop() if " global " not in each]),
            "  return s, i, seen",
        ]
        change = r.choice(_OUTSIDE)
        name = change.split(" ")[0].rstrip(",")
        restore = [f"{name} = kept_{k}"] if "." in name else []
        keep = [f"kept_{k} = {name}"] if "." in name else []
        if change.startswith("np.exp"):
            keep, restore = [f"kept_{k} = np.exp, np.abs"], [f"np.exp, np.abs = kept_{k}"]
        return [
            *lines,
            f"nows{k} = [attempt(now{k}) for _ in range(2)]",
            *keep,
            change,
            f"nows{k} += [attempt(now{k}) for _ in range(2)]",
            *restore,
            f"nows{k}.append(attempt(now{k}))",
        ]
