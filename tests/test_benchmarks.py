"""The measurements that need no clock: what a tape holds, what checkpoints save; and the command that prints them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


def benchmarks(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def test_memory(tmp_path: Path) -> None:
    """A tape holds no more than was overwritten and computed; √n checkpointed pieces take the memory of √n steps."""
    place = tmp_path / "figures.json"
    done = benchmarks("gradients", "--fast", "--only", "memory", "checkpoint", "-o", str(place))
    assert done.returncode == 0, done.stderr
    assert "bound: bytes overwritten" in done.stdout and "in √n checkpointed pieces" in done.stdout
    found = json.loads(place.read_text(encoding="utf-8"))["results"]["gradients"]
    assert {row["program"] for row in found["memory"]} == {"stencil", "chain", "slices"}
    for row in found["memory"]:
        assert 0 < row["ratio"] < 1.1, row  # less than the bound where rules ask for no contents
    growth = [row["growth"] for row in found["checkpoint"] if row["program"] == "pieces" and row["growth"]]
    assert len(growth) == 2 and all(g < 2.3 for g in growth)
    linear = [row["growth"] for row in found["checkpoint"] if row["program"] == "whole" and row["growth"]]
    assert all(g > 3 for g in linear)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gradient"], "no set 'gradient': choose from calls, startup, gradients, peers"),
        (["calls", "--only", "heat_1d"], "--only takes parts of one of gradients, peers"),
    ],
)
def test_unknown(words: list[str], message: str) -> None:
    done = benchmarks(*words)
    assert done.returncode == 2 and message in done.stderr


def test_unknown_part() -> None:
    done = benchmarks("gradients", "--only", "heat")
    assert done.returncode != 0 and "not measured here: heat. There is: slices, memory" in done.stderr


def test_cold(tmp_path: Path) -> None:
    """A program is repeated until it takes a second; both processes begin with nothing in their caches."""
    place = tmp_path / "figures.json"
    done = benchmarks("cold", "--fast", "--size", "small", "--only", "otsu", "-o", str(place))
    assert done.returncode == 0, done.stderr
    assert "small, 1 programs of 1 s: cold / python at most" in done.stdout
    (row,) = json.loads(place.read_text(encoding="utf-8"))["results"]["cold"]
    assert row["program"] == "otsu" and row["runs"] > 1
    assert row["python"] > 0.5 and row["ratio"] == pytest.approx(row["minpy"] / row["python"])


def test_workloads() -> None:
    """A workload's process gives NumPy's value, bit for bit, and a gradient along which the value falls."""
    from benchmarks.workload_ports import data, plain
    from benchmarks.workloads import Process

    parameters, constants = data.make("small", "float64")
    shown = {}
    for framework in ("NumPy (forward)", "MinPy"):
        process = Process(framework, "small", "float64", 1)
        try:
            shown[framework] = process.ask("first")
            assert process.ask("3")["seconds"] > 0
        finally:
            process.close()
    value = plain.small(**parameters, **constants)
    assert value == shown["NumPy (forward)"]["value"] == shown["MinPy"]["value"]
    size, length, mixed = shown["MinPy"]["gradients"][0]
    steps = 1e-6 * np.eye(10)
    x = parameters.pop("x")
    by_difference = [
        (plain.small(x + step, **constants) - plain.small(x - step, **constants)) / 2e-6 for step in steps
    ]
    assert size == 10
    assert np.isclose(length, np.linalg.norm(by_difference), rtol=1e-4)
    assert np.isclose(mixed, np.dot(by_difference, [(7 * k) % 13 - 6 for k in range(10)]), rtol=1e-4)


def test_a_workload_that_takes_too_long() -> None:
    """What has not answered within its limit is ended."""
    from benchmarks.workloads import Process, TooLong

    process = Process("NumPy (forward)", "small", "float64", 1)
    with pytest.raises(TooLong, match="no value within 0 s"):
        process.ask("first", 0.0)
    process.close()
    assert process._process.returncode < 0


@pytest.mark.mxnet
def test_training() -> None:
    """Three steps of an LSTM come to the same through MinPy's library and through MXNet's symbol."""
    from benchmarks import training
    from benchmarks.workloads import Process, _agree

    shown = {}
    for framework in ("MinPy", "MXNet symbol"):
        process = Process(framework, "lstm", "float64", 1, training.PORTS)
        try:
            shown[framework] = process.ask("first")
            assert process.ask("1")["seconds"] > 0
        finally:
            process.close()
    assert len(shown["MinPy"]["gradients"]) == 5
    assert all(changed[-2] > 0 for changed in shown["MinPy"]["gradients"])
    _agree("lstm", shown, 1e-6)
    shown["MXNet symbol"]["gradients"][1][-2] *= 1 + 1e-5
    with pytest.raises(AssertionError, match="do not agree"):
        _agree("lstm", shown, 1e-6)


def test_unknown_workload() -> None:
    done = benchmarks("workloads", "--only", "lsmt")
    assert done.returncode != 0 and "not measured here: lsmt" in done.stderr
