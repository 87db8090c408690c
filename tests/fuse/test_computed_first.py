"""What a block computes before its loops, of numbers, elements and small arrays: on the short way too, each time anew."""

from __future__ import annotations

import signal
import sys
from typing import Any

import numpy as np
import pytest

from tests.fuse.conftest import HAS_COMPILER

pytestmark = pytest.mark.skipif(not HAS_COMPILER, reason="needs the extra jit")

rng = np.random.default_rng(15)
NAMES: dict[str, Any] = {
    "a": rng.normal(size=(40, 50)),
    "b": rng.random((40, 50)) + 0.1,
    "f": rng.normal(size=(40, 50)).astype(np.float32),
    "i": rng.integers(-9, 9, (40, 50)),
    "row": rng.random(50),
    "col": rng.random(40),
    "w": rng.random(60),
    "h": rng.random(60).astype(np.float32),
    "c": rng.random((5, 6)),
    "s": 0.5,
    "o": np.zeros((40, 50)),
}

# Done for each n of range(8), while elements and numbers change.
STATEMENTS = [
    "x = a * w[3] + b * w[4]",
    "x = a * c[2, n % 1] + b",
    "x = a * c[n // 2, 1] + b * w[n]",
    "o[:] = a * w[n] - o * w[n + 1]",
    "a += b * w[n] * s",
    "x = f * h[n] + f",
    "x = f * w[n] + f",
    "x = f * s * n + f",
    "x = i * (n * 2 + 1) + i",
    "x = a * (n * 2 + 1) + b",
    "x = np.exp(-(n * n + s * s) / 8.0) * np.exp(-((a - b) ** 2) / 0.02)",
    "x = a * (1.0 / (n + 1)) + b * (s ** n)",
    "x = a / (n - 4) + b",
    "x = a * np.exp(n * 120.0) + b",
    "x = a * (w[n] / (w[n] - w[4])) + b",
    "x = a + row * 2",
    "x = a * (row * s + 1) + b * (col * 2)[:, None] if False else a * (row * s + 1)",
    "x = a * (row - row[n]) + col[:, None] * 2",
    "x = a * (row / (n - 5)) + b",
    "a[:, :] = a * (row * 2 + s) - b * n",
    "x = b ** w[n] + a",
    "x = b ** (n * 0.5) + a",
    "x = np.where(a > w[n], a, b * w[n])",
    "x = a * (n // 3) + (n % 2) * b",
    "x = a * -n + b * +n",
    "x = a * (2 ** (n * 9)) + b",
    "t = row * n; x = a * t + b * t",
]


@pytest.mark.parametrize("text", STATEMENTS)
def test_computed_first(run_all, text: str) -> None:
    lines = "".join(f"        {each}\n" for each in text.split("; "))
    program = f"def run(a, b, f, i, row, col, w, h, c, s, o):\n    seen = []\n    for n in range(8):\n{lines}"
    program += "        seen.append((locals().get('x', o).copy(), a.copy()))\n"
    program += "        w[n] += 1; c[2, 0] = n; row[n] *= 2; h[n] -= 1; s = s + 0.25\n    return seen\n"
    program += "r1 = run(a, b, f, i, row, col, w, h, c, s, o)\n"
    program += "r2 = run(a[1:], b[1:], f[1:], i[1:], row, col[1:], w, h, c, np.float64(s), o[1:])\n"
    program += "try:\n    r3 = run(a, b, f, i, row, col, w[:6], h, c, 2, o)\nexcept IndexError as e:\n    r3 = str(e)\n"
    run_all(program.replace("locals().get('x', o)", "x" if "x =" in text else "o"), fused=None, **NAMES)


@pytest.mark.parametrize(
    "text",
    [
        "x = a * w[n] + b * w[4]",
        "x = np.exp(-(n * n + s * s) / 8.0) * np.exp(-((a - b) ** 2) / 0.02)",
        "x = a + row * 2",
        "x = a * (1.0 / (n + 1)) + b",
    ],
)
def test_it_is_the_short_way(run_all, text: str) -> None:
    program = f"def run(a, b, row, w, s):\n    for n in range(9):\n        {text}\n        w[n] += 1; row[n] += 1\nrun(a, b, row, w, s)"
    found = run_all(program, **NAMES)
    hits = [site.block.shortcut.hits for site in found if site.block and site.block.shortcut is not None]
    assert max(hits) >= 7, found


def test_warnings_come_once(run_all) -> None:
    """Small operations that would warn are made as the program has them, and by it alone."""
    program = "for n in range(9):\n    x = a * np.exp(w[n] * (900.0 if n == 6 else 1.0)) + b\n"
    program += "for n in range(9):\n    y = a * (row / (row[3] * (n != 6))) + b"
    run_all(program, fused=None, **NAMES)


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_what_a_handler_raises_is_passed_on(run_all) -> None:
    """Ctrl-C, or a time limit, in the midst of it."""
    program = """
import signal
class Late(OSError): pass
def late(*_): raise Late("late")
def run(a, b, w):
    n = 0
    while n < 10_000_000:
        x = a * (w[3] * n - 1.0) + b
        n += 1
signal.signal(signal.SIGALRM, late)
signal.setitimer(signal.ITIMER_REAL, 0.1, 2)  # again, as the import of a module may take an OSError for its own
try:
    run(a, b, w)
except Late as e:
    why = str(e)
finally:
    signal.setitimer(signal.ITIMER_REAL, 0)
del Late, late
"""
    before = signal.getsignal(signal.SIGALRM)
    try:
        run_all(program, fused=None, **NAMES)
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("engine", ["force:tiled1", "force:direct"])
def test_a_handler_leaves_no_state_behind(monkeypatch, tmp_path, engine: str) -> None:
    """Whenever a handler raises, `np.geterr()` is then what it was."""
    import builtins
    import random

    from minpy.options import Options
    from minpy.runtime.entry import routed
    from minpy.transform import hook, rewriter

    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("MINPY_FUSE", engine)
    monkeypatch.setitem(builtins.__dict__, "__minpy__", routed)
    text = "import numpy as np\ndef run(a, b, w, most):\n    n = 0\n    while n < most:\n        x = a * (w[3] * n - 1.0) + b\n        n += 1\n"
    space: dict = {}
    exec(hook.announce(rewriter.compile_source(text, "program.py", Options(jit="off", fuse="force"))), space)
    space["run"](np.ones(50), np.ones(50), np.ones(5), 2_000)  # what is loaded, is loaded
    usual, before = np.geterr(), signal.getsignal(signal.SIGALRM)

    class Late(Exception):
        pass

    def late(*_: object) -> None:
        raise Late

    signal.signal(signal.SIGALRM, late)
    rng = random.Random(0)
    try:
        for _ in range(150):
            with pytest.raises(Late):
                signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.002, 0.01))
                space["run"](np.ones(50), np.ones(50), np.ones(5), 10**7)
            assert np.geterr() == usual
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        np.seterr(**usual)
