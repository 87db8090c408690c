"""libcst's parser and nodes alone, as the process that rewrites ahead has them: plans are the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from minpy.options import Options
from minpy.transform import rewriter

CORPUS = Path(__file__).parents[2] / "benchmarks" / "corpus"
NAMES = ("lattice_boltzmann", "n_body", "quicksort", "softmax", "sieve_loops", "black_scholes")

SYNTAX = """\
import numpy as np, os.path as p
from math import (exp, pi as PI,)
from __main__ import *
@decorate(1, *a, k=2, **b)
class C(B, metaclass=M):
    x: int = 3; y: "float"
    @property
    def f(self, a, /, b=1, *c, d, e: int = 2, **f) -> np.ndarray:
        global g; nonlocal_ = lambda *a, b=1, **c: (a, b)
        return self.x[..., 1:2, ::3, None], not -a ** +b @ ~c
async def g(*, a):
    async with a as b, c: await d
    async for i in aiter(a): pass
    return [i async for i in a if i if not i]
def h(a=np.pi):
    try:
        with (open(p) as q, r): raise E("x") from None
    except (A, B) as error:
        del a[0], b.c
    except C: pass
    else: assert a, "b"
    finally: x = yield
    while True:
        if a < b <= c is not d not in e: break
        elif a: continue
        else: a, *b = c = (yield from d)
    for i, (j, k) in enumerate(a): a[i] += np.exp(j); k @= 2; k **= 3; k //= 4; k <<= 5
    else: print(f"{a!r:>{b}} {{}} {np.exp(a) + 1:.3}", b"x" rb"y", 'a' "b", 1_0.5e3j, 0x1F)
    if (n := len(a)) > 1: return {**a, 'b': c}, {1, *a}, {k: v for k, v in a}, {i for i in a}, (i for i in a)
    return (a if b else c), a or b and not c, a[b:c, d], a.b.c(d)(*e)

match np.exp(1):
    case [1, *_] | (2, "a"): pass
    case {"k": v, **rest} if v: pass
    case C(a, b=1) as c: pass
    case None | -1 | 1+2j | a.b: pass
    case _: x = (\n        np.sin(1)  # comment
        + np.cos(2))\\
        ; y = 1
"""

PRINT = """
import json, sys
from minpy.transform import lean
lean.load()
assert "libcst.metadata" not in sys.modules and "libcst.native" in sys.modules, "libcst was imported as a whole"
from minpy.options import Options
from minpy.transform import rewriter
texts = json.load(sys.stdin)
print(json.dumps([rewriter.plan(text, Options()).apply() for text in texts]))
"""


def test_plans_are_the_same():
    texts = [(CORPUS / f"{name}.py").read_text(encoding="utf-8") for name in NAMES] + [SYNTAX]
    done = subprocess.run(
        [sys.executable, "-c", PRINT], input=json.dumps(texts), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for text, plan in zip(texts, json.loads(done.stdout), strict=True):
        assert plan == rewriter.plan(text, Options()).apply() != text


@pytest.mark.parametrize("trouble", ["_nodes.op", "native"])
def test_a_libcst_that_is_built_in_another_way(trouble):
    """It is imported as always."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.modules['libcst.{trouble}'] = None\n"
            "from minpy.transform import lean; lean.load()\n"
            "print([name for name in sys.modules if name.startswith('libcst')])\n"
            "import dataclasses, abc, contextlib; print(dataclasses.dataclass.__module__, abc.ABC.__module__)\n"
            "import libcst.metadata; print(libcst.parse_module('a = 1').code)",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "[]\ndataclasses abc\na = 1\n"), done.stderr
