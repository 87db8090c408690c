"""The ports of the programs to other libraries: complete, compared with the programs, and told apart when wrong."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from figures import ROWS, row

from benchmarks import forward, ports, report, whole
from benchmarks.one_program import distance

ROOT = Path(__file__).parents[1]
NUMBA = pytest.mark.skipif(not importlib.util.find_spec("numba"), reason="needs the extra jit")


@pytest.mark.parametrize("peer", ports.COMPLETE)
def test_every_program_has_a_port_or_a_reason(peer: str) -> None:
    there, absent = set(ports.names(peer)), set(ports.ABSENT.get(peer, {}))
    assert not there & absent
    assert there | absent == set(whole.NAMES)


@pytest.mark.parametrize("peer", ports.PEERS)
def test_ports_of_the_forward_set(peer: str) -> None:
    assert {*ports.names(peer), *ports.ABSENT.get(peer, {})} >= set(forward.PROGRAMS)
    assert set(ports.names(peer)) <= set(whole.NAMES)


def check(peer: str, name: str, folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, str(whole.SCRIPT), name, "tiny", peer],
        input="first\ncheck\n",
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(folder)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[1])["wrong"]


@NUMBA
@pytest.mark.parametrize(
    "name", ["crc", "jacobi_2d"]
)  # as written, an array expression; small arrays: lorenz, below
def test_numba_gives_the_same(name: str, tmp_path: Path) -> None:
    assert check("numba", name, tmp_path) == []


@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="JAX is measured where it is installed")
@pytest.mark.parametrize("name", ["gauss_seidel", "knapsack"])
def test_jax_gives_the_same(name: str, tmp_path: Path) -> None:
    assert check("jax", name, tmp_path) == []


# --- What counts as the same


A = np.array([1.0, -4.0, np.nan, np.inf])


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (A, A * (1 + 1e-9)),
        (A.astype(np.float32), A * (1 + 1e-5)),
        ((A, 3), [A.copy(), np.int32(3)]),
        ([1, 2], [1, 2]),
        (2.5, np.array(2.5)),
        (np.array([1j, 2.0]), np.array([1j, 2.0 + 1e-9j])),
        (np.zeros(3), np.zeros(3)),
        (np.empty(0), np.empty(0)),
    ],
)
def test_the_same_to_rounding(expected: Any, found: Any) -> None:
    assert distance(expected, found) == []


@pytest.mark.parametrize(
    ("expected", "found", "words"),
    [
        (A, A[:3], "shape"),
        (A, A + np.array([0, 1e-3, 0, 0]), "result: 1 of 4 elements differ, the most by 2.5e-04"),
        (A, np.where(np.isnan(A), 0, A), "result: 1 of 4"),
        (A, np.abs(A), "result: 1 of 4"),
        (A, np.where(np.isinf(A), -A, A), "result: 1 of 4"),
        (np.ones(2), np.array([1.0, np.nan]), "result: 1 of 2"),
        (np.zeros(2), np.array([0.0, 1e-300]), "result: 1 of 2"),
        ((A, [3]), (A, [4]), r"result\[1\]: 1 of 1"),
        ((A, A), (A,), "1 parts instead of 2"),
        ((100.0, 0.5), (100.0, 0.4), r"result\[1\]: 1 of 1"),
        (np.arange(3), np.arange(3) + 1e-9, "result: 3 of 3"),
        ([1, 2], [2, 1], "result: 2 of 2"),
        (np.array([1j]), np.array([1 + 1j]), "result: 1 of 1"),
    ],
)
def test_something_else(expected: Any, found: Any, words: str) -> None:
    (line,) = distance(expected, found)
    assert re.search(words, line), line


def test_more_is_allowed_where_a_port_says_so() -> None:
    expected = np.linspace(1, 2, 100)
    found = expected + 0.01
    assert distance(expected, found) and not distance(expected, found, tolerance=0.01)
    found = expected.copy()
    found[:2] = 9
    assert distance(expected, found, few=0.01) and not distance(expected, found, few=0.02)


# --- What is said of the figures


def test_means_are_taken_over_the_same_programs() -> None:
    found = report.overall(ROWS)
    assert found["small"]["mean"] == pytest.approx(4.0) and found["large"]["mean"] == pytest.approx(4.0)
    numba, jax = (found["small"]["peers"][peer] for peer in ("numba", "jax"))
    assert (numba["programs"], numba["mean"], numba["ahead"]) == (2, pytest.approx(2.0), 1)
    assert (jax["programs"], jax["mean"], jax["minpy_mean"]) == (1, pytest.approx(0.5), pytest.approx(2.0))
    assert jax["slower"] == ["sobel"] and numba["slower"] == []
    assert numba["compile"] == pytest.approx(1.0)


def test_text_and_table_name_what_is_absent_and_wrong() -> None:
    rows = [*ROWS, row("crc", "small", 1.0, numba=1.0, jax=1.0)]
    rows[-1]["peers"]["jax"]["wrong"] = ["result: 1 of 1 elements differ"]
    rows[-1]["same"], rows[-1]["differences"] = False, ["result: int 1 instead of result: int 2"]
    text = report.text(rows)
    assert "no JAX: quicksort: has no stack" in text and "wrong: crc" in text and "not the same: crc" in text
    table = report.markdown(rows).splitlines()
    assert table[0] == (
        "| program | small: NumPy | MinPy | Numba | JAX | large: NumPy | MinPy | Numba | JAX |"
    )
    assert table[2] == "| crc | 100 ms | 1.00 | 1.00 | 1.00 |  |  |  |  |"
    assert len({line.count("|") for line in table}) == 1
    beside = report.side_by_side(rows)
    assert "JAX gives something else in crc" in beside and "NOT THE SAME: crc" in beside
    assert len({line.count("|") for line in report.side_by_side_markdown(rows).splitlines()}) == 1


def test_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="draws the picture")
    report.plot(ROWS, str(tmp_path / "all.png"))
    report.plot([row("sobel", "large", 4.0)], str(tmp_path / "one.svg"))
    assert all((tmp_path / name).stat().st_size > 1000 for name in ("all.png", "one.svg"))


# --- Measuring them


def test_an_interpreter_without_the_library() -> None:
    said: list[str] = []
    assert whole.installed(["numba"], "no-such-python", said.append) == {}
    assert said == ["Numba skipped: there is no no-such-python"]


def test_an_interpreter_that_says_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    assert ports.missing(str(broken), "numba") == "ended with status 3"
    assert "nosuchmodule" in (ports.missing(sys.executable, "nosuchmodule") or "")


def test_limits_are_those_of_child_processes_and_end() -> None:
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    with whole.limited(1) as environment:
        assert environment["OMP_NUM_THREADS"] == "1"
        if before:
            code = "import os; print(len(os.sched_getaffinity(0)))"
            assert (
                subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "1\n"
            )
    if before:
        assert os.sched_getaffinity(0) == before
    with whole.limited(None) as environment:
        assert environment == {}


@NUMBA
def test_a_peer_is_measured_beside_the_others(tmp_path: Path) -> None:
    """And one whose process fails is told of, and does not keep the others from it."""
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    peers = {"numba": sys.executable, "jax": str(broken)}
    row = whole.compare("lorenz", "tiny", whole.environment_for(["lorenz"], None), 0.1, 1, peers)
    assert row["same"] and row["peers"]["numba"]["wrong"] == [] and row["peers"]["numba"]["ratio"] > 0
    assert row["peers"]["numba"]["first_cold"] > row["peers"]["numba"]["median"]
    assert row["peers"]["jax"] == {"absent": "lorenz (tiny, jax) ended with status 3"}


def test_a_peer_that_fails_later_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was measured of the others in an hour is kept."""
    asked: list[list[str]] = []

    def compare(
        name: str, size: str, environment: Any, seconds: float, pairs: int, peers: dict[str, str]
    ) -> Any:
        asked.append(list(peers))
        if "jax" in peers:
            raise whole.Failed("it ended", "jax")
        return row(name, size, 2.0, **dict.fromkeys(peers, 3.0))

    monkeypatch.setattr(whole, "compare", compare)
    peers = {"numba": "python", "jax": "python"}
    (found,) = whole.measure_each([("sobel", "small")], True, None, lambda line: None, peers)
    assert asked == [["numba", "jax"], ["numba"]] and set(peers) == {"numba", "jax"}
    assert found["peers"]["jax"] == {"absent": "it ended"} and found["peers"]["numba"]["ratio"] == 3.0

    def broken(*args: Any) -> Any:
        raise whole.Failed("it ended")  # MinPy's own, or plain Python's

    monkeypatch.setattr(whole, "compare", broken)
    with pytest.raises(whole.Failed):
        whole.measure_each([("sobel", "small")], True, None, lambda line: None, peers)


@pytest.mark.parametrize(
    ("fastest", "stretches"),
    [
        ([2.0, 2.0], 2),  # as fast as at once
        ([2.0, 1.0, 0.5, 0.49], 4),  # until a stretch brings nothing
        ([2.0, 3.0], 2),  # a disturbed stretch is not a faster one
        ([0.8**n for n in range(20)], 7),  # no longer than WARM_MOST
    ],
)
def test_warming_up_goes_on_while_it_gets_faster(fastest: list[float], stretches: int) -> None:
    """What a peer compiles at its first run, MinPy may compile later: both are measured when they are warm."""

    class Running:
        def __init__(self) -> None:
            self.asked: list[str] = []

        def ask(self, words: str) -> dict[str, float]:
            self.asked.append(words)
            return {"seconds": fastest[len(self.asked) - 1]}

    running = Running()
    best = whole.warmed(running, 1.2)  # type: ignore[arg-type]
    assert running.asked == ["warm 1.2"] * stretches and best == min(fastest[:stretches])
