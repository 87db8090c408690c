"""The programs of `python -m benchmarks programs`: the same results rewritten, and with their loops compiled."""

from __future__ import annotations

import ast
import builtins
import copy
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest

import minpy
from benchmarks import whole
from benchmarks.one_program import parts, seen
from minpy.options import Options
from minpy.runtime.jit import engine, sites
from minpy.transform import hook, rewriter

ROOT = Path(__file__).parents[1]
# Programs of whole arrays, without a loop that is compiled.
WITHOUT_LOOPS = frozenset(
    "black_scholes haversine image_normalisation kernel_density label_propagation median_filter monte_carlo_option "
    "softmax tanh_exp".split()
)


def path_of(name: str) -> Path:
    return whole.FOLDER / f"{name}.py"


def load(name: str, code: CodeType | None = None) -> ModuleType:
    module = ModuleType(name)
    module.__file__ = str(path_of(name))
    exec(code or compile(path_of(name).read_bytes(), module.__file__, "exec"), module.__dict__)
    return module


def outcome(module: ModuleType, size: str = "tiny") -> list[tuple[str, bytes]]:
    args = module.setup(size)
    result = module.run(*args)
    return [*parts(result), *parts(args, "arguments")]


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(builtins.__dict__, "__minpy__", minpy.routed)


@pytest.mark.parametrize("name", whole.NAMES)
def test_same(name: str, door: None) -> None:
    """Rewritten, a program gives the same bits and leaves the same in its arguments."""
    expected = outcome(load(name))
    assert outcome(load(name)) == expected, "not deterministic"
    code = hook.announce(rewriter.compile_source(path_of(name).read_bytes(), str(path_of(name)), Options()))
    assert outcome(load(name, code)) == expected


@pytest.mark.parametrize("name", whole.NAMES)
def test_same_with_operators_routed(name: str, door: None) -> None:
    code = rewriter.compile_source(
        path_of(name).read_bytes(), str(path_of(name)), Options(profile="operations")
    )
    assert outcome(load(name, code)) == outcome(load(name))


@pytest.mark.skipif(not engine.is_available(), reason="loops are compiled with the extra jit only")
@pytest.mark.parametrize("name", whole.NAMES)
def test_same_with_compiled_loops(
    name: str, door: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every loop that can be compiled goes on compiled, however short it is."""
    monkeypatch.setenv("MINPY_JIT", "force")
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path))
    # A text of its own: loops are known by line and text.
    path = tmp_path / f"{name}.py"
    path.write_text(path_of(name).read_text() + f"# {tmp_path}\n")
    code = hook.announce(rewriter.compile_source(path.read_bytes(), str(path), Options()))
    before = len(sites.sites)
    assert outcome(load(name, code)) == outcome(load(name))
    found = sites.sites[before:]
    assert any(site.compiled for site in found) == (name not in WITHOUT_LOOPS), found


def test_programs_are_plain_numpy() -> None:
    """They know nothing of MinPy, say what they are, and import no more than NumPy and the standard library."""
    assert len(whole.NAMES) >= 40
    for name in whole.NAMES:
        tree = ast.parse(path_of(name).read_text())
        assert ast.get_docstring(tree), name
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert all(alias.name in ("numpy", "math") for alias in node.names), name
            assert not isinstance(node, ast.ImportFrom), name


# --- How they are compared


def test_comparison_sees_every_bit() -> None:
    import numpy as np

    values: list[Any] = [
        np.zeros(2), -np.zeros(2), np.zeros((1, 2)), np.zeros(2, np.float32), np.zeros(2, ">f8"), [0.0, 0.0],
        (0.0, 0.0), 0.0, -0.0, 0, False, None, np.float64(0), np.float32(0), np.int64(0), "0", float("nan"),
    ]  # fmt: skip
    digests = [tuple(seen(value, ())) for value in values]
    assert len(set(digests)) == len(values)
    assert seen(copy.deepcopy(values), ()) == seen(values, ())
    with pytest.raises(TypeError, match="result is a set"):
        seen({1}, ())


def test_differences_are_named() -> None:
    assert whole.differences(["a 1", "b 2"], ["a 1", "b 2"]) == []
    assert whole.differences(["a 1", "b 2"], ["a 1", "b 3", "c"]) == [
        "b 3 instead of b 2",
        "c instead of nothing",
    ]
    assert whole.differences(["a", "b"], ["a"]) == ["nothing instead of b"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere turns follow each other at once")
def test_processor_time_of_another_process() -> None:
    """The processor's time of another process is its own, all threads together."""
    text = (
        "import threading, time, sys\n"
        "def spin():\n"
        "    while time.process_time() < 0.1: pass\n"
        "thread = threading.Thread(target=spin)\n"
        "thread.start()\n"
        "thread.join()\n"
        "print(time.process_time(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None and child.stdin is not None
        used = float(child.stdout.readline())
        assert 0.1 <= used <= whole.processor_time(child.pid)
        child.stdin.close()


def test_measurement(tmp_path: Path) -> None:
    """One small program through the whole of it: two processes, figures, a table, a picture."""
    words = ["programs", "--size", "small", "--fast", "--only", "label_propagation"]
    files = {option: tmp_path / option for option in ("table", "output")}
    if importlib.util.find_spec("matplotlib"):
        files["plot"] = tmp_path / "plot.png"
    words += [word for option, path in files.items() for word in (f"--{option}", str(path))]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(files["output"].read_text())["results"]["programs"]
    assert row["same"] and row["ratio"] > 0 and row["minpy"]["rounds"] >= 5
    assert row["start_cold"] > row["minpy"]["median"]
    assert "label_propagation" in files["table"].read_text() and "geometric mean" in done.stdout
    assert all(path.stat().st_size for path in files.values())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["programs", "--only", "sobol"], "no program 'sobol': there is attention, "),
        (["calls", "--size", "small"], "--size is for programs and cold"),
        (["calls", "--threads", "1"], "--threads is for programs, cold and forward"),
        (["programs", "--threads", "0"], "--threads is between 1 and "),
        (["forward", "--only", "sobel"], "not measured here: sobel. There is: tanh_exp, "),
        (["forward", "--peers", "numba"], "--peers is for programs"),
    ],
)
def test_bad_words(words: list[str], message: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode != 0 and message in done.stderr
