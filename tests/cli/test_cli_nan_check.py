"""``minpy run --nan-check``: the program's own output bit for bit, and where the first NaN came from."""

from __future__ import annotations

import re

import pytest
from cli_starting import Bench

from minpy import cli, options
from minpy.errors import UsageError

PROGRAM = """\
import sys
import numpy as np
import helper

x = np.linspace(0.0, 1.0, 5)
print(helper.smooth(x).tobytes().hex())
if "bad" in sys.argv:
    print(helper.ratio(x))
print("end")
"""
HELPER = """\
import numpy as np

def smooth(u):
    u = u.copy()
    for _ in range(3):
        u[1:-1] += 0.2 * (u[2:] - 2 * u[1:-1] + u[:-2])
        u **= 2
        u /= u.max()
    return np.exp(-u) @ np.outer(u, u)

def ratio(u):
    return smooth(u) / u
"""
FOUND = (
    r"divide\(\(5,\) float64, \(5,\) float64\) made 1 (infinity|NaN) out of finite operands: of 5 elements of the "
    r"result, \(5,\) float64, the first is \[0\]: (inf|nan), of [-.e\d]+ and 0\.0\. The operation ran at File "
    r'".*helper\.py", line 12, in ratio\.'
)


@pytest.fixture
def written(bench: Bench) -> Bench:
    bench.write("program.py", PROGRAM)
    bench.write("helper.py", HELPER)
    return bench


def test_nothing_to_report(written: Bench) -> None:
    """The same bytes on both streams, cold and warm."""
    expected = written.python("program.py")
    for _ in range(2):
        got = written.minpy("run", "--nan-check", "program.py")
        assert (got.status, got.out, got.err) == (0, expected.out, b"") == (0, expected.out, expected.err)


def test_an_error_that_names_the_line(written: Bench) -> None:
    got = written.minpy("run", "--nan-check", "program.py", "bad")
    assert got.status == 1 and got.text.count("\n") == 1
    lines = got.error.splitlines()
    assert lines[-1].startswith("minpy.errors.NanError: ") and re.search(FOUND, lines[-1])
    frames = [line for line in lines if line.startswith('  File "')]
    assert [re.search(r'(\w+\.py)", line (\d+)', f).groups() for f in frames] == [  # type: ignore[union-attr]
        ("program.py", "8"),
        ("helper.py", "12"),
    ]


@pytest.mark.parametrize("words, environ", [(("--nan-check=warn",), {}), ((), {"MINPY_NAN_CHECK": "warn"})])
def test_a_warning(written: Bench, words: tuple[str, ...], environ: dict[str, str]) -> None:
    got = written.minpy("run", *words, "program.py", "bad", **environ)
    expected = written.python("program.py", "bad")
    assert got.status == 0 and got.out == expected.out
    warned = [line for line in got.error.splitlines() if "NanWarning" in line]
    assert len(warned) == 1 and re.match(r".*helper\.py:12: NanWarning: " + FOUND, warned[0])
    assert "RuntimeWarning: divide by zero encountered" in got.error or "invalid value" in got.error


def test_in_a_gradient(bench: Bench) -> None:
    bench.write(
        "g.py",
        "import numpy as np\nfrom minpy import grad\n\ndef loss(w):\n    return np.sum(np.log(w))\n\n"
        "print(grad(loss)(np.array([1.0, 5e-324])))\n",
    )
    got = bench.minpy("run", "--nan-check", "g.py")
    assert got.status == 1 and got.out == b""
    assert "the derivative of log((2,) float64) with respect to argument 0 made 1 infinity" in got.error
    assert re.search(r'g\.py", line 5, in loss\. Keep', got.error)


def test_what_the_program_ignores_is_counted(bench: Bench) -> None:
    bench.write(
        "p.py",
        "import numpy as np\nx = np.zeros(2)\nwith np.errstate(all='ignore'):\n    for _ in range(3):\n"
        "        y = 1 / x\nprint(y)\n",
    )
    got = bench.minpy("run", "--nan-check", "p.py")
    assert (got.status, got.text) == (0, "[inf inf]\n")
    assert got.error.startswith(
        "minpy: --nan-check passed over 3 operations where the program ignores what NumPy says (np.errstate, "
        "np.seterr), the first: divide(1, (2,) float64) at File "
    )
    assert got.error.endswith('p.py", line 5, in <module>\n')


def test_child_processes_inherit_it(bench: Bench) -> None:
    bench.write(
        "parent.py",
        "import subprocess, sys\nprint(subprocess.run([sys.executable, 'child.py']).returncode, flush=True)\n",
    )
    bench.write("child.py", "import numpy as np\nx = np.zeros(2)\nx /= x\n")
    got = bench.minpy("run", "--nan-check", "parent.py")
    assert got.text == "1\n" and "NanError" in got.error and "made 2 NaNs" in got.error


def test_options() -> None:
    assert cli.split(["--nan-check", "p.py", "warn"]) == (["--nan-check"], "script", "p.py", ["warn"])
    for text, mode in (("1", "raise"), ("0", "off"), ("WARN", "warn")):
        assert options.from_environ({"MINPY_NAN_CHECK": text}).nan_check == mode
    chosen = options.Options(nan_check="warn")
    assert options.to_environ(chosen) == {"MINPY_NAN_CHECK": "warn"} and chosen.operators and not chosen.plain
    with pytest.raises(UsageError, match="unknown nan check 'loud': choose from off, raise, warn"):
        options.Options(nan_check="loud").check()


def test_a_wrong_mode_is_one_line(bench: Bench) -> None:
    got = bench.minpy("run", "--nan-check=loud", "-c", "pass")
    assert got.status == 2
    assert got.error == "minpy: error: unknown nan check 'loud': choose from off, raise, warn [MP001]\n"
