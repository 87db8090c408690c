"""What a name stands for: imports, scopes, shadowing, order."""

# The programs are easier to read on one line.
# ruff: noqa: E501, RUF001

from __future__ import annotations

import operator
import sys
import textwrap

import numpy as np
import pytest
from oracle import DEFAULT

from minpy.runtime.primitives import table
from minpy.transform import catalog, rewriter


def routed(text: str) -> list[str]:
    """The routed callees of a module, as written in the rewritten text."""
    plan = rewriter.plan(textwrap.dedent(text), DEFAULT)
    assert compile(plan.apply(), "<test>", "exec")
    found = []
    for edit in plan.edits:
        if "taping" in edit.text or "blocks.take" in edit.text or edit.text == ")" or "while" in edit.text:
            continue  # stores and blocks, which are not what these programs are about
        end = edit.end
        while plan.source[end] in "._" or plan.source[end].isalnum():
            end += 1
        found.append(edit.text.removeprefix("__minpy__.") + plan.source[edit.end : end])
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import numpy as np\nnp.exp(1)", ["np.exp"]),
        ("import numpy\nnumpy.random.rand(3)", ["np.random.rand"]),
        ("import numpy as np, sys\nnp.linalg.norm(1)", ["np.linalg.norm"]),
        ("import numpy.linalg\nnumpy.exp(1), numpy.linalg.inv(1)", ["np.exp", "np.linalg.inv"]),
        ("import numpy.linalg as la\nla.norm(1)", ["np.linalg.norm"]),
        ("from numpy import exp\nexp(1)", ["np.exp"]),
        ("from numpy import exp as e, random\ne(1), random.rand()", ["np.exp", "np.random.rand"]),
        ("from numpy.fft import fft as f\nf(1)", ["np.fft.fft"]),
        (
            "from numpy import add\nadd.reduce(1), add.outer(1, 2), add(1, 2)",
            ["np.add.reduce", "np.add.outer", "np.add"],
        ),
        ("from numpy import *\nzeros(3), linalg.norm(1)", ["np.zeros", "np.linalg.norm"]),
        ("from numpy.linalg import *\nnorm(1), zeros(1)", ["np.linalg.norm"]),
        ("import numpy as np\n(np).exp(1), (np.exp)(1), np . exp(1)", ["np", "np.exp", "np"]),
        ("import numpy as ｎｐ\nnp.exp(1), ｎｐ.exp(1)", ["np.exp", "np.exp"]),
        (
            "import numpy as np\nnp.random.default_rng(1), np.random.RandomState(1)",
            ["np.random.default_rng", "np.random.RandomState"],
        ),
        # References that are not called, and what is no array work.
        (
            "import numpy as np\nmap(np.exp, []), np.pi, np.float64(1), np.errstate(), np.ma.array(1), np.exp",
            [],
        ),
        ("import numpy as np\nnp.exp.at, np.exp.types, np.exp.no(), np.exp.reduce.x()", []),
        ("import numpy as np\nnp['x'].exp(1), np().exp(1), f().exp(1), np.linalg(1)", []),
        # Not NumPy.
        ("import numpyro as np\nnp.exp(1)", []),
        ("import minpy.numpy as np\nnp.exp(1)", []),
        ("from . import numpy as np\nnp.exp(1)", []),
        ("from .numpy import exp\nexp(1)", []),
        ("import jax.numpy as np\nnp.exp(1)", []),
        # Order in one scope.
        ("import sys\nnp.exp(1)\nimport numpy as np\nnp.exp(2)", ["np.exp"]),
        ("[np.exp(1) for i in range(2)]\nimport numpy as np", []),
        ("class C:\n    np.exp(1)\nimport numpy as np", []),
        ("def f(x=np.exp(1)): return np.exp(2)\nimport numpy as np", ["np.exp"]),
        ("f = lambda x=np.exp(1): np.exp(2)\nimport numpy as np", ["np.exp"]),
        ("@np.vectorize(np.exp(1))\ndef f(): pass\nimport numpy as np", []),
        ("import numpy as np; np.exp(1)", ["np.exp"]),
        # Bound again.
        *(
            (f"import numpy as np\n{statement}\nnp.exp(1)\ndef f(): return np.exp(2)", [])
            for statement in (
                "np = 3",
                "np: int = 3",
                "np: int",
                "np += 1",
                "del np",
                "for np in []: pass",
                "with x as np: pass",
                "with x as (a, [np]): pass",
                "try: pass\nexcept E as np: pass",
                "(np := 3)",
                "[(np := i) for i in x]",
                "def np(): pass",
                "class np: pass",
                "import np",
                "import scipy as np",
                "from x import y as np",
                "import np.x",
                "a, *np = x",
                "[a, (np, b)] = x",
                "match x:\n    case np: pass",
                "match x:\n    case [*np]: pass",
                "match x:\n    case {'a': 1, **np}: pass",
                "match x:\n    case C(a=[1 as np]): pass",
                "def g():\n    global np\n    np = 3",
                "def g():\n    global np\n    import numpy as np",
                "from x import *",
                "if x:\n    np = 3",
                "while x:\n    if y: np = 3",
                "async def g():\n    async for i in y:\n        global np\n        np = i",
                "f'{(np := 3)}'",
                "x[(np := 3)] = 2",
                "def g(x=(np := 3)): pass",
                "import numpy.random as np",
            )
        ),
        # The same object again is no harm.
        ("import numpy as np\nif x:\n    import numpy as np\nnp.exp(1)", ["np.exp"]),
        # Attributes, keywords and targets that only look like the name.
        ("import numpy as np\nx.np = 3\nf(np=4)\nx.np.exp(1)\nnp.exp(1)", ["np.exp"]),
        # Scopes.
        ("import numpy as np\ndef f(np): return np.exp(1)", []),
        ("import numpy as np\ndef f(*np): return np.exp(1)", []),
        ("import numpy as np\ndef f(*, np=1, **k): return np.exp(1)", []),
        ("import numpy as np\ndef f(np, /): return lambda: np.exp(1)", []),
        ("import numpy as np\nlambda np: np.exp(1)", []),
        ("import numpy as np\nlambda: np.exp(1)", ["np.exp"]),
        ("import numpy as np\ndef f():\n    np.exp(1)\n    np = 3", []),
        ("import numpy as np\n[np.exp(1) for np in np.arange(3)]", ["np.arange"]),
        ("import numpy as np\n[np.exp(i) for i in x for j in np.arange(i)]", ["np.exp", "np.arange"]),
        ("import numpy as np\n{np.exp(1): np.exp(2) for i in x}, {np.exp(3) for i in x}", ["np.exp"] * 3),
        (
            "import numpy as np\nclass C:\n    np = 3\n    np.exp(1)\n    def f(self): return np.exp(2)",
            ["np.exp"],
        ),
        ("import numpy as np\nclass C:\n    np = 3\n    x = [np.exp(i) for i in np.zeros(3)]", ["np.exp"]),
        ("class C:\n    import numpy as np\n    np.exp(1)\n    def f(self): return np.exp(2)", ["np.exp"]),
        ("import numpy as np\ndef f():\n    global np\n    np.exp(1)", ["np.exp"]),
        (
            "def f():\n    import numpy as np\n    def g():\n        def h(): return np.exp(1)\n    np.exp(2)",
            ["np.exp", "np.exp"],
        ),
        (
            "def f():\n    import numpy as np\n    def g():\n        nonlocal np\n        np = 3\n    np.exp(1)",
            [],
        ),
        (
            "def f():\n    def g():\n        nonlocal np\n        np = 3\n    import numpy as np\n    np.exp(1)",
            [],
        ),
        ("def f():\n    import numpy as np\nnp.exp(1)", []),
        ("import numpy as np\nclass A:\n    def f(self, np):\n        class B:\n            np.exp(1)", []),
        ("import numpy as __n\nclass C:\n    def f(self): return __n.exp(1)", []),
        # Imports that may not have happened.
        ("if x:\n    import numpy as np\nnp.exp(1)", []),
        (
            "if x:\n    import numpy as np\n    np.exp(1)\n    def f(): return np.exp(2)\nelse:\n    np.exp(3)",
            ["np.exp", "np.exp"],
        ),
        ("for i in x:\n    np.exp(1)\n    import numpy as np\n    np.exp(2)", ["np.exp"]),
        ("try:\n    import numpy as np\nexcept ImportError:\n    np = None\nnp.exp(1)", []),
        ("try:\n    import numpy as np\nexcept ImportError:\n    pass\nnp.exp(1)", []),
        (
            "try:\n    import numpy as np\nexcept ImportError:\n    np.exp(1)\n    raise\nnp.exp(2)",
            ["np.exp"],
        ),
        (
            "try:\n    import numpy as np\nexcept ImportError:\n    import sys; sys.exit(1)\ndef f(): np.exp(2)",
            ["np.exp"],
        ),
        ("try:\n    import numpy as np\nexcept A:\n    raise\nexcept B:\n    pass\nnp.exp(2)", []),
        (
            "try:\n    import numpy as np\n    np.exp(1)\nexcept A:\n    pass\nelse:\n    np.exp(2)\nfinally:\n    np.exp(3)",
            ["np.exp", "np.exp"],
        ),
        (
            "try:\n    try:\n        import numpy as np\n    finally:\n        x = 1\nexcept A:\n    raise\nnp.exp(1)",
            ["np.exp"],
        ),
        ("with x:\n    import numpy as np\n    np.exp(1)\nnp.exp(2)", ["np.exp"]),
        # Star imports.
        ("from numpy import *\ndef zeros(x): pass\nzeros(3), ones(2)", ["np.ones"]),
        ("zeros(1)\nfrom numpy import *\nzeros(3)", ["np.zeros"]),
        ("from numpy import *\nfrom math import *\nexp(3)", []),
        (
            "from numpy import *\nfrom numpy.random import *\nrandom(3), zeros(2), rand(1)",
            ["np.zeros", "np.random.rand"],
        ),
        ("from numpy import *\nmax(3), round(1), abs(1)", []),
        ("import numpy as np\nfrom math import *\nnp.exp(3)", ["np.exp"]),
        ("import numpy as np\nfrom matplotlib.pyplot import *\nnp.exp(3)", ["np.exp"]),
        ("import numpy as np\nfrom mine import *\nnp.exp(3)", []),
        ("from mine import *\nimport numpy as np\nnp.exp(3)", ["np.exp"]),
        ("from numpy import exp\nfrom math import *\nexp(3)", []),
        ("from numpy import random\nfrom numpy import *\nrandom.rand(3)", ["np.random.rand"]),
        ("from numpy.random import random\nfrom numpy import *\nrandom(3)", []),
        # type()
        ("import numpy as np\ntype(x)", ["type"]),
        ("import numpy as np\ntype(x, y, z), type(*x), type(**x), type(object=x), type, type()", []),
        ("import numpy as np\ndef f(type): return type(x)", []),
        ("import numpy as np\ntype = 3\ndef f(): return type(x)", []),
        ("import numpy as np\nfrom mine import *\ntype(x)", []),
        ("import numpy as np\nfrom os import *\ntype(x)", ["type"]),
        (
            "import numpy as np\nclass C:\n    type = 3\n    type(1)\n    def f(self): return type(2)",
            ["type"],
        ),
        ("# numpy\ntype(x)", []),
        ("def f():\n    import numpy\ntype(x)", ["type"]),
    ],
)
def test_names(text: str, expected: list[str]) -> None:
    assert routed(text) == expected


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters came with Python 3.12")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import numpy as np\ndef f[np](x=np.exp(1)): return np.exp(1)", ["np.exp"]),
        ("import numpy as np\nclass C[T](np.exp(1)):\n    np.exp(2)", ["np.exp"]),
        ("import numpy as np\ntype A[T] = np.exp(1)\nnp.exp(2)", ["np.exp"]),
        ("import numpy as np\ntype np = int\nnp.exp(2)", []),
    ],
)
def test_names_with_type_parameters(text: str, expected: list[str]) -> None:
    assert routed(text) == expected


def _public_callables() -> dict[str, object]:
    found = {}
    for prefix, module in (("", np), ("linalg.", np.linalg), ("fft.", np.fft), ("random.", np.random)):
        for name in {*dir(module), *module.__all__}:
            if not name.startswith("_") and callable(getattr(module, name, None)):
                found[prefix + name] = getattr(module, name)
    return found


@pytest.mark.filterwarnings("ignore")
def test_the_catalog_knows_every_public_callable() -> None:
    live = _public_callables()
    assert len(live) > 500
    for name, value in live.items():
        known = (name in catalog.ROUTED) + (name in catalog.NOT_ROUTED)
        assert known == 1, f"numpy.{name} must be in ROUTED or in NOT_ROUTED"
        assert (name in catalog.UFUNCS) == isinstance(value, np.ufunc), name
        if isinstance(value, type):
            assert name not in catalog.ROUTED or name in ("random.Generator", "random.RandomState")
    assert all(catalog.NOT_ROUTED.values())
    assert not catalog.ROUTED & set(catalog.NOT_ROUTED)


def test_what_is_steady_is_there_in_this_release_with_a_row() -> None:
    table.load()
    for path in catalog.STEADY:
        assert operator.attrgetter(path)(np) is not None
        owner, _, _ = path.rpartition(".")
        name = owner if owner in catalog.UFUNCS else path
        assert name in table.by_name or name.startswith(("random.Gen", "random.Random", "random.default")), (
            path
        )
    assert {path for path in catalog.ROUTED if path.startswith("fft.")} <= catalog.STEADY


@pytest.mark.parametrize("name", ["", "linalg", "fft", "random"])
def test_the_catalog_knows_what_a_star_import_binds(name: str) -> None:
    live = set(getattr(np, name).__all__ if name else np.__all__)
    assert catalog.STAR_ALWAYS[name] <= live
    assert {each for each in live if not each.startswith("_")} <= catalog.STAR_MAYBE[name]
