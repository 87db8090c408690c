"""``minpy.rewrite --explain``: blocks as loops over elements, loops, and why something is neither."""

from __future__ import annotations

import re

import numpy as np
import pytest

from minpy.explain import explain, nest

PROGRAM = """\
import numpy as np
class Box:
    pass
def step(a, b, box):
    b[1:-1] = 0.5 * (a[:-2] + a[2:]) - box.dt * a[1:-1]
    c = np.where(a > 0, -a, np.exp(a) ** 2)
    d = a @ b + 2.0 * c
    e = helper(a) * 2.0 + a[1:]
    total = 0
    for i in range(len(a)):
        for j in range(i):
            total += a[j] * i - j
    for i in range(3):
        try:
            total += 1
        except ValueError:
            pass
    for x in sorted(a):
        total += x
    while total > 3:
        total -= 1
    return np.sum((a - b) ** 2, axis=0), d, e
"""


def told(text):
    return {(line, said.partition(":")[0]): said for line, _, said in explain(text, "program.py")}


def test_blocks_and_loops():
    found = told(PROGRAM)
    assert found[5, "block"].splitlines() == [
        "block: `0.5 * (a[:-2] + a[2:]) - box.dt * a[1:-1]`",
        "    for each element:",
        "        t1 = a[:-2] + a[2:]",
        "        t2 = 0.5 * t1",
        "        t3 = box.dt * a[1:-1]",
        "        b[1:-1] = t2 - t3",
    ]
    assert found[6, "block"].splitlines()[2:] == [
        "        t1 = a > 0",
        "        t2 = -a",
        "        t3 = exp(a)",
        "        t4 = t3 ** 2",
        "        result = where(t1, t2, t4)",
    ]
    assert found[7, "no block"] == "no block: `@` is left to NumPy"
    assert found[8, "no block"] == "no block: it calls `helper`, which is not element by element"
    assert found[10, "loop"].startswith("loop: may go on compiled")
    assert found[11, "loop"] == "loop: inside a loop that may be compiled"
    assert found[13, "loop"] == "loop: runs as written: line 14 has try"
    assert found[18, "loop"] == "loop: runs as written: it is not over a name, range, enumerate or zip"
    assert (20, "loop") in found
    assert (
        found[22, "call"]
        == "call: `np.sum((a - b) ** 2, axis=0)` may be shared by threads, or made piece by piece"
    )
    assert (12, "no block") not in found  # numbers


def test_places_are_those_of_the_text():
    text = "import numpy as np\nº = 'ü'; x = np.exp(np.ones(3) * 2.0)  # é\n"
    blocks = [each for each in explain(text, "p.py") if each[2].startswith("block")]
    for line, column, said in blocks:
        source = re.search("`(.*)`", said)[1]
        assert text.split("\n")[line - 1][column - 1 :].startswith(source)


def test_what_is_explained_computes_the_block():
    """Run as a program, element by element, the loop gives the block's value."""
    names = ["a", "b", "k"]
    lines = nest("where(((v0*v1)>v2),tanh((v0-v1)),abs((-v1)))", names)
    space = {name: getattr(np, name) for name in ("where", "tanh", "absolute")}
    a, b = np.linspace(-2, 2, 9), np.linspace(3, -1, 9)
    exec("\n".join(line.strip() for line in lines[1:]), space | {"a": a, "b": b, "k": 0.5}, found := {})
    assert np.array_equal(found["result"], np.where(a * b > 0.5, np.tanh(a - b), abs(-b)))


@pytest.mark.parametrize("text", ["", "x = 1 + 2 * y\n", "import numpy\n\f\nx = 1\n"])
def test_nothing_to_say(text):
    assert explain(text, "p.py") == []


def test_the_command(bench):
    bench.write("program.py", PROGRAM)
    done = bench.python("-m", "minpy.rewrite", "--explain", "program.py")
    assert done.status == 0, done.error
    before, _, after = done.text.partition("\nUnder `minpy run`, besides:\n")
    assert "np.where" in before or "routed" in before
    assert after.splitlines()[0].startswith("program.py:5:15: block: ")
