"""The short way to compiled code: what repeats takes it, whatever differs does not, and nobody can tell."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import weakref
from typing import Any

import numpy as np
import pytest

from minpy.options import Options
from minpy.runtime.fuse import shortcut, sites
from minpy.transform import hook, rewriter
from tests.fuse.conftest import HAS_COMPILER
from tests.fuse.test_augmented import NAMES

pytestmark = pytest.mark.skipif(not HAS_COMPILER, reason="needs the extra jit")

REPEATED = [
    "x = a * s + b * 2.0",
    "b[1:-1, 1:-1] = 0.2 * (a[1:-1, 1:-1] + a[:-2, 1:-1] + a[2:, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:])",
    "a += s * b",
    "a[1:-1] += 0.1 * (b[2:] - b[:-2])",
    "a[1:-1] += 0.1 * (a[2:] - 2 * a[1:-1] + a[:-2])",
    "a[1:-1] = 0.1 * (a[2:] - 2 * a[1:-1] + a[:-2])",
    "v[::2] = w[::2] * 2 + w[1::2]",
    "v[::2] += w[::2] * 2 + w[1::2]",
    "x = (a < b) & (a > s)",
    "x = np.where(a > s, np.sqrt(b), -b)",
    "i += 2 * j + 1",
    "f *= g * s - f",
    "x = i * k + j",
    "x = a[k:] * 2 + b[k:]",
    "x = a * (s * k + 1) + b * (1 - s)",
    "x = a + row * 2; row += x[3] * 1e-3",
    "x = a * b + a; a = a + 1e-3 * x",
    "a, b = b, a; a[1:] = b[:-1] * 2 + a[1:]",
]


@pytest.mark.parametrize("text", REPEATED)
def test_repeated(run_all, text: str) -> None:
    """The same statement again and again; then with other numbers, arrays and layouts."""
    body = "; ".join([text, "s = s * 1.01 if n < 2 else s"])
    program = f"def run(a, b, f, g, i, j, u, v, w, row, s, k):\n  x = None\n  for n in range(5):\n    {body}\n  return a, b, f, i, v, row, x\n"
    program += "r1 = run(a, b, f, g, i, j, u, v, w, row, s, k)\n"
    program += "r2 = run(a[:20], b[:20], f[1:], g[1:], i, j, u, v[:800], w[:800], row, 0.5, 2)\n"
    program += "r3 = run(a, a, f, f, i, i, u, v, v, row, s, k)\n"
    program += "r4 = run(a[:, 1:].copy('F'), b[:, 1:], f, g, i, j, u, v, w, row[1:], np.float64(s), k)\n"
    found = run_all(program, fused=None, **NAMES)
    taken = [site.block.shortcut.hits for site in found if site.block and site.block.shortcut is not None]
    assert any(taken), found


def test_what_is_reported(run_all) -> None:
    """A warning in the middle of a loop: what the short way changed is put back, and NumPy speaks."""
    program = "for n in range(6):\n    b[3, 4] = 0.0 if n == 4 else 1.0\n    a += s / b\n    x = a / b + a\n    a[3, 4] = 1.0"
    run_all(program, **NAMES)
    with_errors = "with np.errstate(divide='raise'):\n  try:\n" + "\n".join(
        f"    {line}" for line in program.splitlines()
    )
    run_all(with_errors + "\n  except FloatingPointError as e:\n    y = str(e)", fused=None, **NAMES)


def test_states_and_kinds_that_change(run_all) -> None:
    program = """
class Sub(np.ndarray): pass
for n, other in enumerate([a, a, a, a.view(Sub), a, a.astype(np.float32), a, a[::2], a, 2.5, a, None, a]):
    try:
        y = other * s + b[:16] if n == 7 else other * s + b
    except TypeError as e:
        y = str(e)
for n in range(9):
    old = np.seterr(all='raise' if n == 4 else 'warn', under='ignore')
    try:
        z = a / (b - b if n == 4 else b) + a
    except FloatingPointError as e:
        z = str(e)
    np.seterr(**old)
for n in range(6):
    b.flags.writeable = n != 4
    try:
        b[1:] = a[1:] * 2 + a[:-1]
    except ValueError as e:
        t = str(e)
for n in range(6):
    square = np.sqrt
    if n == 4:
        np.sqrt = np.square
    q = np.sqrt(b) + b
    np.sqrt = square
c = a
for n in range(8):
    if n == 3: c = a[:]
    if n == 5: c = a.copy()
    c[1:] = a[:-1] * 2 + c[1:]
for n in range(6):
    k = 3 if n < 4 else np.int64(2)
    d = a * k + b
for n in range(5):
    k = [1, 1, 2**62, True, 1][n]
    d = i * k + j
"""
    run_all(program, **NAMES)


def _program(text: str, monkeypatch: Any, tmp_path: Any, **names: Any) -> dict[str, Any]:
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("MINPY_FUSE", "force:direct")
    from minpy.runtime.entry import routed

    monkeypatch.setitem(__import__("builtins").__dict__, "__minpy__", routed)
    space: dict[str, Any] = {"np": np, **names}
    own = f"import numpy as np\n{text}\n# {tmp_path}"
    exec(hook.announce(rewriter.compile_source(own, "p.py", Options(fuse="force"))), space)
    return space


def test_nothing_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """No reference is lost or left over."""
    sites._local.results.clear()  # of what other tests interrupted
    space = _program(
        "def f(a, b, s):\n    x = a * s + b\n    a[1:] = b[:-1] * s + b[1:]\n    b += a * s\n    return x",
        monkeypatch, tmp_path,
    )  # fmt: skip
    a, b, s = np.ones((40, 50)), np.ones((40, 50)), 1e-9
    things: list[Any] = [a, b, s, None, True, False, a.dtype, np.ndarray, 0]
    for _ in range(50):
        space["f"](a, b, s)
    gc.collect()
    before = [sys.getrefcount(each) for each in things]
    for _ in range(2000):
        space["f"](a, b, s)
    gc.collect()
    after = [sys.getrefcount(each) for each in things]
    assert max(abs(x - y) for x, y in zip(before, after, strict=True)) < 50
    x = space["f"](a, b, s)
    assert sys.getrefcount(x) == 2
    assert not sites._local.results


def test_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Every thread gets its own results."""
    space = _program("def f(a, s):\n    x = a * s + 1.0\n    return x", monkeypatch, tmp_path)
    wrong = []

    def work(number: float) -> None:
        a = np.full((60, 70), number)
        for n in range(400):
            if not (space["f"](a, 2.0 + n) == number * (2.0 + n) + 1.0).all():
                wrong.append(number)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(float(k),)) for k in range(6)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong


def test_tracers_see_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    space = _program("def f(a):\n    x = a * 2 + 1.0\n    return x", monkeypatch, tmp_path)
    a = np.ones((30, 40))
    for _ in range(4):
        space["f"](a)
    site = next(each for each in reversed(sites.sites) if each.block is not None)
    hits = site.block.shortcut.hits
    assert hits
    old = sys.gettrace()
    sys.settrace(lambda *_: None)
    try:
        space["f"](a)
    finally:
        sys.settrace(old)
    assert site.block.shortcut.hits == hits
    if old is None:
        space["f"](a)
        assert site.block.shortcut.hits == hits + 1


def test_a_tape_sees_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    import minpy

    space = _program("def f(a):\n    x = a * a + 1.0\n    return np.sum(x)", monkeypatch, tmp_path)
    a = np.arange(12.0).reshape(3, 4)
    for _ in range(4):
        space["f"](a)
    assert (minpy.grad(space["f"])(a) == 2 * a).all()
    assert space["f"](a) == (a * a + 1).sum()


def test_it_is_possible() -> None:
    assert shortcut.is_possible()


def test_geometries_that_never_repeat_have_no_short_way(run_all) -> None:
    """What compiled code costs there is what the long way takes: nothing that was decided in another belief stays."""
    found = run_all("for n in range(60):\n    v[n : 700] = w[n : 700] * 2.0 + s", **NAMES)
    blocks = [site.block for site in found if site.block is not None and site.block._refused]
    assert blocks and all(block.site is None for block in blocks)
    for block in blocks:
        for choice in block._choices.values():
            assert not choice.may_be_short
            choice.verdict, choice.best, choice.runs = (
                "native1",
                {"native1": 1e-6, "written": 2e-6},
                {"native1": 9},
            )
            choice.forget_short_way()
            assert (choice.verdict, choice.best, choice.runs) == (None, {"written": 2e-6}, {})


def test_the_function_owns_what_it_needs(run_all) -> None:
    """A site that is forgotten, while its function is still there to be found, and to be called."""
    before = len(sites.sites)
    run_all(
        "def f(a, b, s):\n    return a * s + b * 2.0\nfor n in range(4):\n    x = f(a, b, s)\ndel f", **NAMES
    )
    gone = [
        weakref.ref(site.block.shortcut)
        for site in sites.sites[before:]
        if getattr(site.block, "shortcut", None)
    ]
    functions = [
        site.block.shortcut.function for site in sites.sites[before:] if getattr(site.block, "shortcut", None)
    ]
    del sites.sites[before:]
    for _ in range(3):
        gc.collect()
        [np.zeros(16, np.int64) for _ in range(1000)]
    assert functions and all(each() is not None for each in gone)
    text = functions[0].__self__.owner._kept[0].block.text
    assert functions[0](text, *(NAMES[name] for name in "asb")) is True
    assert sites.take().tobytes() == (NAMES["a"] * NAMES["s"] + NAMES["b"] * 2.0).tobytes()


def test_one_row_that_stands_for_all_is_none_of_several(run_all) -> None:
    """Rows of the same strides, as many as the result has and one that is broadcast, in turns: one piece of code."""
    program = "t = a[:2] * 1; y = []\n"
    program += (
        "for rows in (b[:2], b[:2], b[1:2], b[1:2], b[:2], b[2:3]):\n    x = t * rows - t\n    y.append(x)"
    )
    run_all(program, **NAMES)


def test_the_guards_call_what_every_python_has() -> None:
    """What is a macro in Python 3.10 is no function there, and blocks would go the long way without a word."""
    from minpy.runtime.fuse.guard import writing
    from minpy.runtime.jit.guard import writing as of_loops

    macros = {"PyObject_Vectorcall", "PyObject_CallOneArg"}
    for functions in (writing.FUNCTIONS, of_loops.FUNCTIONS):
        assert not macros & functions.keys()
        assert all(hasattr(ctypes.pythonapi, name) for name in functions)
