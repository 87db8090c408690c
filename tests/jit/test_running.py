"""How compiled loops behave in a running program: policy, caches, signals, tools that look on, faults."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

from minpy.runtime.jit import engine, loader, lower, sites, store
from minpy.runtime.jit.kinds import Unsupported

ROOT = str(Path(__file__).parents[2])
LOOP = """
import numpy as np, sys
a = np.zeros(2000)
def f():
    s = 0.0
    for i in range(len(a)):
        for j in range(200):
            s += a[i] + j
        a[i] = s
    return s
first = f()
"""
SHOW = """
print(first)
from minpy.runtime.jit import sites
print(sum(site.compiled for site in sites.sites), [site.reason for site in sites.sites if site.reason])
"""


def run(folder: Path, text: str, *options: str, **environment: str) -> list[str]:
    """The lines that a program prints under ``minpy run``."""
    path = folder / "program.py"
    path.write_text(textwrap.dedent(text))
    variables = {**os.environ, "PYTHONPATH": ROOT, "MINPY_CACHE_DIR": str(folder / "cache"), **environment}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", "minpy", "run", *options, str(path)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def expected() -> str:
    space: dict[str, Any] = {}
    exec(LOOP, space)
    return str(space["first"])


def test_compiles_when_forced_and_not_when_off(tmp_path: Path) -> None:
    assert run(tmp_path, LOOP + SHOW, MINPY_JIT="force") == [expected(), "2000 []"]
    assert run(tmp_path, LOOP + SHOW, MINPY_JIT="0") == [expected(), "0 []"]
    assert run(tmp_path, LOOP + SHOW, "--no-jit") == [expected(), "0 []"]


def test_the_compiler_says_nothing(tmp_path: Path) -> None:
    """A short axis in pieces of unknown length cannot be unrolled, which LLVM told the user of."""
    text = """
    import numpy as np
    def f(a, n):
        total = np.zeros_like(a)
        for i in range(n):
            k = i % 4
            total += np.roll(a, k, axis=1) * 2.0 + a
        return total
    print(sum(f(np.random.default_rng(0).random((40, 5)), 30).sum() > 0 for _ in range(4)))
    """
    assert run(tmp_path, text, MINPY_JIT="force")[0] == "4"


def test_a_second_run_needs_no_compiler(tmp_path: Path) -> None:
    text = LOOP + "print('llvmlite.binding' in sys.modules)\n" + SHOW
    assert run(tmp_path, text, MINPY_JIT="force")[0] == "True"
    kept = sorted(path.suffix for path in (tmp_path / "cache" / "loops").iterdir())
    assert kept == [".guard", ".loop"]
    loads = "False" if sys.platform.startswith("linux") and os.uname().machine == "x86_64" else "True"
    assert run(tmp_path, text, MINPY_JIT="force")[0] == loads


@pytest.mark.parametrize("damage", [b"", b"1234", b"12345678" * 100])
def test_a_damaged_cache_is_a_miss(tmp_path: Path, damage: bytes) -> None:
    run(tmp_path, LOOP + SHOW, MINPY_JIT="force")
    for path in (tmp_path / "cache" / "loops").iterdir():
        path.write_bytes(damage)
    assert run(tmp_path, LOOP + SHOW, MINPY_JIT="force") == [expected(), "2000 []"]


def test_without_a_place_for_the_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    where = str(tmp_path / "file" / "cache")
    assert run(tmp_path, LOOP + SHOW, MINPY_JIT="force", MINPY_CACHE_DIR=where) == [expected(), "2000 []"]


def test_a_failing_compiler_leaves_the_loop_as_written(tmp_path: Path) -> None:
    broken = "import llvmlite.binding\ndef no(*_): raise RuntimeError('broken')\nllvmlite.binding.parse_assembly = no\n"
    compiled, reasons = run(tmp_path, broken + LOOP + SHOW, MINPY_JIT="force")[1].split(maxsplit=1)
    assert compiled == "0"
    assert "the compiler refused it: broken" in reasons


def test_without_the_compiler(tmp_path: Path) -> None:
    hidden = "import sys\nsys.modules['llvmlite'] = None\n"
    assert run(tmp_path, hidden + LOOP + SHOW, MINPY_JIT="force") == [expected(), "0 []"]


def test_a_source_that_is_not_there_runs_as_written(tmp_path: Path) -> None:
    gone = LOOP.replace("first = f()", "import os\nos.unlink(__file__)\nfirst = f()")
    answer = run(tmp_path, gone + SHOW, MINPY_JIT="force")
    assert answer[0] == expected()
    assert "its source is not where the code says" in answer[1]


@pytest.mark.parametrize(
    "look",
    ["sys.settrace(lambda *_: None)", "sys.setprofile(lambda *_: None)", "np.seterr(under='raise')"],
)
def test_as_written_while_someone_looks_on(tmp_path: Path, look: str) -> None:
    text = LOOP.replace("first =", f"{look}\nfirst =") + "sys.settrace(None); sys.setprofile(None)\n"
    assert run(tmp_path, text + SHOW, MINPY_JIT="force") == [expected(), "0 []"]


def test_as_written_on_a_tape(tmp_path: Path) -> None:
    text = """
    import numpy as np, minpy
    def f(x):
        y = np.zeros(4)
        for i in range(4):
            y[i] = x[i] * x[i - 1]
        return y.sum()
    first = minpy.grad(f)(np.arange(4.0)).tolist()
    """
    assert run(tmp_path, textwrap.dedent(text) + SHOW, MINPY_JIT="force") == ["[4.0, 2.0, 4.0, 2.0]", "0 []"]


def test_lines_seen_by_a_tracer_are_the_programs(tmp_path: Path) -> None:
    trace = "lines = []\ndef look(frame, event, _):\n    if frame.f_code.co_name != 'f': return None\n"
    trace += "    lines.append((event, frame.f_lineno))\n    return look\n"
    text = LOOP.replace("2000", "20").replace("200)", "3)")
    text = text.replace("first =", f"{trace}sys.settrace(look)\nfirst =") + "sys.settrace(None)\n"
    text += "print(lines)\n"
    plain = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout
    assert run(tmp_path, text, MINPY_JIT="force") == plain.splitlines()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers that send signals")
def test_signals_get_through(tmp_path: Path) -> None:
    text = """
    import numpy as np, signal
    class Stop(Exception): pass
    def stop(*_): raise Stop
    signal.signal(signal.SIGALRM, stop)
    a = np.zeros(10)
    def f():
        x = 1
        try:
            for i in range(3):
                while x >= 0:
                    x = (x * 5 + 1) % 1000003
                    a[x % 10] = x
        except Stop:
            return type(x), i
    signal.setitimer(signal.ITIMER_REAL, 2.5)  # until then it is compiled, on a busy machine too
    print(f())
    """
    assert run(tmp_path, text, MINPY_JIT="force") == ["(<class 'int'>, 0)"]


def test_hot_loops_are_compiled_and_short_ones_left(tmp_path: Path) -> None:
    text = """
    import numpy as np
    a = np.zeros(300)
    def long():
        s = 0
        for i in range(4000000):
            s += i % 7
        return s
    def short():
        for i in range(3):
            a[i] += 1
    long()
    [short() for _ in range(1000)]
    first = a.sum()
    from minpy.runtime.jit import sites
    hot, cold = (next(site for site in sites.sites if site.line == line) for line in (6, 10))
    print(hot.line, hot.compiled > 0, cold.line, cold.compiled, bool(cold.reason or cold.naps))
    """
    assert run(tmp_path, text) == ["6 True 10 0 True"]


def test_verbose_says_what_became_of_the_loops(tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(LOOP + "x = {}\nfor i in range(9): x[i] = i\n")
    variables = {
        **os.environ,
        "PYTHONPATH": ROOT,
        "MINPY_CACHE_DIR": str(tmp_path / "cache"),
        "MINPY_JIT": "force",
    }
    command = [sys.executable, "-m", "minpy", "run", "-v", str(path)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    loops = [line for line in done.stderr.splitlines() if " loop at " in line]
    assert loops == [
        f"minpy: loop at {path}:6: 2000 iterations compiled",
        f"minpy: loop at {path}:13: as written: line 13: 'x' is neither a number nor an array of numbers",
    ]


def test_the_frame_is_not_kept_alive(run_both: Any) -> None:
    text = """
    import weakref
    class Thing: pass
    def f():
        thing, s = Thing(), 0
        found.append(weakref.ref(thing))
        for i in range(10): s += i
        for i in range(10):
            if i == 5: break
    found = []
    f()
    alive = found[0]() is not None
    """
    run_both(textwrap.dedent(text))


def test_threads_share_a_site(run_both: Any) -> None:
    text = """
    import threading
    a = np.zeros((8, 500))
    def f(k):
        for i in range(500): a[k, i] = a[k, i - 1] + k
    threads = [threading.Thread(target=f, args=(k,)) for k in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    del threads, thread
    """
    before = threading.active_count()
    run_both(textwrap.dedent(text))
    assert threading.active_count() == before


def test_the_loader_takes_what_it_understands_only() -> None:
    assert loader.place(b"", "kernel", {}) == 0
    assert loader.place(b"\x7fELF\x02\x01" + bytes(100), "kernel", {}) == 0
    code = engine.object_code("define i64 @kernel(ptr %w) {\n  ret i64 7\n}\n")
    assert loader.place(code, "other", {}) == 0
    assert loader.place(code[:200], "kernel", {}) == 0
    assert engine.function(code, {})(None) == 7


def test_llvms_loader_gives_the_same(run_both: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "place", lambda *_: 0)
    run_both("import math\ns = 0.0\nfor i in range(9): s += math.exp(i) ** 0.3 % 0.7")


def test_a_bad_library_function_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "library_function", lambda *_: 0)
    with pytest.raises(engine.CompileError):
        engine.function(b"", {"exp": 1})


@pytest.mark.parametrize("kind", [ValueError, RecursionError, AssertionError])
def test_a_mistake_of_the_compiler_is_not_the_programs(
    monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    """The loop runs as written, for a reason that can be read; where all loops must be compiled it is seen."""

    def mistake(*_: Any) -> Any:
        raise kind("no such thing")

    monkeypatch.setattr(lower, "_settled", mistake)
    monkeypatch.setenv("MINPY_JIT", "auto")
    with pytest.raises(Unsupported, match=rf"a mistake in MinPy.*\({kind.__name__}: no such thing\)"):
        lower.lower(None, None)
    monkeypatch.setenv("MINPY_JIT", "force")
    with pytest.raises(kind, match="no such thing"):
        lower.lower(None, None)


def test_what_a_handler_raises_while_a_loop_is_compiled_is_the_programs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def handler(number: int, frame: Any) -> None:
        raise TimeoutError("too late")

    monkeypatch.setenv("MINPY_JIT", "auto")
    monkeypatch.setattr(lower, "_settled", lambda *_: handler(signal.SIGALRM, sys._getframe()))
    with pytest.raises(TimeoutError, match="too late"):
        lower.lower(None, None)


def test_files_of_other_loops_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert store.file_for("a", "b") != store.file_for("a", "c")


def test_errors_of_range_are_pythons() -> None:
    site = sites.Site("loop_range_1_5a5a0003", "range", False, 1, "5a5a0003")
    with pytest.raises(TypeError, match="'float' object cannot be interpreted as an integer"):
        site(1.5)


def test_powers_are_the_c_librarys(run_both: Any) -> None:
    """Roots and squares by ``**`` are what `pow` makes of them, where that is not the number next to the exact one."""
    run_both(
        """
rng = np.random.default_rng(4)
small = np.ldexp(rng.random(999), rng.integers(-999, 500, 999))
x = np.concatenate([rng.random(3000), rng.integers(0, 10**5, 3000), small])
roots, squares = np.empty(len(x)), np.empty(len(x))
for i in range(len(x)):
    y = float(x[i])
    roots[i] = y ** 0.5
    squares[i] = y ** 2
off = (roots != np.sqrt(x)).sum() + (squares != x * x).sum()
"""
    )


def test_powers_are_remembered_as_they_are(run_both: Any) -> None:
    """The same and other bases and exponents in turns, such as share a place in the table, and those left to Python."""
    bases = "[1.5, -1.5, 1e-5, np.float64(1.25), float('inf'), 3.0, 2.0, 1.0, float('nan'), -0.0]"
    run_both(
        f"""
n, out = 60, np.zeros((10, 6, 60))
for b, x in enumerate({bases}):
    for k in range(6):
        for j in range(n):
            e = j if k < 3 else 2048 * (j % 3 - 1) * (x * x < 1.01 and x * x > 0.9) + j % 5
            out[b, k, j] = x ** e + (x + k) ** j
"""
    )
    for x in ("0.0", "1e200", "np.float64(1e200)"):
        run_both(
            f"x = {x}\nfor i in range(5):\n  for j in range(3, -3, -1): y = x ** (j * i % 4); z = x ** j",
            None,
        )
