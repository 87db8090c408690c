"""What ``-v`` and ``--profile`` say at the end of a run: blocks, loops, what computed them, and MinPy's own time."""

from __future__ import annotations

import re

import pytest

from minpy.runtime.report import print_run
from minpy.runtime.told import Row, Tally

PROGRAM = """\
import numpy as np
a = np.ones(200_000)
small = np.ones(3)
for k in range(60):
    b = np.tanh(a * 0.5 + a) - np.exp(-a)
    c = small * 2.0 + small
    d = np.sum(a * b + a)
print(b[0])
"""


def test_profile_of_blocks(bench):
    bench.write("program.py", PROGRAM)
    plain = bench.python("program.py")
    ours = bench.minpy("run", "--profile", "program.py", MINPY_FUSE="force:tiled1", MINPY_JIT="0")
    assert (ours.status, ours.text) == (0, plain.text)
    lines = ours.error.splitlines()
    assert lines[0].startswith("Blocks: expressions and calls that ran as one piece")
    row = next(line for line in lines if line.startswith("program.py:5"))
    assert "b = np.tanh(a * 0.5 + a) - np.exp(-a)" in row and re.search(r"\b60 .*\btiled1\b", row)
    row = next(line for line in lines if line.startswith("program.py:7"))
    assert re.search(r"np\.sum\(.*\b60 +[\d.]+ [mµ]?s  +tiled1\b", row)
    assert any(line.startswith("MinPy's own time: ") for line in lines)
    assert any("1 module" in line for line in lines)


def test_verbose_names_blocks_and_the_time(bench):
    bench.write("program.py", PROGRAM)
    error = bench.minpy("run", "-v", "program.py").error
    place = re.escape(str(bench.folder / "program.py"))
    assert re.search(rf"^minpy: block at (?:{place}|program.py):5: ", error, re.MULTILINE)
    assert re.search(r"^minpy: block at .*:6: as written: its arrays were small", error, re.MULTILINE)
    assert re.search(r"^minpy: own time: \d+ ms \(.*1 module analysed", error, re.MULTILINE)
    again = bench.minpy("run", "-v", "program.py").error
    assert re.search(r"^minpy: own time: \d+ ms", again, re.MULTILINE) and "analysed" not in again


def test_profile_of_nothing(bench):
    bench.write("program.py", "print(1)")
    outcome = bench.minpy("run", "--profile", "program.py")
    assert outcome.text == "1\n"
    assert "MinPy profile: no block and no loop ran in another way than as written." in outcome.error
    assert bench.minpy("run", "--profile", "--no-profile", "program.py").error == ""


def test_profile_of_operations(bench):
    """Operators are routed, so that each shows; blocks and loops are off."""
    bench.write("program.py", PROGRAM)
    outcome = bench.minpy("run", "--profile=operations", "program.py")
    assert outcome.status == 0
    assert re.search(r"^multiply +\d+ ", outcome.error, re.MULTILINE), outcome.error
    assert "Blocks:" not in outcome.error


@pytest.mark.parametrize("word", ["runs", "", "2"])
def test_unknown_profile(bench, word):
    bench.write("program.py", "print(1)")
    outcome = bench.minpy("run", f"--profile={word}", "program.py")
    assert outcome.status == 2 and "unknown profile" in outcome.error and outcome.out == b""


def test_a_program_that_closes_its_streams(bench):
    bench.write("program.py", "import sys\nsys.stderr.close()\nprint(1)")
    assert bench.minpy("run", "--profile", "program.py").text == "1\n"
    assert bench.minpy("run", "-v", "program.py").text == "1\n"


def test_savings():
    tally = Tally({"tiled2": [10, 1.0], "written": [3, 0.9], "native1": [5, 0.1]})
    assert tally.saved(0.3) == pytest.approx(15 * 0.3 - 1.1)
    assert tally.saved(None) is None


def test_the_tables(tmp_path):
    import io

    file = tmp_path / "p.py"
    file.write_text("x = 1\nfor [i] in thing:\n    pass\n")
    stream = io.StringIO()
    blocks = [
        Row(str(file), 1, 1200, 0.5, "tiled2", 1.25),
        Row(str(file), 1, 3, 2.0, "native1", -0.125),
        Row(str(file), 3, 1),
        Row(str(file), 3, reason="its arrays [were] small"),
    ]
    loops = [Row(str(file), 2, 5, 0.25, "compiled", None, "line 3: odd")]
    print_run(stream, blocks, loops, [("in all", 0.25), ("start", 0.125)])
    text = [" ".join(line.split()) for line in stream.getvalue().splitlines()]
    assert text[2:4] == ["p.py:1 x = 1 3 2.00 s native1 -125 ms", "p.py:1 x = 1 1,200 500 ms tiled2 1.25 s"]
    assert "p.py:2 for [i] in thing: 5 250 ms compiled ?" in text
    assert "p.py:3 pass 1 0 ? ?" in text and "p.py:3 block then" not in text
    assert "p.py:3 block its arrays [were] small" in text
    assert "p.py:2 loop then line 3: odd" in text
    assert text[-3:] == ["Saved, by estimate: 1.12 s", "MinPy's own time: 250 ms", "start: 125 ms"]
