"""The first run of a program: another process rewrites it meanwhile, and the program cannot tell."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest

from minpy.options import Options
from minpy.runtime import entry
from minpy.transform import ahead, build, cache, products

linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="programs are rewritten ahead on Linux only"
)

LOOK = """
import numpy as np
import os, sys, threading
print(np.sum(np.ones(3)), 'libcst' in sys.modules, threading.active_count())
try:
    print(os.waitpid(-1, os.WNOHANG))
except ChildProcessError:
    print('no children')
"""


@linux
def test_the_program_is_alone(bench, tmp_path):
    """No child is left to wait for, and libcst was never in this process."""
    bench.write("look.py", LOOK)
    for _ in range(2):  # cold, warm
        outcome = bench.minpy("run", "look.py", MINPY_CACHE_DIR=str(tmp_path / "cache"))
        assert (outcome.status, outcome.text) == (0, "3.0 False 1\nno children\n")


@linux
def test_modules_beside_the_program_are_rewritten_too(bench, tmp_path):
    bench.write("main.py", "import sys\nimport helper, pkg.part\nfrom helper import f\nimport numpy as np\n"
                "print(f(np.ones(2)), pkg.part.X, 'libcst' in sys.modules)")  # fmt: skip
    bench.write("helper.py", "import numpy as np\nimport deeper\ndef f(a):\n    return np.sum(a) + deeper.Y")
    bench.write("deeper.py", "import numpy as np\nY = np.exp(0.0)")
    bench.write("pkg/__init__.py", "import numpy as np\nZ = np.ones(1)")
    bench.write("pkg/part.py", "import numpy as np\nX = np.floor(1.5)")
    outcome = bench.minpy("run", "-v", "main.py", MINPY_CACHE_DIR=str(tmp_path / "cache"))
    assert outcome.text == "3.0 1.0 False\n"
    for name in ("helper", "deeper", "pkg", "pkg.part"):
        assert f"minpy: {name} from cache (" in outcome.error
    assert "minpy: rewrote __main__ (" in outcome.error


@linux
@pytest.mark.parametrize(("processors", "taken"), [({0, 1}, 0.25), ({0}, 1.0)])
def test_what_the_other_process_takes_from_the_program(monkeypatch, processors, taken):
    """All that it works with one processor; what is waited for after NumPy's import with more."""
    monkeypatch.setattr(ahead, "_may_fork", lambda: True)
    monkeypatch.setattr(ahead, "import_numpy", lambda: 5.0)
    monkeypatch.setattr(os, "fork", lambda: 1)
    monkeypatch.setattr(
        os, "wait4", lambda pid, options: (pid, 0, SimpleNamespace(ru_utime=0.7, ru_stime=0.3))
    )
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: processors)
    ticks = iter((10.0, 15.25))
    monkeypatch.setattr(ahead, "perf_counter", lambda: next(ticks))
    assert ahead.rewrite(b"import numpy", "program.py", Options()) == (5.0, taken)


@linux
def test_what_the_program_does_before_numpy_is_done_before_numpy(bench, tmp_path):
    bench.write(
        "main.py",
        "import os, sys\nfirst = 'numpy' in sys.modules\nimport numpy as np\nprint(first, np.sum([1]))",
    )
    outcome = bench.minpy("run", "main.py", MINPY_CACHE_DIR=str(tmp_path / "cache"))
    assert outcome.text == "False 1\n"


@linux
@pytest.mark.parametrize("name", ["numpy.py", "secrets.py", "numpy/__init__.py"])
def test_a_module_that_hides_another(bench, tmp_path, name):
    """What such a module prints comes once, and its error from the program's own line."""
    bench.write(name, "print('hidden', __name__)\nraise ImportError('not the real one')")
    bench.write("main.py", "print('begins')\nimport numpy as np\nprint(np.ones(2))")
    bench.write("other.py", "import numpy as np\nprint(np.ones(2))")
    for script in ("main.py", "other.py"):
        plain = bench.python(script)
        ours = bench.minpy("run", script, MINPY_CACHE_DIR=str(tmp_path / "cache"))
        assert (ours.status, ours.text, ours.error) == (plain.status, plain.text, plain.error)


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("import numpy", True),
        ("'''text'''\nfrom __future__ import annotations\nimport os.path, numpy.linalg as l", True),
        ("from math import pi\nfrom numpy import exp", True),
        ("import os\nos.environ['OMP_NUM_THREADS'] = '1'\nimport numpy", False),
        ("import pandas\nimport numpy", False),
        ("from . import x\nimport numpy", False),
        ("if True:\n    import numpy", False),
        ("print('numpy')", False),
        ("import numpy as", False),
        ("", False),
    ],
)
def test_whatbegins_with_numpy(text, begins):
    assert ahead.begins_with_numpy(text.encode()) is begins


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("org.python.core", False),
        ("pickle5", False),
        ("numpy.linalg", False),
        ("copy", False),
        ("pytest", True),
    ],
)
def test_what_is_imported_as_it_is_may_ask_for_products(monkeypatch, name, asked):
    """If it is there: Python's own modules and NumPy ask for some of other Pythons and releases."""
    found = []
    monkeypatch.setattr(entry, "products", False)
    monkeypatch.setattr(entry, "expect_products", lambda: found.append(name))
    products.meet(name)
    assert bool(found) is asked


SOURCE = b"import numpy as np\nprint(np.exp(1.0))\n"


def fresh(tmp_path, monkeypatch):
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(ahead, "_may_fork", lambda: True)
    return str(tmp_path / "program.py")


def test_no_process_to_be_had(tmp_path, monkeypatch):
    def refuse():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    path = fresh(tmp_path, monkeypatch)
    monkeypatch.setattr(os, "fork", refuse)
    entry, note = build.find_or_build(SOURCE, path, Options(), first=True)
    assert entry.edits and not note


@linux
@pytest.mark.parametrize("trouble", ["raises", "dies", "writes nothing"])
def test_the_other_process_fails(tmp_path, monkeypatch, trouble):
    def fill(*_):
        if trouble == "dies":
            os.kill(os.getpid(), 9)
        if trouble == "raises":
            os.close(2)  # what a fork of the test-suite prints is of no use
            raise RuntimeError

    path = fresh(tmp_path, monkeypatch)
    monkeypatch.setattr(ahead, "_fill", fill)
    entry, _ = build.find_or_build(SOURCE, path, Options(), first=True)
    assert entry.edits and cache.load(SOURCE, path, Options()) is not None


@linux
def test_the_other_process_writes_what_this_one_would(tmp_path, monkeypatch):
    path = fresh(tmp_path, monkeypatch)
    entry, _ = build.find_or_build(SOURCE, path, Options(), first=True)
    assert entry.code == build.rewrite(SOURCE, path, Options()).code and entry.edits


def test_where_nothing_may_be_kept(tmp_path, monkeypatch):
    """The result travels through the cache: without one there is no other process."""
    path = fresh(tmp_path, monkeypatch)
    monkeypatch.setattr(ahead, "rewrite", lambda *_: pytest.fail("was asked"))
    assert build.find_or_build(SOURCE, path, Options(cache=False), first=True)[0].edits
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert build.find_or_build(SOURCE, path, Options(), first=True)[0].edits
