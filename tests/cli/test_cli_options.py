"""The command line: what it accepts, what it hands on, and one line for what it cannot use."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minpy import cli
from minpy.errors import MinPyError, UsageError
from minpy.options import Options

SHOW = """
import json, os, sys
seen = {k: v for k, v in os.environ.items() if k.startswith("MINPY_") and k != "MINPY_CACHE_DIR"}
print(json.dumps([sys.argv[1:], seen]))
"""


def shown(outcome):
    assert outcome.status == 0, outcome.error
    return json.loads(outcome.text.splitlines()[-1])


# --- Where the program begins

SPLITS = [
    ([], ([], "stdin", "", [])),
    (["-"], ([], "stdin", "-", [])),
    (["-", "a"], ([], "stdin", "-", ["a"])),
    (["--"], ([], "stdin", "", [])),
    (["p.py"], ([], "script", "p.py", [])),
    (["p.py", "--strict", "-m", "x"], ([], "script", "p.py", ["--strict", "-m", "x"])),
    (["--strict", "p.py", "-v"], (["--strict"], "script", "p.py", ["-v"])),
    (["--policy", "auto", "p.py"], (["--policy", "auto"], "script", "p.py", [])),
    (["--policy=auto", "p.py"], (["--policy=auto"], "script", "p.py", [])),
    (
        ["--include", "p.py", "--exclude", "-x", "q.py"],
        (["--include", "p.py", "--exclude", "-x"], "script", "q.py", []),
    ),
    (["-m", "pkg", "-m", "z"], ([], "module", "pkg", ["-m", "z"])),
    (["-mpkg", "-c"], ([], "module", "pkg", ["-c"])),
    (["-v", "-c", "x", "-v"], (["-v"], "command", "x", ["-v"])),
    (["-cx=1", "--"], ([], "command", "x=1", ["--"])),
    (["-vv", "--", "-odd.py", "--", "a"], (["-vv"], "script", "-odd.py", ["--", "a"])),
    (["-m", "-x"], ([], "module", "-x", [])),
    (["", "a"], ([], "script", "", ["a"])),
]


@pytest.mark.parametrize("words, expected", SPLITS, ids=[" ".join(words) or "nothing" for words, _ in SPLITS])
def test_split(words, expected):
    assert cli.split(words) == expected


WORD = st.text(max_size=8)


@given(
    own=st.lists(st.sampled_from(["--strict", "-v", "--no-cache", "--policy auto", "--threads=2"])),
    start=st.sampled_from(
        [["script", "p.py"], ["module", "-m", "p"], ["command", "-c", "x"], ["stdin", "-"]]
    ),
    args=st.lists(WORD | st.sampled_from(["-m", "-c", "--", "-", "--policy", "-v", "--version"])),
)
def test_everything_after_the_program_is_its_own(own, start, args):
    own = [word for option in own for word in option.split()]
    kind, *words = start
    assert cli.split([*own, *words, *args]) == (own, kind, words[-1], args)


@pytest.mark.parametrize("word", ["-m", "-c"])
def test_a_start_without_a_program(word):
    with pytest.raises(UsageError, match=f"{word} needs "):
        cli.split(["--strict", word])


# --- Bad input

BAD = {
    "an unknown command": ["walk"],
    "an option for a command": ["--walk"],
    "a script without run": ["program.py"],
    "an unknown policy": ["run", "--policy", "fast", "program.py"],
    "an unknown context": ["run", "--context", "tpu", "program.py"],
    "half a context": ["run", "--context", "gpu:", "program.py"],
    "a context with a word": ["run", "--context", "gpu:one", "program.py"],
    "an unknown precision": ["run", "--precision", "float16", "program.py"],
    "an unknown option": ["run", "--polcy", "auto", "program.py"],
    "a shortened option": ["run", "--pol", "auto", "program.py"],
    "an unknown letter": ["run", "-x", "program.py"],
    "an option without its value": ["run", "--policy"],
    "a flag with a value": ["run", "--strict=yes", "program.py"],
    "no threads": ["run", "--threads", "0", "program.py"],
    "negative threads": ["run", "--threads", "-2", "program.py"],
    "half a thread": ["run", "--threads", "1.5", "program.py"],
    "rounding and strict": ["run", "--strict", "--fast-math", "program.py"],
    "an empty package": ["run", "--include", "", "program.py"],
    "two paths at once": ["run", "--exclude", f"a/b{os.pathsep}c/d", "program.py"],
    "no module": ["run", "-m"],
    "no text": ["run", "-c"],
    "a missing script": ["run", "missing.py"],
    "doctor with a word": ["doctor", "help"],
    "doctor with an unknown option": ["doctor", "--cal"],
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_input(bench, bad):
    """One line on standard error that says what was wrong, status 2, and the program does not run."""
    bench.write("program.py", "print('ran')")
    outcome = bench.minpy(*BAD[bad])
    assert outcome.status == 2
    assert outcome.out == b""
    assert outcome.err.startswith(b"minpy: error: ") and outcome.err.count(b"\n") == 1


@pytest.mark.parametrize(
    "variable, value",
    [
        ("MINPY_POLICY", "fast"),
        ("MINPY_CONTEXT", "tpu"),
        ("MINPY_PRECISION", "half"),
        ("MINPY_THREADS", "many"),
        ("MINPY_STRICT", "perhaps"),
        ("MINPY_VERBOSE", "-1"),
    ],
)
def test_bad_variables(bench, variable, value):
    outcome = bench.minpy("run", "-c", "print('ran')", **{variable: value})
    assert (outcome.status, outcome.out) == (2, b"")
    assert outcome.err.startswith(b"minpy: error: ") and outcome.err.count(b"\n") == 1
    assert value.encode() in outcome.err


def test_errors_name_the_choices(bench):
    error = bench.minpy("run", "--policy", "fast", "x.py").error
    assert "'fast'" in error and "prefer_mxnet" in error and "MP001" in error


def test_error_of_several_lines_is_one_line(capsys, monkeypatch):
    def fail(argv):
        raise MinPyError("first\n  second\n")

    monkeypatch.setattr(cli, "_main", fail)
    assert cli.main([]) == 2
    assert capsys.readouterr().err == "minpy: error: first second [MP000]\n"


def test_gpu_that_is_not_there(bench):
    """Asked for by name: an error before the program runs (CUDA is hidden: true on every machine)."""
    outcome = bench.minpy("run", "--context", "gpu:9", "-c", "print('ran')", CUDA_VISIBLE_DEVICES="")
    assert (outcome.status, outcome.out) == (2, b"")
    assert outcome.err.startswith(b"minpy: error: ") and outcome.err.count(b"\n") == 1
    assert b"gpu(9)" in outcome.err or b"MXNet" in outcome.err


# --- Help and version


def test_help_and_version(bench):
    for words in (
        ["--help"],
        ["-h"],
        ["run", "--help"],
        ["doctor", "--help"],
        ["--version"],
        ["run", "--version"],
    ):
        outcome = bench.minpy(*words)
        assert (outcome.status, outcome.err) == (0, b""), words
        assert b"minpy" in outcome.out
    help_text = bench.minpy("run", "--help").text
    for option in (
        "--policy",
        "--context",
        "--precision",
        "--include",
        "--exclude",
        "--strict",
        "--no-cache",
    ):
        assert option in help_text
    outcome = bench.minpy()
    assert (outcome.status, outcome.out) == (2, b"") and b"usage" in outcome.err


def test_options_of_the_program_are_not_ours(bench):
    bench.write("program.py", "import sys; print(sys.argv[1:])")
    words = ["--help", "--version", "-v", "--policy", "--", "-m", "--context=gpu", ""]
    outcome = bench.minpy("run", "program.py", *words)
    assert (outcome.text, outcome.err) == (f"{words}\n", b"")


# --- What children inherit


def test_options_are_exported(bench):
    bench.write("show.py", SHOW)
    outcome = bench.minpy(
        *("run", "--policy", "only_numpy", "--precision=float64", "--strict", "--no-cache", "--threads", "3"),
        *("--include", "pkg", "--include", "lib/x.py", "--exclude", "*.old", "show.py", "a"),
    )
    args, variables = shown(outcome)
    assert args == ["a"]
    assert variables == {
        "MINPY_ACTIVE": "1",
        "MINPY_POLICY": "only_numpy",
        "MINPY_PRECISION": "float64",
        "MINPY_STRICT": "1",
        "MINPY_CACHE": "0",
        "MINPY_THREADS": "3",
        # A child may start in another folder.
        "MINPY_INCLUDE": os.pathsep.join(["pkg", str(bench.folder / "lib/x.py")]),
        "MINPY_EXCLUDE": "*.old",
    }


def test_defaults_are_not_exported(bench):
    bench.write("show.py", SHOW)
    assert shown(bench.minpy("run", "show.py")) == [[], {"MINPY_ACTIVE": "1"}]


def test_command_line_wins_over_the_environment(bench):
    bench.write("show.py", SHOW)
    inherited = {
        "MINPY_POLICY": "only_numpy",
        "MINPY_STRICT": "1",
        "MINPY_THREADS": "2",
        "MINPY_INCLUDE": "one:two",
    }
    _, variables = shown(bench.minpy("run", "show.py", **inherited))
    assert variables == {**inherited, "MINPY_ACTIVE": "1"}
    words = ["--policy=auto", "--no-strict", "--include", "three"]
    _, variables = shown(bench.minpy("run", *words, "show.py", **inherited))
    assert variables == {"MINPY_THREADS": "2", "MINPY_INCLUDE": "three", "MINPY_ACTIVE": "1"}


def test_run_within_a_run_with_other_options(bench):
    """The inner command line wins over what the outer one handed down."""
    bench.write("show.py", SHOW)
    command = "[sys.executable, '-m', 'minpy', 'run', {}'show.py', 'x']"
    inner = f"import subprocess, sys; sys.exit(subprocess.call({command}))"
    outer = ["run", "--policy", "only_numpy", "--threads", "2", "-c"]
    args, variables = shown(bench.minpy(*outer, inner.format("")))
    assert args == ["x"] and variables == {
        "MINPY_ACTIVE": "1",
        "MINPY_POLICY": "only_numpy",
        "MINPY_THREADS": "2",
    }
    args, variables = shown(bench.minpy(*outer, inner.format("'--policy=auto', '--strict', ")))
    assert args == ["x"] and variables == {"MINPY_ACTIVE": "1", "MINPY_STRICT": "1", "MINPY_THREADS": "2"}


def test_fast_math_is_asked_for(bench):
    text = "from minpy.runtime.fuse.free import fast_math; print(fast_math())"
    inner = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', {text!r}]))"
    assert bench.minpy("run", "-c", text).text == "False\n"
    assert bench.minpy("run", "--fast-math", "-c", text).text == "True\n"
    assert bench.minpy("run", "--fast-math", "-c", inner).text == "True\n"
    assert bench.minpy("run", "-c", text, MINPY_FAST_MATH="1").text == "True\n"
    assert bench.minpy("run", "--no-fast-math", "-c", text, MINPY_FAST_MATH="1").text == "False\n"


def test_fast_math_is_rewritten_apart():
    plain = Options()
    assert not plain.patterns and not plain.fast_math
    assert replace(plain, fast_math=True).rewrite_key() != plain.rewrite_key()
    # What nothing is rewritten for shares the cache.
    off = Options(fuse="off")
    assert replace(off, fast_math=True).rewrite_key() == off.rewrite_key()


def test_threads(bench):
    names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"]
    text = f"import os, sys; print('numpy' in sys.modules, *[os.environ.get(name) for name in {names}])"
    assert bench.minpy("run", "--threads", "1", "-c", text).text == "False 1 1 1 1\n"
    inherited = dict.fromkeys(names, "2")
    assert bench.minpy("run", "-c", text, **inherited).text == "False 2 2 2 2\n"


# --- What a start costs


def test_warm_start_is_light(bench):
    """A second run imports neither the rewriter nor a back end, nor numpy before the program does."""
    bench.write("helper.py", "import numpy as np\ndef f(a):\n    return np.exp(a) + 1\n")
    bench.write(
        "program.py",
        "import sys\nbefore = set(sys.modules)\nimport numpy as np\n"
        "helper = __import__('helper')  # by its name: not rewritten ahead\nprint(helper.f(np.zeros(2)))\n"
        "heavy = {'libcst', 'mxnet', 'rich', 'argparse', 'astunparse'}\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in heavy))\n"
        "print('numpy' in before, sorted(n for n in before if n.startswith('minpy.runtime')))\n",
    )
    cold = bench.minpy("run", "program.py")
    assert cold.status == 0 and "libcst" in cold.text
    warm = bench.minpy("run", "program.py")
    light = ["minpy.runtime", "minpy.runtime.entry", "minpy.runtime.originals"]
    assert warm.text == f"[2. 2.]\n[]\nFalse {light}\n"
    assert bench.minpy("run", "--no-cache", "program.py").text.splitlines()[1] != "[]"


def test_verbose(bench):
    bench.write("program.py", "import numpy as np\nprint(np.exp(0.0))\n1/0\n")
    first = bench.minpy("run", "-v", "program.py")
    assert "minpy: rewrote __main__" in first.error and first.text == "1.0\n"
    assert "cli.py" not in first.error
    second = bench.minpy("run", "-v", "program.py")
    assert "minpy: __main__ from cache" in second.error
    assert "runner.py" in bench.minpy("run", "-vv", "program.py").error


def test_exclude_the_program_itself(bench):
    bench.write("program.py", "import numpy as np\nprint((lambda: np.exp(0.0)).__code__.co_names[0])\n")
    assert bench.minpy("run", "program.py").text == "__minpy__\n"
    assert bench.minpy("run", "--exclude", "program.py", "program.py").text == "np\n"


def test_program_in_an_installed_package_is_rewritten_when_started_by_name(bench):
    text = "import numpy as np\nprint((lambda: np.exp(0.0)).__code__.co_names[0])\n"
    bench.write("site-packages/tool.py", text)
    bench.write("site-packages/user.py", "import tool\n")
    assert bench.minpy("run", "site-packages/tool.py").text == "__minpy__\n"
    bench.environ["PYTHONPATH"] += os.pathsep + str(bench.folder / "site-packages")
    assert bench.minpy("run", "-m", "tool").text == "__minpy__\n"
    assert bench.minpy("run", "-m", "user").text == "np\n"


@pytest.mark.parametrize("way", ["folder", "zip", "-c", "stdin"])
def test_every_kind_of_program_is_rewritten(bench, way):
    text = "import numpy as np\nprint((lambda: np.exp(0.0)).__code__.co_names[0])\n"
    if way == "folder":
        bench.write("app/__main__.py", text)
        outcome = bench.minpy("run", "app")
    elif way == "zip":
        import zipfile

        with zipfile.ZipFile(bench.folder / "app.zip", "w") as archive:
            archive.writestr("__main__.py", text)
        outcome = bench.minpy("run", "app.zip")
    elif way == "-c":
        outcome = bench.minpy("run", "-c", text)
    else:
        outcome = bench.minpy("run", "-", stdin=text.encode())
    assert (outcome.text, outcome.err) == ("__minpy__\n", b"")


def test_strict_with_a_program_that_cannot_be_rewritten(bench):
    """Refused in one line; without --strict it runs, and one warning says that it is unmodified."""
    bench.write("program.py", "import numpy as np\nprint(np.exp(0.0))\n")
    bench.write("broken/libcst/__init__.py", "raise ImportError('a broken libcst')\n")
    bench.environ["PYTHONPATH"] = f"{bench.folder / 'broken'}:{bench.environ['PYTHONPATH']}"
    loose = bench.minpy("run", "program.py")
    assert (loose.status, loose.out) == (0, b"1.0\n")
    assert loose.err.count(b"RewriteWarning") == 1 and b"program.py:" in loose.err
    for words in (["program.py"], ["-m", "program"]):
        strict = bench.minpy("run", "--strict", *words)
        assert (strict.status, strict.out) == (2, b""), words
        assert strict.err.startswith(b"minpy: error: ") and strict.err.count(b"\n") == 1
        assert b"program.py:1" in strict.err


def test_terminal_without_a_program(bench):
    """Nothing to run and a keyboard at standard input: a line, not a wait."""
    import pty

    outer, inner = pty.openpty()
    try:
        import subprocess

        done = subprocess.run(
            [sys.executable, "-m", "minpy", "run"],
            stdin=inner,
            capture_output=True,
            env=bench.environ,
            timeout=60,
        )
    finally:
        os.close(outer)
        os.close(inner)
    assert done.returncode == 2 and done.stderr.startswith(b"minpy: error: no program")
