"""The examples as a user runs them: in processes of their own, their output read."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def run(*command: str, cwd: Path = ROOT, **environ: str) -> subprocess.CompletedProcess:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MINPY_")} | environ
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=cwd, env=environment, capture_output=True, timeout=300
    )
    assert done.returncode == 0, done.stderr.decode()
    return done


def accuracy(output: bytes) -> float:
    return float(re.search(rb"^test accuracy: ([0-9.]+)%$", output, re.MULTILINE)[1])


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    """train_digits.py with a quarter of its epochs: enough to print what differs, if something does."""
    text = (EXAMPLES / "train_digits.py").read_text()
    short = text.replace("def train(epochs=20,", "def train(epochs=5,")
    assert short != text
    path = tmp_path_factory.mktemp("digits") / "train_digits.py"
    path.write_text(short)
    return path


@pytest.fixture(scope="module")
def plain(digits) -> bytes:
    """What plain Python prints for it."""
    return run(digits).stdout


def test_train_digits_reads_95_percent(tmp_path):
    """The plain program learns what it claims to learn; under `minpy run` it prints the same."""
    printed = run(EXAMPLES / "train_digits.py").stdout
    assert accuracy(printed) >= 95.0
    done = run("-m", "minpy", "run", EXAMPLES / "train_digits.py", MINPY_CACHE_DIR=str(tmp_path))
    assert (done.stdout, done.stderr) == (printed, b"")


@pytest.mark.parametrize("options", [(), ("--policy", "only_numpy"), ("--no-cache",)], ids=" ".join)
def test_minpy_run_prints_the_same_bytes(digits, plain, options, tmp_path):
    """Under `minpy run`, cold and warm, the output is the plain program's byte for byte."""
    for _ in range(1 if "--no-cache" in options else 2):
        done = run("-m", "minpy", "run", *options, digits, MINPY_CACHE_DIR=str(tmp_path))
        assert (done.stdout, done.stderr) == (plain, b"")


def test_rewritten_file_prints_the_same_bytes(digits, plain, tmp_path):
    """The file that `python -m minpy.rewrite` writes runs under plain Python and prints the same."""
    target = tmp_path / "rewritten.py"
    run("-m", "minpy.rewrite", digits, "-o", target)
    text = target.read_text()
    assert "routed.np.dot(" in text
    assert len(text.splitlines()) == len(digits.read_text().splitlines())
    assert run(target, cwd=tmp_path).stdout == plain


@pytest.mark.mxnet
def test_prefer_mxnet_learns_as_well_and_says_what_ran_where(digits, plain, tmp_path):
    """On MXNet's kernels the network is as good within a point.

    The profile shows MXNet calls, bytes copied and a reason for each fallback.
    """
    if importlib.util.find_spec("mxnet") is None:
        pytest.skip("MXNet is not installed: the extra cpu, on Python 3.10 to 3.12")
    options = ("--policy", "prefer_mxnet", "--profile")
    done = run("-m", "minpy", "run", *options, digits, MINPY_CACHE_DIR=str(tmp_path))
    assert abs(accuracy(done.stdout) - accuracy(plain)) <= 1.0
    report = done.stderr.decode()
    # MXNet's calls and time, and what was predicted; NumPy's columns are blank.
    assert int(re.search(r"^dot +(\d+) +[\d.]+ \S+ +[\d.]+ \S+$", report, re.MULTILINE)[1]) > 300
    assert "Copied host to device" in report
    fallen = re.findall(r"^  (\S+)\n((?:    - .*\n?(?:     .*\n?)*)+)", report, re.MULTILINE)
    assert fallen
    assert all(re.match(r"    - MP10\d ", reasons) for _, reasons in fallen)


def test_grad_digits_learns_without_backpropagation_by_hand(tmp_path):
    """`grad` of the plain loss trains the network, with and without the hook, to the same last digit."""
    plain = run(EXAMPLES / "grad_digits.py").stdout
    assert accuracy(plain) >= 95.0
    assert (
        run("-m", "minpy", "run", EXAMPLES / "grad_digits.py", MINPY_CACHE_DIR=str(tmp_path)).stdout == plain
    )


@pytest.mark.parametrize("name", ["shape_of_a_plate", "fit_a_simulation"])
def test_simulations_improve_in_a_few_rounds(name, tmp_path):
    """Their short mode prints its result, and draws a picture where matplotlib is installed."""
    picture = tmp_path / "picture.png"
    options = ("--short", "--out", picture)
    done = run(
        "-m", "minpy", "run", EXAMPLES / f"{name}.py", *options, MINPY_CACHE_DIR=str(tmp_path / "cache")
    )
    if name == "shape_of_a_plate":
        assert float(re.search(rb"mean temperature: ([0-9.]+)% of", done.stdout)[1]) < 99.9
    else:
        assert float(re.search(rb"largest error of a rate: ([0-9.]+)%", done.stdout)[1]) < 50
    if importlib.util.find_spec("matplotlib") is None:
        assert b"no picture" in done.stdout
    else:
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_readme_tour(tmp_path):
    """The README's programs, copied word for word, print what the README says."""
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    for block in blocks:
        name = re.match(r"# (\w+\.py):", block)
        if name:
            (tmp_path / name[1]).write_text(block)
    printed = re.search(r"    \$ minpy run fit\.py\n    (.*)\n", readme)[1]
    assert (
        run("-m", "minpy", "run", "fit.py", cwd=tmp_path, MINPY_CACHE_DIR=str(tmp_path / "cache"))
        .stdout.decode()
        .strip()
        == printed
    )
    foo = next(block for block in blocks if "def foo" in block)
    foo = re.sub(r"^(grad.*?)\s+#.*$", r"print(\1)", foo, flags=re.MULTILINE)
    (tmp_path / "foo.py").write_text(foo)
    assert run("foo.py", cwd=tmp_path).stdout.split() == [b"1.0", b"2.0"]
