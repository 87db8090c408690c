"""Every kind of statement and expression, rewritten: the same results, tracebacks, lines, positions and order."""

# The programs are easier to read on one line.
# ruff: noqa: E501

from __future__ import annotations

import builtins
import inspect
import linecache
import re
import sys
import traceback
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import DEFAULT, DEVICE, OPERATORS, assert_same_positions, assert_same_tree

from minpy.places import ALERT
from minpy.runtime import entry
from minpy.transform import rewriter

BOTH = pytest.mark.parametrize("options", [DEFAULT, OPERATORS], ids=["calls", "operators"])
ALL = pytest.mark.parametrize("options", [DEFAULT, OPERATORS, DEVICE], ids=["calls", "operators", "device"])
IDLE = entry.routed

HEAD = """\
import numpy as np
import asyncio
from numpy import exp as e, linalg
import numpy.linalg as la
a = np.arange(6.0).reshape(2, 3) + 1
b = np.ones((2, 3))
n = [3][0]
log = []
def say(value, *rest, **more):
    log.append(value)
    return value
"""

# Each runs after HEAD; what it leaves in its names is compared.
PROGRAMS = {
    "expression statement": "np.exp(a)\na + b",
    "assign": "x = y = np.exp(a) * 2 - b",
    "assign targets": "x, (y, *z) = np.zeros(1) + 1, (n + 1, n - 1, ~n)\nd = {}\nd[n + 1] = n * 2",
    "annotated assign": "x: np.ndarray = np.zeros(2) + n\ny: int",
    "augmented assign": "x = np.zeros(3)\nx += np.ones(3) * n\nx[n - 2] *= -n",
    "delete": "x = [1, 2, 3]\ndel x[n - 2]\ny = np.array(x)",
    "assert": "assert np.all(a > 0), 'no' + 'pe'\nassert n + 1 == 4",
    "if": "if n + 1 > 3 and np.any(a == 1):\n    x = np.exp(a)\nelif n * 2 == 6:\n    x = 0\nelse:\n    x = -n",
    "while": "i = 0\nwhile i + 1 < n:\n    i = i + 1\nelse:\n    x = np.full(2, i * 2)",
    "while and": "i = 0\nwhile i < n and n > 1:\n    i += 1\nwhile(i):i -= 1\nx = np.sum(np.ones(2) * i)",
    "while or": "i = 0\nwhile not (i > n or np.any(a > 9)) and n:\n    i += 1\nx = np.sum(np.ones(2) * i)",
    "while with lines": "i = 0\nwhile (\n    i\n    < n\n):\n    i += 1\nwhile (i\n   > 0):\n    i -= 1\nx = np.sum(np.ones(2) * i)",
    "while if": "i = 0\nwhile i < n if n else False:\n    i += 1\nwhile (lambda: i)() > 0:\n    i -= 1\nx = np.sum(np.ones(2) * i)",
    "while in function": "def f(n):\n    while n > np.int64(1):\n        n -= 1\n        if n == 2: break\n    else:\n"
    "        n = -1\n    return n\nx = f(5), f(2), f(0)",
    "while nested": "i = 0\nwhile i < n:\n    j = 0\n    while j < i:\n        j += 1\n    i += 1\n"
    "    while j:\n        for k in range(2): j -= j > 0\nx = np.sum(np.ones(2) * i)",
    "for": "x = 0\nfor i in range(n + 1):\n    if i % 2: continue\n    x = x + np.sum(a * i)\nelse:\n    x = -x",
    "with": "from contextlib import nullcontext as c\nwith c(n + 1) as x, c(np.exp(a)) as y:\n    z = x * y",
    "with parenthesised": "from contextlib import nullcontext as c\nwith (\n  c(n\n    + 1) as x,\n  c(np.exp(a)) as y,\n):\n"
    "    z = x * y",
    "try": "try:\n    x = np.zeros(2) + np.zeros(3)\nexcept ValueError as error:\n    x = str(error) + '!'\n"
    "else:\n    x = 0\nfinally:\n    y = n * n",
    "function": "def f(p, q=n + 1, *r, s=np.exp(b), **t):\n    'doc'\n    return np.exp(p) + q * s - len(r)\nx = f(a, 1, 2)",
    "lambda": "f = lambda p, q=n - 1: np.exp(p) ** q\nx = f(a)\ny = (lambda: (yield n + 1))",
    "class": "class C(dict if n + 1 else list, metaclass=type(type(n))):\n    w = np.zeros(3) + n\n"
    "    def m(self):\n        return type(self).__name__, self.w * 2\nx = C().m()",
    "decorators": "def d(k):\n    return lambda f: f\n@d(n + 1)\n@(d)(np.exp(0.0))\ndef f():\n    return np.ones(1) + 1\nx = f()",
    "generator": "def f():\n    x = yield n + 1\n    y = yield -n\n    z = np.exp(0) + (yield)\n    yield from [n * 2, z + y]\n"
    "g = f()\nx = [next(g), g.send(5 + n), g.send(1), g.send(2), next(g)]",
    "async": "async def f(x):\n    await asyncio.sleep(0)\n    return np.exp(x) + 1\n"
    "async def g():\n    return await f(n) + await f(n + 1) * 2, [i + 1 async for i in h()]\n"
    "async def h():\n    for i in range(n): yield -i\nx = asyncio.run(g())",
    "async with": "class M:\n    async def __aenter__(self): return n + 1\n    async def __aexit__(self, *r): return n == 4\n"
    "async def f():\n    async with M() as m:\n        return np.zeros(m) - m\nx = asyncio.run(f())",
    "match": "def f(v):\n    match v:\n        case np.ndarray(): return np.exp(v) - 1\n        case 1 + 2j: return 'complex'\n        case -3: return 'minus'\n"
    "        case [np.pi, *rest] if np.sum(rest) + 1 > 2: return rest\n"
    "        case {'k': k, **more}: return k + 1\n        case int(m) | float(m): return m * 2\n"
    "x = [f(1 + 2j), f(-3), f([np.pi, 1, 2]), f({'k': 3}), f(4), f(a)]",
    "global and nonlocal": "def f():\n    global G\n    G = np.ones(2) * n\n    m = 1\n    def g():\n        nonlocal m\n"
    "        m = m + 1\n        return -m\n    return g() + m\nx = f()",
    "comprehensions": "x = [np.exp(i) * 2 for i in range(n + 1) if i + 1 != 2]\ny = {i - 1 for i in range(n * 2)}\n"
    "z = {i: -i for i in (j + 1 for j in range(n))}\nw = list(i + j for i in range(n) for j in range(i - 1))",
    "walrus": "x = [y := n + 1, y ** 2, (z := np.exp(a)) + 1]\nw = (v := n) + (v := v * 2) + v",
    "conditional": "x = np.exp(a) if n + 1 else-n\ny = -n if n - 3 else(n) + 1",
    "boolean": "x = n - 3 or np.exp(a)\ny = not n == 3 and not-n\nz = n == 3 or n / 0",
    "compare": "x = a > b\ny = a == np.ones((2, 3))\nz = 1 < n < n + 1\nw = n in [n + 1], n is not n",
    "unary": "x = -a, +a, ~n, - -n, -n ** 2, not -n, -(-a)",
    "binary": "x = [a + b, a - b, a * b, a / b, n // 2, n % 2, n ** 2, a @ b.T, n << 1, n >> 1, n & 1, n | 4, n ^ 1]",
    "constants": "x = -2 ** 2 + 1, 1 + 2j, 'a' 'b' + 'c', 'x%d' % n, b'a' * 2, n * 1., 1.+n, 3 .real + n",
    "collections": "x = (n + 1,), [n - 1], {n * 2}, {n: n + 1, **{'k': -n}}, [*range(n + 1)], (*[n], n)",
    "calls": "x = say(n + 1, *[n - 1], k=n * 2, **{'j': -n})\ny = np.sum(a=a, axis=-n + 2)\nz = np.stack(*[[a, a + b]])",
    "names": "x = e(a), linalg.norm(a), la.norm(-a), np.add.reduce(a), np.random.RandomState(0).rand(2)",
    "values": "x = list(map(np.exp, [n, n + 1]))\ny = np.pi * n, np.float64(n), isinstance(a, np.ndarray)",
    "type": "x = type(n), type(a), type(type(a)), type('D', (), {}).__name__",
    "subscripts": "x = a[n - 2, ::-1] + 1, a[..., n - 1:n + 1], a[:, np.array([0, 1])], a.T[n - 1][-1]",
    "f-string": "x = f'{n + 1} {np.exp(n):.{n + 2}f} {n=}', f'{n!r}' f'{-n}' + 'tail', rf'\\d{n}', -n",
    "multi-line": "x = (a\n     + b  # one\n     # two\n     * np.exp(\n         b\n     )\n     - n)\ny = a + \\\n  b \\\n  * n",
    "multi-line calls": "x = np.stack([\n   a + 1,\n   -b,\n]).sum(\n  axis=n\n   - 3)\ny = (np.\n   exp)(a)\nz = (la\n  .norm(a))",
    "multi-line string": "x = n * len('''a\nb''') + n\ny = ('a'\n 'b'.join('xy') + str(n + 1))",
    "unicode": "π, é = n + 1, 'é' ; x = 'ééé', np.exp(a) + π; y = 'é' + é if π*2 else-π",
    "tabs": "if n:\n\tif n + 1:\n\t\tx = np.exp(a)\t+\tb\t; y = n\t-1",
    "semicolons": "x = n + 1; y = np.exp(a) * x; z = -y",
    "form feed": "x = n + 1\n\fy = np.exp(a) - x\n",
    "adjacent tokens": "x = [n+1for i in range(2)if-i<1]\ny=0 if n==4else-n\nz = n if(n)+1else(n)",
    "return and raise": "def f(k):\n    if k: return-k\n    raise ValueError('v' + str(k + 1))\ntry: f(0)\n"
    "except ValueError as x: x = y = str(x) + '.'\nz = f(2)",
    "import inside": "def f(x):\n    import numpy as mine\n    return mine.exp(x) + 1\nx = f(n)",
    "starred index": "x = a[(n - 2, *[n - 1])]\ny = [*a[0] + 1, *-a[0]]\nz = say(*a[0] + 1)",
    "long chain": "x = " + " + ".join(["n"] * 150) + "\ny = " + "-" * 90 + "n",
}
if sys.version_info >= (3, 11):
    PROGRAMS["except star"] = (
        "try:\n    raise ExceptionGroup('g' + str(n + 1), [ValueError(n - 1), TypeError()])\n"
        "except* ValueError as group:\n    x = len(group.exceptions) + n\nexcept* TypeError:\n    y = np.exp(n) * 2"
    )
if sys.version_info >= (3, 12):
    PROGRAMS["type parameters"] = (
        "type A[T] = list[T] | np.ndarray\ndef f[T: (int, float)](v: T) -> T:\n    return np.exp(v) + 1\n"
        "class C[T](list[T]):\n    w = n + 1\nx = f(n), C.w, str(A.__value__)"
    )

# Each raises at a place that a traceback shows.
RAISING = {
    "operands": "x = (1 + n) * (a @ np.ones(7))",
    "left operand": "x = missing + np.exp(a)",
    "right operand": "x = np.exp(a) - missing",
    "unary": "x = n + -'text'",
    "compare": "x = n < 'text'",
    "truth": "if a == b:\n    pass",
    "truth of both": "if n and a == b or n:\n    pass",
    "truth in while": "while not a > b:\n    pass",
    "truth in comprehension": "x = [i for i in range(2) if a == b]",
    "assert": "assert n == n + 1, 'message'",
    "assert call": "assert np.allclose(a, -a)",
    "argument": "x = np.reshape(np.exp(a),\n   (n + 1,\n    n))",
    "attribute of result": "x = np.exp(a).nothing + 1",
    "attribute of module": "x = np.random.no_such(n)",
    "inner call": "def f(x):\n    return np.linalg.inv(x) + 1\ny = 2 * f(a)",
    "lambda": "y = n + (lambda q: q / 0)(n - 1)",
    "subscript": "x = a[n - 1][n + 4] * 2",
    "multi-line": "x = (a\n  + b\n  @ a)",
    "multi-line operator": "x = (np.exp(\n    a) @\n   b)",
    "unicode": "é = 'ééé'; x = np.exp(a) @ b",
    "tabs": "if n:\n\tx = n\t+\t'x'.y",
    "with": "with np.exp(a) + 1 as x:\n    pass",
    "for": "for x in n + 1:\n    pass",
    "unpack": "x, y = np.exp(a) + n, n + 1, n",
    "raise": "raise ValueError(n + 1) from KeyError(-n)",
    "starred": "say(*n + 1)",
    "await": "async def f():\n    return await (n + 1)\nasyncio.run(f())",
    "default": "def f(x=n / (n - 3)):\n    pass",
    "class body": "class C:\n    x = np.zeros(n) @ np.zeros(n + 1)",
    "decorator": "@np.exp(n + 1)\ndef f(): pass",
    "type": "x = type(missing)",
    "type call": "x = type(n)(np.exp(a) + 'x')",
    "augmented": "x = np.exp(a)\nx += np.ones(n + 4)",
    "power": "x = n ** 'x'",
    "string": "x = n + 'é' * 2",
    "nested operators": "x = n + (n * (n - (n / (n - 3))))",
}


def make(text: str, path: Path, newline: str = "\n") -> tuple[str, str]:
    source = text.replace("\n", newline)
    path.write_text(source, encoding="utf-8", newline="")
    linecache.checkcache(str(path))
    return source, str(path)


def run(code: types.CodeType, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.setattr(builtins, "__minpy__", IDLE, raising=False)
    module = types.ModuleType("program")
    module.__file__ = code.co_filename
    monkeypatch.setitem(sys.modules, "program", module)
    exec(code, module.__dict__)
    return module.__dict__


def seen(value: object) -> object:
    """Something that is equal for equal values, bits and types included."""
    if isinstance(value, np.ndarray):
        return "array", value.dtype.str, value.shape, value.strides, value.tobytes()
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [seen(each) for each in value]
    if isinstance(value, dict):
        return [(key, seen(each)) for key, each in value.items()]
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value)), type(value).__name__


def results(names: dict[str, object]) -> dict[str, object]:
    skip = {"__builtins__", "asyncio"}
    return {name: seen(value) for name, value in names.items() if name not in skip}


def compiled(text: str, path: Path, options, newline: str = "\n"):
    source, filename = make(text, path, newline)
    original = compile(source, filename, "exec", dont_inherit=True)
    rewritten = rewriter.compile_source(source.encode(), filename, options)
    return source, original, rewritten


@ALL
@pytest.mark.parametrize("name", PROGRAMS)
def test_same_results_tree_and_positions(name, options, tmp_path, monkeypatch) -> None:
    source, original, rewritten = compiled(HEAD + PROGRAMS[name] + "\n", tmp_path / "program.py", options)
    tree = rewriter.mapped_tree(source, "program.py", options)
    assert_same_tree(tree, source)
    assert_same_positions(original, rewritten)
    expected = results(run(original, monkeypatch))
    for alert in {False, options is DEVICE}:
        monkeypatch.setattr(builtins, ALERT, alert)
        assert results(run(rewritten, monkeypatch)) == expected


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_is_rewritten(name) -> None:
    head = len(rewriter.plan(HEAD, OPERATORS).edits)
    assert len(rewriter.plan(HEAD + PROGRAMS[name] + "\n", OPERATORS).edits) > head


@pytest.mark.parametrize("newline", ["\r\n", "\r"], ids=["crlf", "cr"])
@pytest.mark.parametrize("name", ["multi-line", "unicode", "match", "f-string", "multi-line string"])
def test_line_ends(name, newline, tmp_path, monkeypatch) -> None:
    text = HEAD + PROGRAMS[name] + "\n"
    source, original, rewritten = compiled(text, tmp_path / "program.py", OPERATORS, newline)
    assert rewriter.plan(source, OPERATORS).apply().count("\r") == source.count("\r")
    assert_same_tree(rewriter.mapped_tree(source, "program.py", OPERATORS), source)
    assert_same_positions(original, rewritten)
    assert results(run(original, monkeypatch)) == results(run(rewritten, monkeypatch))


def report(code: types.CodeType, monkeypatch: pytest.MonkeyPatch) -> str:
    try:
        run(code, monkeypatch)
    except Exception as error:
        chain = traceback.format_exception(type(error), error, error.__traceback__.tb_next)
        return re.sub(r" at 0x[0-9a-f]+", "", "".join(chain))
    raise AssertionError("the program was to raise")


@ALL
@pytest.mark.parametrize("name", RAISING)
def test_same_traceback(name, options, tmp_path, monkeypatch) -> None:
    _, original, rewritten = compiled(HEAD + RAISING[name] + "\n", tmp_path / "program.py", options)
    expected = report(original, monkeypatch)
    assert "program.py" in expected
    for alert in {False, options is DEVICE}:
        monkeypatch.setattr(builtins, ALERT, alert)
        assert report(rewritten, monkeypatch) == expected


def traced(code: types.CodeType, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, int]]:
    events = []

    def trace(frame, event, argument):
        if frame.f_code.co_filename != code.co_filename:
            return None
        events.append((event, frame.f_code.co_name, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run(code, monkeypatch)
    finally:
        sys.settrace(before)
    return events


@BOTH
@pytest.mark.parametrize("name", PROGRAMS)
def test_same_lines_are_traced(name, options, tmp_path, monkeypatch) -> None:
    _, original, rewritten = compiled(HEAD + PROGRAMS[name] + "\n", tmp_path / "program.py", options)
    expected = traced(original, monkeypatch)
    assert len(expected) > 10
    assert traced(rewritten, monkeypatch) == expected


@BOTH
def test_source_of_functions_and_classes(options, tmp_path, monkeypatch) -> None:
    for name in ("function", "class", "decorators", "lambda", "generator", "async"):
        _, original, rewritten = compiled(HEAD + PROGRAMS[name] + "\n", tmp_path / f"{name}.py", options)
        found = []
        for code in (original, rewritten):
            names = run(code, monkeypatch)
            items = [names[key] for key in ("f", "C") if key in names]
            found.append([inspect.getsource(item) for item in items])
        assert found[0] == found[1]
        assert found[0]


# Operands that report when they are evaluated, in every rewritten kind of expression.
ORDER = [
    "np.add(say(1), say(2))",
    "np.sum(say(a), axis=say(0), *[], keepdims=say(True))",
    "np.add.reduce(say(a), say(1))",
    "e(say(1)) * say(2)",
    "la.norm(say(a) - say(b))",
    "type(say(1))",
    *(f"say(5) {symbol} say(3)" for symbol in "+ - * / // % ** << >> & | ^ == != < <= > >=".split()),
    "say(a) @ say(b.T)",
    *(f"{symbol}say(2)" for symbol in "-+~"),
    "say(1) + say(2) * say(3) - say(4) ** -say(1)",
    "(say(1) if say(0) else say(2)) + say(3)",
    "(say(0) and say(1)) + (say(2) or say(3))",
    "{say(1) + say(2): say(3) - say(4)}[say(3)] * say(2)",
    "[say(i) + say(1) for i in range(say(2)) if say(i) * say(2)]",
    "say(1) + (x := say(2) * say(3)) + x",
    "(lambda q=say(1) + say(2): say(q) - say(1))() * say(2)",
    "say([1, 2, 3])[say(0) + say(1)] + say(1)",
    "say(1) < say(2) + say(1) < say(1) * say(2)",
    "f'{say(1) + say(2)}', say(1) + say(2)",
    "say(n).__class__(say(1) + say(2)) - say(1)",
]


@BOTH
@pytest.mark.parametrize("expression", ORDER)
def test_single_evaluation_in_order(expression, options, tmp_path, monkeypatch) -> None:
    text = f"{HEAD}value = {expression}\n"
    _, original, rewritten = compiled(text, tmp_path / "program.py", options)
    expected = run(original, monkeypatch)
    assert expected["log"]
    found = run(rewritten, monkeypatch)
    assert seen(found["log"]) == seen(expected["log"])
    assert seen(found["value"]) == seen(expected["value"])


def test_operands_that_raise_stop_at_the_same_place(tmp_path, monkeypatch) -> None:
    text = (
        HEAD
        + "try:\n    say(1) + say(2) / say(0) * say(3)\nexcept ZeroDivisionError as x:\n    x = y = str(x)\n"
    )
    _, original, rewritten = compiled(text, tmp_path / "program.py", OPERATORS)
    assert results(run(original, monkeypatch)) == results(run(rewritten, monkeypatch))


# Random programs.

_ATOMS = st.sampled_from(
    ["a", "b", "n", "2", "-1", "1.5", "np.pi", "a[0, 1]", "a.T.T", "None", "'s'", "(n, 2)", "é"]
)


def _combine(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    binary = st.sampled_from("+ - * / // % ** @ << >> & | ^ == != < <= > >= and or in is".split())
    space = st.sampled_from(["", " ", "\t", "\n  ", " # c\n ", " \\\n "])
    operands = st.tuples(inner, space, binary, space, inner).map(
        lambda p: (
            f"({p[0]}){p[1]}{p[2]}{p[3]}({p[4]})"
            if p[2].isalpha()
            else f"{_wrap(p[0])}{p[1]}{p[2]}{p[3]}{_wrap(p[4])}"
        )
    )
    return st.one_of(
        operands.map(lambda text: f"({text})"),
        st.tuples(st.sampled_from(["-", "+", "~", "not ", "- -"]), inner).map(
            lambda p: f"({p[0]}{_wrap(p[1])})"
        ),
        st.tuples(st.sampled_from(["np.exp", "np.sum", "e", "la.norm", "type", "np.add.reduce"]), inner).map(
            lambda p: f"{p[0]}({p[1]})"
        ),
        st.tuples(inner, inner, inner).map(lambda p: f"({p[0]} if {p[1]} else {p[2]})"),
        st.tuples(inner, inner).map(lambda p: f"[{p[0]} for n in range(2) if {p[1]}]"),
        st.tuples(inner, inner).map(lambda p: f"(lambda q=({p[0]}): {p[1]})()"),
        st.tuples(inner, inner).map(lambda p: f"np.maximum({p[0]},\n   {p[1]})"),
        inner.map(lambda text: f"(w := {text})"),
        inner.map(
            lambda text: (
                f"f'''{{{text}}}'''" if "'" not in text and "\n" not in text and "\\" not in text else text
            )
        ),
        st.tuples(inner, inner).map(lambda p: f"{_wrap(p[0])}[({p[1]})]"),
    )


def _wrap(text: str) -> str:
    return (
        text
        if text.isidentifier() or (text[0] == "(" and text[-1] == ")" and text.count("(") == 1)
        else f"({text})"
    )


EXPRESSIONS = st.recursive(_ATOMS, _combine, max_leaves=12)
_QUIET = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def outcome(code: types.CodeType, monkeypatch: pytest.MonkeyPatch) -> object:
    try:
        with np.errstate(all="ignore"):
            return results(run(code, monkeypatch))
    except Exception as error:
        places = [(each.lineno, each.name) for each in traceback.extract_tb(error.__traceback__)[1:]]
        return type(error), str(error), places


@pytest.mark.filterwarnings("ignore")
@_QUIET
@given(st.lists(EXPRESSIONS, min_size=1, max_size=3))
def test_random_programs(tmp_path, monkeypatch, expressions) -> None:
    text = HEAD + "é = 4\n" + "".join(f"x{i} = ({each})\n" for i, each in enumerate(expressions))
    for options in (DEFAULT, OPERATORS):
        plan = rewriter.plan(text, options)
        _outside_is_untouched(plan)
        source, original, rewritten = compiled(text, tmp_path / "program.py", options)
        assert_same_tree(rewriter.mapped_tree(source, "program.py", options), source)
        assert_same_positions(original, rewritten)
        assert outcome(rewritten, monkeypatch) == outcome(original, monkeypatch)
        emitted = rewriter.plan(text, options, door="routed").apply()
        assert rewriter.plan(emitted, options, door="routed").is_empty


def _outside_is_untouched(plan) -> None:
    rewritten, position, place = plan.apply(), 0, 0
    for edit in plan.edits:
        same = edit.start - position
        assert rewritten[place : place + same] == plan.source[position : edit.start]
        place += same
        assert rewritten[place : place + len(edit.text)] == edit.text
        position, place = edit.end, place + len(edit.text)
    assert rewritten[place:] == plan.source[position:]
