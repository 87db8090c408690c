"""Every form of store on every kind of target: the same values, identities, errors, order and places as in plain Python."""

# The programs are easier to read on one line.
# ruff: noqa: E501

from __future__ import annotations

import functools
import re
import sys
import traceback
from dataclasses import replace
from types import CodeType
from typing import Any

import numpy as np
import pytest
from oracle import DEFAULT, OPERATORS, assert_same_positions, assert_same_tree

from minpy.places import TAPING
from minpy.runtime import entry
from minpy.runtime.array import Array
from minpy.runtime.tape import Tape
from minpy.transform import rewriter

HEAD = """\
import numpy as np
log = []
def say(value, *rest):
    log.append(repr(value))
    return value
class Own:
    '''Items, attributes and in-place operators of its own, all of them reported.'''
    def __init__(self, value): self.value = value; self.items = {}
    def __getitem__(self, index): say(('get', index)); return self.items.get(str(index), 1.5)
    def __setitem__(self, index, value): say(('set', index, value)); self.items[str(index)] = value
    def __iadd__(self, other): say(('iadd', other)); self.value += 1; return self
    def __isub__(self, other): return ('another', other)
    def sort(self, *rest, **more): say(('sort', rest, more)); return 'sorted'
    def fill(self, value): return ('filled', value)
    def put(self, *rest): return rest
class Box:
    def __init__(self, t): self.t = t; self.n = 2; self.__hidden = 3
    def more(self): self.__hidden += 2; return self.__hidden
    @property
    def read(self): say('read'); return self.t
    @read.setter
    def read(self, value): say('write'); self.t = value
t = make()
same = t
o = Box(t)
d = {'t': t, 'n': 1, 'l': [t, 0]}
i, j, v = 1, -1, 7
def get(*rest): say('get'); return t
from contextlib import contextmanager
@contextmanager
def give(value): yield value
"""

FORMS = {
    "item": "t[i] = v",
    "last": "t[-1] = v + 1",
    "slice": "t[1:3] = [v, v]",
    "slice of the wrong length": "t[0:2] = [1, 2, 3]",
    "whole": "t[:] = [5, 6, 7, 8]",
    "ellipsis": "t[...] = 3",
    "fancy": "t[[0, 2]] = [v, 9]",
    "fancy out of range": "t[[0, 9]] = 1",
    "mask": "t[np.array([True, False, True, False])] = -1",
    "key": "t['k'] = v",
    "out of range": "t[40] = v",
    "index of the wrong kind": "t[1.5] = v",
    "too many indices": "t[0, 1, 2] = v",
    "value of the wrong kind": "t[0] = 'text'",
    "tuple targets": "t[0], (t[1], *t[2:3]) = 4, (5, 6)",
    "swap": "t[0], t[1] = t[1], t[0]",
    "list target": "[t[0], t[1]] = t[2], t[3]",
    "too few values": "t[0], t[1] = [1]",
    "chain": "t[0] = t[i] = x = v",
    "chain of two": "o.t[0] = d['t'][1] = v",
    "for": "for t[0] in range(3): say(1)\nelse: t[1] = 9",
    "for of a pair": "for t[0], (t[1], x) in [(1, (2, 3)), (4, (5, 6))]: pass",
    "with": "with give(v) as t[0]: t[1] = 3",
    "with of a pair": "with give((1, 2)) as (t[0], t[1]), give(5) as t[2]: pass",
    "comprehension": "x = [say(t[0]) for t[0] in (1, 2)]",
    "annotated": "t[0]: int = v\nt[1]: int\nt[2]: say('annotation') = 4",
    "delete": "del t[0]",
    "delete several": "x = [1, 2, 3]\ndel x[0], (t[1])",
    "attribute base": "o.t[i] = v\no.read[0] = 2",
    "dict base": "d['t'][i] = v\nd['l'][0][0] = v\nd['new'] = t",
    "call base": "get()[i] = v\nget(say(1))[say(0)] = say(2)",
    "conditional base": "(t if v else o)[i] = v\n(None or t)[0] = 3",
    "walrus base": "(w := get())[0] = v\nw[1] = 2",
    "multi-line base": "get(\n 1)[\n 0] = (\n v)\n(t\n)[i] = 3",
    "lambda in the base": "get(lambda: v)[0] = v\nget([k for k in 'ab'])[1] = v",
    "parenthesised": "(t)[i] = ((v))\n((o).t)[0] = 1",
    "missing base": "missing[0] = say(v)",
    "missing attribute": "o.missing[0] = say(v)",
    "order": "say(t)[say(0)] = say(1)\nget()[say(1)], x = say(3), say(4)",
    "augmented item": "t[i] += v\nt[say(0)] *= say(3)",
    "augmented slice": "t[1:3] += [1, 2]",
    "augmented slice by a number": "t[1:] *= 2\nt[::2] -= 1",
    "augmented ellipsis": "t[...] += 1",
    "augmented fancy": "t[[0, 0, 2]] += 1",
    "augmented mask": "t[t > 1] += 1",
    "augmented out of range": "t[40] += v",
    "augmented by text": "t[0] += 'text'",
    "augmented items of every kind": "t[0] += 1; t[1] -= 2; t[2] *= 3; t[3] /= 4; t[0] //= 2; t[1] %= 3; t[2] **= 2",
    "augmented nested": "d['l'][0] += [1, 2, 3, 4]\nd['n'] += 1\nd['l'][1] -= 5",
    "augmented slice in a dict": "d['t'][:2] += [1, 2]",
    "augmented name": "t += [1, 2, 3, 4]",
    "augmented name by a number": "t += 1",
    "augmented name, another value": "t -= 1",
    "augmented name by a call": "t += get()\nt += say([1, 2, 3, 4], t)",
    "augmented name by text": "t += 'text'",
    "augmented name of the wrong shape": "t += [1, 2, 3]",
    "augmented name by a tuple": "t += 1, 2, 3, 4\nt += *[1, 2], 3, 4"
    if sys.version_info >= (3, 9)
    else "t += 1, 2, 3, 4",
    "augmented name by something in parentheses": "t += (1, 2, 3, 4)\nt += ((1, 2, 3, 4))\nt += ((say(1)))\nt += ([k for k in range(4)])\nt += (k for k in [])",
    "augmented name by a condition": "t += [1] * 4 if v else [2] * 4\nt += [] or [1] * 4\nt += not v",
    "augmented name, multi-line": "t += (get(\n)\n)\nt += [\n 1, 2, 3,\n 4]",
    "augmented name by a walrus": "t += (w := [1, 2, 3, 4])\nt += [k for k in range(4)]",
    "augmented missing name": "missing += say(1)",
    "augmented local": "def f():\n    t += say([1])\n    return t\nx = f()",
    "augmented in a function": "def f(p):\n    p += [1, 2, 3, 4]\n    p[0] += 3\n    return p\nx = f(t)\ny = x is t",
    "augmented global": "def f():\n    global t\n    t += [1, 2, 3, 4]\nf()",
    "augmented nonlocal": "def f(p):\n    def g():\n        nonlocal p\n        p += [1, 2, 3, 4]\n    g(); return p\nx = f(t) is t",
    "augmented by a yield": "def f(p):\n    p += yield 1\n    p += (yield 2)\n    yield p\ng = f(t); x = [next(g), g.send([1] * 4), g.send([2] * 4)]",
    "augmented attribute": "o.t += [1, 2, 3, 4]\no.n += 1\nx = o.t is same",
    "augmented attribute by a call": "o.t += get(1)\no.n *= say(2)",
    "augmented property": "o.read += [1, 2, 3, 4]",
    "augmented private": "x = o.more()",
    "augmented missing attribute": "o.missing += say(1)",
    "augmented counter": "n = 0\nwhile n < 3:\n    n += 1\nfor k in range(2): n -= k",
    "augmented text": "s = 'a'\ns += 'b'\ns += f'{v}'\nq = ()\nq += 1,",
    "augmented local list": "l = []\nl += t if isinstance(t, list) else [1]\nl[0:0] = [2]\nl[0] += 4\nm = {}\nm['a'] = l\nm['a'] += [3]",
    "sort": "x = t.sort()",
    "sort by position and keyword": "x = o.t.sort(**{})\ny = d['t'].sort()",
    "sort of the wrong arguments": "t.sort(nothing=1)",
    "fill": "x = t.fill(v)\nget().fill(say(3))",
    "put": "x = t.put([0, 1], [v, 8])",
    "partition": "x = t.partition(2)",
    "resize": "del same, o, d\nx = t.resize(6)",
    "resize of a shared array": "t.resize(99)",
    "byteswap": "x = t.byteswap(True)\ny = t.byteswap()",
    "setfield": "t.setfield(3, t.dtype)",
    "method of a string": "x = 'b,a'.split(',')\nx.sort()\ny = x.sort() or x",
    "super": "class L(list):\n    def sort(self): super().sort(); return self\nx = L([2, 1]).sort()",
    "attribute flat": "t.flat = 3",
    "attribute real": "t.real = [4, 3, 2, 1]",
    "attribute shape": "t.shape = 2, 2\nx = t[0, 1]",
    "attribute shape of the wrong size": "t.shape = 3, 2",
    "attribute of an own class": "o.flat = v\no.shape = say(3)\nx = o.flat, o.shape",
    "item of flat": "t.flat[1:] = 4\nx = t.flat[0]",
    "item of a view": "t[1:].T[0] = v\nt[::-1][:2] = 9",
    "item of a reshaped view": "t.reshape(2, 2)[1][0] = 4\nt.ravel()[0] = 2",
    "output": "np.add(t, 1, out=t)",
    "output of a method": "x = t.cumsum(out=t)\ny = np.ndarray.sum(t, out=None)",
    "output of a function": "def f(p, out): out[0] = p; return out\nx = f(3, out=t) is t",
    "output of the wrong shape": "np.add(t, 1, out=np.zeros(2))",
    "shuffle": "import random\nr = random.Random(3)\nx = r.shuffle(t)\nnp.random.RandomState(2).shuffle(t)",
    "copyto": "np.copyto(t, 3)\nnp.put(t, [0], 9)\nnp.place(t, np.array([True, False, True, False]), [7, 8])",
    "ufunc at": "np.add.at(t, [0, 0], 1)",
    "reduce out": "np.add.reduce([[1., 2., 3., 4.]] * 2, 0, None, t)",
    "read-only": "t.flags.writeable = False\nt[0] = 1",
    "read-only, augmented": "t.flags.writeable = False\nt += 1",
}

KINDS: dict[str, Any] = {
    "list": lambda: [3, 1, 2, 4],
    "dict": lambda: {0: 3, 1: 1, 2: 2, 3: 4, -1: 5},
    "array": lambda: np.array([3.0, 1.0, 2.0, 4.0]),
    "ints": lambda: np.array([3, 1, 2, 4]),
    "structured": lambda: np.array([(1, 2.0), (3, 4.0)], [("k", int), ("f", float)]),
    "objects": lambda: np.array([1, "a", None, 2.0], dtype=object),
    "matrix": lambda: np.ma.masked_array([3.0, 1.0, 2.0, 4.0], [False, True, False, False]),
    "own": "Own(4)",
    "Array": "np.array([3.0, 1.0, 2.0, 4.0])",
    "number": lambda: 3,
    "text": lambda: "text",
}


def source(form: str, kind: str) -> str:
    head = HEAD.replace("make()", KINDS[kind]) if isinstance(KINDS[kind], str) else HEAD
    return head + FORMS[form] + "\n"


def seen(value: Any, depth: int = 0) -> Any:
    """What can be compared of a value; an `Array` is the array that it stands for."""
    if type(value) is Array:
        value = value.contents[()] if value.scalar else value.contents
    if isinstance(value, np.ma.MaskedArray):
        return "masked", seen(value.data), seen(value.mask)
    if isinstance(value, np.ndarray):
        data = [str(v) for v in value.ravel()] if value.dtype.hasobject else np.array(value).tobytes()
        return "array", value.dtype.str, value.shape, data
    if isinstance(value, np.generic):
        return "scalar", value.dtype.str, value.tobytes()
    if depth < 3 and isinstance(value, (list, tuple)):
        return type(value).__name__, [seen(each, depth + 1) for each in value]
    if depth < 3 and isinstance(value, dict):
        return [(key, seen(each, depth + 1)) for key, each in value.items()]
    if depth < 2 and type(value).__name__ in ("Own", "Box"):
        return type(value).__name__, seen(vars(value), depth + 1)
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def outcome(code: CodeType, kind: str, taped: bool) -> Any:
    names: dict[str, Any] = {"__minpy__": entry.routed, "__name__": "program"}
    if not isinstance(KINDS[kind], str):
        names["make"] = KINDS[kind]
    failure = None
    try:
        if taped:
            with Tape():
                exec(code, names)
        else:
            exec(code, names)
    except Exception as error:
        places = [
            tuple(
                getattr(each, name, None) for name in ("lineno", "name", "colno", "end_lineno", "end_colno")
            )
            for each in traceback.extract_tb(error.__traceback__)
            if each.filename == "program.py"
        ]
        failure = type(error), re.sub(r" at 0x[0-9a-f]+", "", str(error)), places
    skip = {
        "__builtins__",
        "__minpy__",
        "make",
        "np",
        "__annotations__",
        "__warningregistry__",
        "__conditional_annotations__",
    }
    state = {name: seen(value) for name, value in names.items() if name not in skip}
    # Whatever is one object in plain Python is one object here.
    objects = [
        key
        for key, value in names.items()
        if key not in skip and not isinstance(value, (int, float, str, tuple))
    ]
    same = [(a, b) for a in objects for b in objects if a < b and names[a] is names[b]]
    return failure, state, same


@functools.lru_cache
def both(text: str) -> tuple[CodeType, CodeType]:
    original = compile(text, "program.py", "exec", dont_inherit=True)
    return original, rewriter.compile_source(text, "program.py", DEFAULT)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_as_in_plain_python(form: str, kind: str) -> None:
    text = source(form, kind)
    original, rewritten = both(text)
    expected = outcome(original, kind, False)
    assert outcome(rewritten, kind, False) == expected
    if kind != "Array" or form not in OTHERWISE:
        assert outcome(rewritten, kind, True) == expected


# Where an Array on a tape differs from an ndarray: the wording of an error, and methods of ndarray that it asks of its host contents.
OTHERWISE = {"sort of the wrong arguments", "byteswap", "resize", "output of a method"}


@pytest.mark.parametrize("options", [DEFAULT, OPERATORS], ids=["calls", "operators"])
@pytest.mark.parametrize("form", FORMS)
def test_tree_and_positions(form: str, options: Any) -> None:
    text = source(form, "list")
    assert_same_tree(rewriter.mapped_tree(text, "program.py", options), text)
    original = compile(text, "program.py", "exec", dont_inherit=True)
    assert_same_positions(original, rewriter.compile_source(text, "program.py", options))
    emitted = rewriter.plan(text, options, door="routed").apply()
    assert rewriter.plan(emitted, options, door="routed").is_empty
    assert rewriter.plan(emitted, replace(options, jit="off")).is_empty or options is OPERATORS


MATH = [
    ("import math\nx = math.exp(1)", ["__minpy__.math"]),
    ("import math as m, os\nx = m.sqrt(m.pi) + m.gcd(4, 6)", ["__minpy__.math"]),
    ("from math import exp as e, pi\nx = e(pi)", ["__minpy__.math.exp"]),
    ("from math import *\nx = sin(pi)", ["__minpy__.math.sin"]),
    ("import math\nx = float('2') + float()", ["__minpy__.float"]),
    ("import math\nfloat = int\nx = float('2')", []),
    ("import math\nmath = 3", []),
    ("if 0:\n    import math\nelse:\n    math = None\nx = math and math.exp(1)", []),
    ("from numpy import exp\nfrom math import exp\nx = exp(1)", []),
    # Without numpy, stores and type() stay as they are.
    ("import math\na = [1]\ndef f(a): a[0] += 1; a[0] = 2; a += [1]; a.sort(); return type(a)\nx = f(a)", []),
    ("# mathematics, math\nx = float('2')", []),
]


@pytest.mark.parametrize(("text", "expected"), MATH, ids=[text for text, _ in MATH])
def test_modules_that_import_math(text: str, expected: list[str]) -> None:
    assert [edit.text for edit in rewriter.plan(text, OPERATORS).edits] == expected
    plain: dict[str, Any] = {}
    names: dict[str, Any] = {"__minpy__": entry.routed}
    exec(compile(text, "program.py", "exec"), plain)
    exec(rewriter.compile_source(text.encode(), "program.py", OPERATORS), names)
    assert names.get("x") == plain.get("x")


@pytest.mark.parametrize(
    "text",
    [
        "l = []\nl[0:0] = [1]",
        "d = {}; e = dict(a=1); s = set()\nd[1] = e['a'] = 2",
        "def f():\n    l = [k for k in 'ab']\n    def g(): l[0] = 1\n    l += ['c']; l.sort()\n    return l",
        "for k in range(3):\n    k += 1",
        "n = 0\nn += 1\ns = ''\ns += 'a'",
        "l: list = []\nl[0:] = l",
    ],
)
def test_what_is_certainly_no_array_stays(text: str) -> None:
    assert rewriter.plan(f"import numpy as np\n{text}\n", replace(DEFAULT, jit="off")).is_empty


@pytest.mark.parametrize(
    "text",
    [
        "l = []\nl = make()\nl[0] = 1",
        "def f(l=[]):\n    l[0] = 1",
        "l = []\ndef f():\n    global l\n    l = make()\nl[0] = 1",
        "t = 0.0\nt += make()\nt += 1",
        "def dict(): return make()\nd = dict()\nd[0] = 1",
        "l = [0]\nl[0] += make()",
        "for l in [make()]: l[0] = 1",
        "from make import *\nl[0] = 1",
        "l = []\nwith make() as l: l[0] = 1",
    ],
)
def test_what_may_be_an_array_is_handed_over(text: str) -> None:
    assert TAPING in rewriter.plan(f"import numpy as np\n{text}\n", DEFAULT).apply()


def test_what_writes_is_said_with_its_reason() -> None:
    text = "import numpy as np\na[0] = 1\na += 1\na.sort()\nf(out=a)\na.flat = 1\n"
    reasons = {edit.reason for edit in rewriter.plan(text, DEFAULT).edits}
    assert len(reasons) == 5 and any(".sort()" in each for each in reasons)


HARMLESS = {
    "counters": "i, j = 0, 9\nwhile i < j:\n    i += 1\n    j -= 1",
    "arithmetic of them": "n = len(t)\nm = (n + 1) // 2 if n else -n\nm += n\nm *= m - 1",
    "in a circle": "i = 0\nj = 1\nwhile i < 9:\n    i = i + j\n    j = i - j\n    i += 1\n    j += i",
    "nested tuples": "i, (j, [k, l]) = 1, (2.5, [3, 'x'])\ni += 1\nj += i\nk -= 1\nl += 'y'",
    "a chain": "i = j = 0\ni += 1\nj += 1",
    "counted": "for k, v in enumerate(t, 2):\n    k += 1",
    "a range": "for k in range(3):\n    k *= 2",
    "truth": "q = not t\nq += 1",
    "or": "q = 0 or 7\nq += 1",
    "of the module": "n = 3\ndef f():\n    m = n * 2\n    m += 1",
    "a list": "q = [t] + [1]\nq += [2]\nq[0] = 3",
}
DOUBTFUL = {
    "a parameter": "def f(n):\n    m = n + 1\n    m += 1",
    "swapped in": "i, j = 0, t\ni, j = j, i\ni += 1",
    "added": "i = 0\ni = i + t\ni += 1",
    "augmented by one": "i = 0\ni += t\ni += 1",
    "through another": "i = 0\nj = i\ni = t\nj += 1",
    "in a circle": "i = 0\nj = 1\nfor v in t:\n    i = j\n    j = k\n    k = v\n    i += 1",
    "or": "q = t or 7\nq += 1",
    "if": "q = 1 if i else t\nq += 1",
    "starred": "i, *j = 1, t\ni += 1",
    "of another length": "i, j = get()\ni += 1",
    "what is counted": "for k, v in enumerate(t):\n    v += 1",
    "a name of its own": "def len(x): return x\nn = len(t)\nn += 1",
    "an item": "q = (t, 1)\nr = q[0]\nr += 1",
    "the least": "q = min([t])\nq += 1",
    "a global": "i = 0\ndef f():\n    global i\n    i = t\ndef g():\n    j = i\n    j += 1",
    "a nonlocal": "def f():\n    i = 0\n    def g():\n        nonlocal i\n        i = t\n    g()\n    i += 1",
    "a pattern": "i = 0\nmatch t:\n    case i:\n        i += 1",
    "a walrus": "i = 0\nif (i := t) is not None:\n    i += 1",
    "with": "i = 0\nwith give(t) as i:\n    i += 1",
    "of no binding": "i += 1",
    "of a star": "from elsewhere import *\ndef f():\n    j = i\n    j += 1",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_certainly_no_array_is_left_alone(name: str) -> None:
    text = rewriter.plan(f"import numpy as np\n{HARMLESS[name]}\n", DEFAULT).apply()
    assert TAPING not in text


@pytest.mark.parametrize("name", DOUBTFUL)
def test_what_may_be_an_array_is_not(name: str) -> None:
    text = rewriter.plan(f"import numpy as np\n{DOUBTFUL[name]}\n", DEFAULT).apply()
    line = text.rstrip().splitlines()[-1]
    assert f"+= (__minpy__.before({line.split('+=')[0].strip()}, 1) if {TAPING} else 1)" in line


def test_binding_in_several_ways_binds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names in the targets that are looked at more closely are still known to be bound."""
    for text in ("for k, np in enumerate(t): pass", "for k, *np in enumerate(t): pass", "i, np = 1, 2"):
        plan = rewriter.plan(f"import numpy as np\n{text}\nnp.exp(1)\n", DEFAULT)
        assert "__minpy__.np" not in plan.apply()
