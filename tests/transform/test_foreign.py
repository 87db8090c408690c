"""Functions that Numba compiles stay as they are written; what is around them is rewritten."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import DEFAULT

import minpy
from minpy.transform import rewriter

HEAD = "import numpy as np\n"
F = "def f(a):\n    for i in range(len(a)):\n        a[i] = np.sin(a[i]) * a[i] + 1\n    return np.sum(a)\n"
LEFT = {
    "from numba import njit\n@njit\n" + F,
    "import numba\n@numba.njit(parallel=True, cache=True)\n" + F,
    "import numba as nb\n@nb.vectorize(['float64(float64)'])\n" + F,
    "import numba.cuda\n@numba.cuda.jit\n" + F,
    "from numba import jit as fast, njit\n@fast(nopython=True)\n" + F,
    "try:\n    from numba import njit\nexcept ImportError:\n    njit = lambda f: f\n@njit\n" + F,
    "import numba\nfast = numba.njit(cache=True)\n@fast\n" + F,
    "import numba\n" + F + "g = numba.njit(f)\n",
    "import numba\n" + F + "g = numba.njit(fastmath=True)(f)\n",
    "import numba\n" + F + "numba.jit_module(nopython=True)\n",
    "from .fast import njit\n@njit\n" + F,
    "@njit\n" + F,  # a cell of a notebook
    "import numba\ng = numba.njit(lambda x: np.sin(x) * x + np.cos(x))\n",
    "from numba.experimental import jitclass\n@jitclass([])\nclass C:\n    "
    + F.replace("\n", "\n    ")
    + "\n",
    "import numba\ndef around():\n    @numba.njit\n    " + F.replace("\n", "\n    ") + "\n    return f\n",
}
REWRITTEN = {
    "import numba\n" + F,
    "from jax import jit\n@jit\n" + F,
    "import functools, numba\n@functools.cache\n" + F,
    "from numba import njit\n@njit\ndef g(x): return x\n" + F,
}


@pytest.mark.parametrize("text", sorted(LEFT))
def test_left(text):
    assert rewriter.plan(HEAD + text, DEFAULT).edits == ()
    around = HEAD + "π = 'ü' * 3; x = np.ones(3) + 1\n", "y = np.zeros(2); y[0] = 1\n"
    done = rewriter.plan(text.join(around), DEFAULT).apply()
    assert text in done
    assert done.replace(text, "") == rewriter.plan("".join(around), DEFAULT).apply()


@pytest.mark.parametrize("text", sorted(REWRITTEN))
def test_rewritten(text):
    assert "__minpy__.np.sin" in rewriter.plan(HEAD + text, DEFAULT).apply()


def test_numba_compiles_what_it_is_given():
    pytest.importorskip("numba")
    text = HEAD + "from numba import njit\n@njit\n" + F + "def g(a):\n    return f(np.array(a)) + np.sum(a)\n"
    space = {rewriter.DOOR: minpy.routed}
    exec(rewriter.compile_source(text, "given.py", DEFAULT), space)
    plain: dict = {}
    exec(text, plain)
    a = np.linspace(0.0, 1.0, 20)
    assert space["g"](a) == plain["g"](a)
    assert "__minpy__" in space["g"].__code__.co_names
