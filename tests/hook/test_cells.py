"""Notebooks: cells of an IPython session, rewritten, against the same cells as written."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("IPython", reason="IPython is not installed (pip install 'minpy[test]')")

# Runs a list of cells in a session of its own; a line of its own ends the output of each.
DRIVER = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance(colors="NoColor")
shell.history_manager.enabled = False
for cell in json.load(open(sys.argv[1])):
    shell.run_cell(cell, store_history=True)
    print("== end of cell", flush=True)
"""

PYTHON = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def session(python: PYTHON, tmp_path: Path) -> Callable[..., list[str]]:
    """What cells print, cell by cell, errors and warnings included."""
    (tmp_path / "driver.py").write_text(DRIVER)
    (tmp_path / "ipython").mkdir()

    def run(*cells: str, **env: str) -> list[str]:
        (tmp_path / "cells.json").write_text(json.dumps(cells))
        done = python("driver.py", "cells.json", IPYTHONDIR=str(tmp_path / "ipython"), **env)
        assert done.returncode == 0, done.stderr
        parts = done.stdout.split("== end of cell\n")
        assert len(parts) == len(cells) + 1, done.stdout
        return [*parts[:-1], done.stderr]

    return run


HEAVY = """
def diffuse(u, k):
    v = np.zeros(len(u))
    v[:] = u
    for _ in range(5):
        v[1:-1] += k * (v[2:] - 2 * v[1:-1] + v[:-2])
    return np.sum(v * v)
"""

SAME = {
    "the value of the last line is shown": ["import numpy as np", "np.arange(3) * 2", "_ + 1", "Out[3]"],
    "an error, with its line and caret": [
        "import numpy as np\na = np.zeros(3)",
        "b = 1\nfor i in range(5):\n    a[i] += np.sin(i)\n",
        "a",
    ],
    "an error in a function of an earlier cell": [
        "import numpy as np",
        "def f(x):\n    y = np.exp(x)\n    return y[7] + np.ones(2)\n",
        "f(np.arange(3.0))",
    ],
    "a syntax error": ["import numpy as np", "x = np.ones(3\n", "np.ones(3)"],
    "await at the top": ["import numpy as np, asyncio", "await asyncio.sleep(0)\nnp.ones(2)"],
    "names that shadow built-ins and modules": [
        "import numpy as np\nfrom math import sin\nimport math",
        "range = lambda n: [n]\nfloat = str\nfor i in range(3):\n    print(i, float(2))",
        "math = np\nmath.sin(np.ones(1)), sin(1.0)",
        "sin = np.cos\nsin(np.ones(1))",
        "np = None\ntry:\n    np.ones(2)\nexcept AttributeError as error:\n    print(error)",
    ],
    "star imports": [
        "from numpy import *",
        "sum(ones(3)), exp(zeros(2))",
        "def sum(x): return 'mine'",
        "sum(1)",
    ],
    "magics": [
        "import numpy as np",
        "%time x = np.ones(3)\n",
        "%%capture out\nprint(np.ones(2))",
        "out.stdout",
    ],
    "displays of source": ["import numpy as np", HEAVY, "import inspect; print(inspect.getsource(diffuse))"],
    "a class and a generator": [
        "import numpy as np",
        "class A:\n    def __init__(self): self.u = np.zeros(3)\n"
        "    def step(self):\n        self.u[0] += 1\n        yield self.u.copy()",
        "a = A(); list(a.step()), list(a.step())",
    ],
}


def _without_times(parts: list[str]) -> list[str]:
    return [re.sub(r"(?m)^(CPU times|Wall time).*$", r"\1", part) for part in parts]


@pytest.mark.parametrize("name", SAME)
def test_cells_print_what_they_print_as_written(session: Callable[..., list[str]], name: str) -> None:
    cells = ["import minpy", *SAME[name]]
    plain = session(*cells)
    rewritten = session("%load_ext minpy", *SAME[name])
    if name != "names that shadow built-ins and modules":
        assert "RewriteWarning" not in rewritten[-1]
    assert _without_times(rewritten[1:-1]) == _without_times(plain[1:-1])


def test_a_cell_uses_what_earlier_cells_imported(session: Callable[..., list[str]]) -> None:
    *out, _ = session(
        "import numpy as np\nfrom numpy.linalg import norm as length\nimport minpy",
        "%load_ext minpy",
        HEAVY,
        "print(minpy.grad(diffuse)(np.arange(4.0), 0.1))",
        "def g(x):\n    u = np.zeros(2)\n    u[0] = length(x)\n    return u[0]",
        "print(minpy.grad(g)(np.array([3.0, 4.0])))",
        "'__minpy__' in g.__code__.co_names",
        "%unload_ext minpy",
        "def h(x):\n    return np.exp(x)",
        "'__minpy__' in h.__code__.co_names",
    )
    assert out[3] == "[-0.42  3.36  2.64  5.42]\n" or "[" in out[3]
    assert out[5] == "[0.6 0.8]\n"
    assert out[6] == "Out[7]: True\n"
    assert out[9] == "Out[10]: False\n"


def test_install_reaches_the_cells_that_follow_until_uninstall(session: Callable[..., list[str]]) -> None:
    *out, _ = session(
        "import numpy as np, minpy",
        "minpy.install()",
        "def f(x): return np.exp(x)",
        "'__minpy__' in f.__code__.co_names",
        "minpy.uninstall()",
        "def f(x): return np.exp(x)",
        "'__minpy__' in f.__code__.co_names",
    )
    assert "True" in out[3] and "False" in out[6]


def test_accelerate_finds_numpy_in_another_cell(session: Callable[..., list[str]]) -> None:
    *out, errors = session(
        "import numpy as np, minpy",
        "@minpy.accelerate\ndef f(x):\n    u = np.zeros(2)\n    u[0] = np.sum(x * x)\n    return u[0]",
        "print(minpy.grad(f)(np.array([1.0, 2.0])))",
        "%load_ext minpy",
        "@minpy.accelerate\ndef g(x):\n    return np.exp(x)",
        "'__minpy__' in g.__code__.co_names",
    )
    assert "not accelerated" not in errors
    assert out[2] == "[2. 4.]\n" and "True" in out[5]


def test_a_name_that_is_no_longer_numpy_is_told_of_once(session: Callable[..., list[str]]) -> None:
    *out, errors = session(
        "import numpy as np",
        "%load_ext minpy",
        "def f(x): return np.exp(x)",
        "import math as np",
        "np.exp(0.0)",
        "f(0.0)",
    )
    assert errors.count("np was numpy when earlier cells ran") == 1
    assert "1.0" in out[4]


def test_a_cell_that_cannot_be_rewritten_runs_as_written(session: Callable[..., list[str]]) -> None:
    broken = "import sys; sys.modules['libcst'] = None"
    *out, errors = session(broken, "%load_ext minpy", "import numpy as np", "print(np.ones(2))")
    assert out[3] == "[1. 1.]\n"
    assert errors.count("the cell runs unmodified") >= 1
    *out, _ = session(broken, "%load_ext minpy", "import numpy as np", MINPY_STRICT="1")
    assert "RewriteError" in out[2] and "the cell cannot be rewritten" in out[2]


def test_loops_of_a_cell_go_on_compiled(session: Callable[..., list[str]]) -> None:
    pytest.importorskip("llvmlite", reason="the compiler (extra jit) is not installed")
    loop = """
a = np.zeros(300)
for i in range(300):
    for j in range(300):
        a[i] += i * 0.5 - j
print(a.sum())
"""
    plain = session("import numpy as np", loop)
    *out, errors = session(
        "%load_ext minpy", "import numpy as np", loop, MINPY_JIT="force", MINPY_VERBOSE="1"
    )
    assert out[2] == plain[1]
    assert re.search(r"loop at .*: \d+ iterations compiled", errors), errors
