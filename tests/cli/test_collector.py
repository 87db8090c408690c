"""Python's collector rests while a program is started, and goes on with the program."""

from __future__ import annotations

import gc

import pytest

from minpy import cli, collector

LOOK = """
import sys
import numpy as np
know = sys.modules["g" "c"]
print(know.isenabled(), know.get_freeze_count() > 0)
class Node:
    def __del__(self):
        print("gone")
node = Node()
node.itself = node
del node
know.collect()
import helper
print(know.isenabled(), know.get_freeze_count())
"""


def test_what_a_start_makes_is_left_out(bench):
    """But not from a program that may look, from the first text of its that names the collector on."""
    bench.write("look.py", LOOK)
    bench.write("helper.py", "import gc\nprint(any(each is __builtins__ for each in gc.get_objects()))")
    outcome = bench.minpy("run", "look.py")
    assert (outcome.status, outcome.text) == (0, "True True\ngone\nTrue\nTrue 0\n")
    bench.write("named.py", "import gc\n" + LOOK)
    outcome = bench.minpy("run", "named.py")
    assert (outcome.status, outcome.text) == (0, "True False\ngone\nTrue\nTrue 0\n")


@pytest.mark.parametrize("words", [["run", "--policy", "none", "x.py"], ["run", "nowhere.py"]])
def test_it_goes_on_after_a_run_that_did_not_begin(monkeypatch, capsys, words):
    monkeypatch.setattr(cli.sys, "argv", ["minpy", *words])
    monkeypatch.setattr(cli, "_program", lambda *_: 2)
    assert cli.main() == 2
    assert gc.isenabled() and not collector._rests


def test_it_rests_on_if_the_program_wants_that(monkeypatch):
    before = gc.get_freeze_count()
    gc.disable()
    try:
        collector.pause()
        collector.begin()
        collector.resume()
        assert not gc.isenabled() and gc.get_freeze_count() == before
    finally:
        gc.enable()
