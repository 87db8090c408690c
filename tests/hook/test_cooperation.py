"""Other tools that look at or rewrite modules work as they do without the hook."""

from __future__ import annotations

import json
import re
from pathlib import Path

USER = """
import numpy as np

def f(x):
    if x > 100:
        y = (np.exp(x) +
             np.sin(x))
    else:
        y = np.exp(
            x
        )
    return [np.sqrt(v)
            for v in (y, 4.0)
            if type(v) is not int]
"""
TESTS = """
import numpy as np
import user_mod

def test_the_hook():
    assert ("__min" + "py__" in user_mod.f.__code__.co_names) == EXPECTED

def test_passing():
    assert user_mod.f(0.0) == [1.0, 2.0]

def test_failing():
    value = user_mod.f(0.0)
    assert np.add(value[0], 1) == value[1] + 5, "with a message"

def test_raising():
    user_mod.f("text")
"""


def test_pytest_rewrites_its_tests_and_we_the_modules(write, python, tmp_path: Path) -> None:
    outputs = []
    for active in ("", "1"):
        files = {"user_mod.py": USER, "test_it.py": TESTS.replace("EXPECTED", str(bool(active)))}
        folder = write(tmp_path / "p", files)
        args = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "test_it.py")
        done = python(*args, cwd=folder, MINPY_ACTIVE=active)
        assert done.returncode == 1 and "2 failed, 2 passed" in done.stdout, done.stdout + done.stderr
        outputs.append(re.sub(r"in [0-9.]+s", "", done.stdout))
    assert "where" in outputs[0] and "with a message" in outputs[0]
    assert outputs[0] == outputs[1]


def test_coverage_sees_the_same_lines_and_branches(write, python, tmp_path: Path) -> None:
    main = "import user_mod\nfor n in range(3):\n    user_mod.f(n * 0.5)\nprint(user_mod.f(0.0))\n"
    folder = write(tmp_path / "p", {"user_mod.py": USER, "prog.py": main})
    reports = []
    for active in ("", "1"):
        done = python(
            "-m", "coverage", "run", "--branch", "--source=.", "prog.py", cwd=folder, MINPY_ACTIVE=active
        )
        assert (done.returncode, done.stderr) == (0, "")
        report = python("-m", "coverage", "json", "-q", "-o", "out.json", cwd=folder)
        assert report.returncode == 0, report.stdout + report.stderr
        files = json.loads((folder / "out.json").read_text())["files"]
        names = ("executed_lines", "missing_lines", "executed_branches", "missing_branches")
        reports.append(
            {name: [files[name][aspect] for aspect in names] for name in ("user_mod.py", "prog.py")}
        )
    assert reports[0] == reports[1]
    assert reports[0]["user_mod.py"][1] != [], "one branch was not taken"


def test_debuggers_stop_at_the_same_lines(write, python, tmp_path: Path) -> None:
    folder = write(tmp_path / "p", {"user_mod.py": USER, "prog.py": "import user_mod\nuser_mod.f(0.0)\n"})
    commands = "import user_mod;;b user_mod.f;;b user_mod:9;;c;;c;;w;;s;;s;;s;;l;;p y;;q".split(";;")
    args = [word for command in commands for word in ("-c", command)]
    plain, hooked = (
        python("-m", "pdb", *args, "prog.py", cwd=folder, MINPY_ACTIVE=active) for active in ("", "1")
    )
    assert "Breakpoint 2 at" in plain.stdout and plain.stdout.count("-> ") > 1
    assert hooked.stdout == plain.stdout and hooked.stderr == plain.stderr
