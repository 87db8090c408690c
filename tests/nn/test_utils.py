"""The quick gradient check, the function profile, and the log."""

from __future__ import annotations

import asyncio
import io
import logging
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import minpy.numpy
from minpy import AutoBlacklistPolicy, primitive
from minpy.errors import ArgumentError, UsageError
from minpy.runtime.primitives import table
from minpy.utils import blacklist_generator, log, minprof
from minpy.utils.common import enforce_type
from minpy.utils.gradient_checker import quick_grad_check

# ----- gradients


def test_right_and_wrong_gradients(capsys):
    rs = np.random.RandomState(0)
    assert quick_grad_check(lambda x: np.sum(x**3), rs.randn(4, 3), rs=rs)
    assert "gradient agrees" in capsys.readouterr().out
    assert quick_grad_check(np.tanh, rs.randn(4).astype("f4"), verbose=False)

    wrong = primitive(lambda x: np.sum(x**2))
    wrong.def_vjp(lambda ans, x: lambda g: g * 3 * x)
    point = rs.randn(50) * 4
    assert not quick_grad_check(wrong, point, rs=rs)
    assert "DOES NOT AGREE" in capsys.readouterr().out
    assert not quick_grad_check(lambda x: np.sum(x) * np.nan, np.ones(3), verbose=False)
    with pytest.raises(ArgumentError, match="arg must be an array of floating-point numbers, not int64"):
        quick_grad_check(np.sum, np.arange(3))


def test_the_direction_is_drawn_from_rs():
    rs, again = np.random.RandomState(1), np.random.RandomState(1)
    np.random.seed(0)
    expected = np.random.rand()
    np.random.seed(0)
    quick_grad_check(np.sum, np.ones(3), verbose=False, rs=rs)
    assert np.random.rand() == expected and rs.rand() != again.rand()


# ----- minprof


@pytest.fixture
def profiler():
    return minprof.FuncCallProfiler()


def calls(profiler):
    return {place.name.split(".")[-1]: numbers for place, numbers in profiler.get_stats().timings.items()}


def test_decorated_functions_are_counted_and_timed(profiler):
    @profiler
    def nap(seconds, *, again=False):
        """Sleep."""
        time.sleep(seconds)
        return again

    assert nap.__name__ == "nap" and nap.__doc__ == "Sleep."
    assert nap(0.01) is False and nap(0.0, again=True) is True
    with pytest.raises(TypeError):
        nap("x")
    count, seconds = calls(profiler)["nap"]
    assert count == 3 and seconds >= 0.01


def test_recursion_is_timed_once(profiler):
    @profiler
    def down(n):
        time.sleep(0.01)
        return 0 if n == 0 else 1 + down(n - 1)

    start = time.perf_counter()
    assert down(4) == 4
    took = time.perf_counter() - start
    count, seconds = calls(profiler)["down"]
    assert count == 5 and 0.05 <= seconds <= took


def test_blocks(profiler):
    for _ in range(2):
        with profiler("outer"):
            with profiler():
                pass
    with profiler("outer"), pytest.raises(KeyError), profiler("fails"):
        raise KeyError
    found = {
        place.name: (count, place.filename) for place, (count, _) in profiler.get_stats().timings.items()
    }
    names = [place.name for place in profiler.get_stats().timings]
    assert names.count("outer") == 2  # two places of the same name
    assert found["<with>"] == (2, __file__) and found["fails"][0] == 1


def test_threads_and_coroutines(profiler):
    @profiler
    def work():
        time.sleep(0.02)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    count, seconds = calls(profiler)["work"]
    assert count == 4 and seconds >= 0.08  # none of them is taken for an inner call

    @profiler
    async def wait():
        await asyncio.sleep(0.01)
        return 3

    assert asyncio.run(wait()) == 3 and calls(profiler)["wait"][1] >= 0.005


def test_the_table(profiler):
    profiler.runctx("x = a + 1", {"a": 2}, found := {})
    assert found == {"x": 3}
    with profiler("slow"):
        time.sleep(0.01)
    out = io.StringIO()
    profiler.print_stats(out)
    head, first, second = out.getvalue().splitlines()
    assert head.split() == ["ncalls", "tottime", "(ms)", "percall", "(ms)", "filename:lineno(function)"]
    assert first.endswith("(slow)") and "test_utils.py:" in first and first.split()[0] == "1"
    assert float(first.split()[1]) >= 10 and second.endswith("<string>:1(runctx)")
    profiler.clear()
    assert not profiler.get_stats().timings


def test_the_flag_switches_it_off(profiler, monkeypatch):
    @profiler
    def f():
        return 1

    monkeypatch.setattr(minprof, "MINPROF_FLAG", False)
    with profiler("block"):
        assert f() == 1
    assert not profiler.get_stats().timings


def test_files(profiler, tmp_path):
    with profiler("block"):
        pass
    profiler.dump_stats(tmp_path / "p")
    assert minprof.FuncCallStats.load(tmp_path / "p").timings == profiler.get_stats().timings
    for text in ("", "{}x", "[1]", '{"a": 1}'):
        (tmp_path / "p").write_text(text)
        with pytest.raises(UsageError, match="is not a file of minprof"):
            minprof.FuncCallStats.load(tmp_path / "p")
    with pytest.raises(UsageError, match="local function"):
        minprof.FuncCallProfiler(local_function())
    with pytest.raises(UsageError, match="takes a function or a label, not int"):
        profiler(3)


def local_function():
    def inner():
        pass

    return inner


def run(tmp_path, *args):
    done = subprocess.run(
        [sys.executable, "-m", "minpy.utils.minprof", *args], cwd=tmp_path, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


def test_the_command(tmp_path):
    (tmp_path / "helper.py").write_text("def double(x):\n    return 2 * x\n")
    (tmp_path / "script.py").write_text(
        "import sys, helper\n@minprof\ndef f():\n    return helper.double(4)\nprint(f(), f(), sys.argv)\n"
        "if 'fail' in sys.argv:\n    raise SystemExit(7)\n"
    )
    code, out, err = run(tmp_path, "-v", "-f", "helper:double", "script.py", "-a", "b")
    assert code == 0, err
    assert out.startswith("8 8 ['script.py', '-a', 'b']\n") and "script.py:2(f)" in out
    assert [line.split()[0] for line in out.splitlines() if "helper.py:1(double)" in line] == ["2"]
    assert "measurements are in script.py.minprof" in err and (tmp_path / "script.py.minprof").exists()
    code, again, _ = run(tmp_path, "script.py.minprof")
    assert code == 0 and again == out.split("\n", 1)[1]
    code, out, _ = run(tmp_path, "-o", "x", "script.py", "fail")
    assert code == 7 and (tmp_path / "x").exists()


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    for args, text in (
        (["nothing.py"], "there is no script nothing.py"),
        (["-f", "nothing:f", __file__], "-f nothing:f: No module named 'nothing'"),
        (["-f", "math:pi", __file__], "-f math:pi: this is no function"),
    ):
        with pytest.raises(SystemExit) as caught:
            minprof.main(args)
        assert caught.value.code == 2 and text in capsys.readouterr().err


# ----- log


def test_log_lines(capsys):
    logger = log.get_logger("test.minpy.lines", log.INFO)
    logger.debug("not this")
    logger.info("%d done", 3)
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        logger.exception("oh")
    first, second, *rest = capsys.readouterr().err.splitlines()
    head, _, text = first.partition("] ")
    assert text == "3 done" and head.startswith("[I") and "test.minpy.lines:test_log_lines:" in head
    assert second.startswith("[E") and rest[-1] == "ZeroDivisionError: division by zero"
    assert "\x1b" not in first  # no terminal


def test_asking_again_gives_the_same_logger(capsys):
    logger = log.get_logger("test.minpy.again")
    assert log.get_logger("test.minpy.again", log.ERROR) is logger and len(logger.handlers) == 1
    logger.warning("quiet")
    logger.error("loud")
    assert "quiet" not in (err := capsys.readouterr().err) and err.count("loud") == 1
    assert logger.level == logging.ERROR


def test_colour_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    for variable, coloured in ((None, True), ("NO_COLOR", False)):
        if variable:
            monkeypatch.setenv(variable, "1")
        monkeypatch.setattr(sys, "stderr", terminal := Terminal())
        log.get_logger("test.minpy.colour").warning("x")
        assert ("\x1b[33m[W" in terminal.getvalue()) is coloured


# ----- common, blacklist_generator ------------------------------------------------------------------------------


def test_types_are_enforced():
    @enforce_type(int)
    def double(x, *, times=2):
        return x * times

    class Counter:
        @enforce_type((int, float), method=True)
        def add(self, x):
            return x + 1

    assert double(3) == 6 and double(3, times=3) == 9 and Counter().add(1.5) == 2.5
    for call, text in (
        (lambda: double("a"), "double: argument 0 must be of type int, not str"),
        (lambda: double(1, times=2.0), "double: argument 'times' must be of type int, not float"),
        (lambda: Counter().add("a"), "add: argument 0 must be of type int or float, not str"),
    ):
        with pytest.raises(ArgumentError, match=text):
            call()


@pytest.mark.mxnet
def test_a_blacklist_by_trying(tmp_path, monkeypatch):
    table.load()
    rows = [table.by_name[name] for name in ("exp", "sin", "sum", "dot")]
    monkeypatch.setattr(blacklist_generator, "_rows", lambda: rows)
    assert blacklist_generator.generate_default_blacklist().rules == {}

    def broken(F, x):
        raise RuntimeError("broken")

    monkeypatch.setattr(table.by_name["sin"], "mxnet", table.Kernel(broken))
    before = np.random.get_state()[1].copy()
    found = blacklist_generator.generate_default_blacklist(tmp_path)
    assert set(found.rules) == {"sin"} and "array_dim2:float32" in found.query("sin")
    assert (np.random.get_state()[1] == before).all()
    again = AutoBlacklistPolicy(loc=tmp_path)
    assert again.rules == found.rules
    with again:
        np.testing.assert_allclose(minpy.numpy.sin(np.ones((2, 2))), np.sin(np.ones((2, 2))))
