"""The program that measures a GPU, tried out on a simulated one."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def run(tmp_path: pathlib.Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"PYTHONPATH": str(ROOT), "MINPY_CACHE_DIR": str(tmp_path / "cache")} | variables
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "-o", str(tmp_path / "gpu"), *arguments],
        capture_output=True,
        text=True,
        env=environ,
        cwd=tmp_path,
    )


def test_all_parts_run_and_are_reported(tmp_path) -> None:
    done = run(tmp_path, "--simulated")
    assert not done.returncode, done.stderr
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert report["environment"]["simulated"] and report["environment"]["backend"] == "cupy"
    assert report["products"]["64 float64"]["right"] and report["simulation"]["right"]
    assert all(report["training"][name]["right"] for name in ("mlp", "cnn", "lstm"))
    assert report["small"]["operations_on_the_gpu"] == 0
    assert report["several"]["right"] and report["several"]["way"] == "NCCL"
    text = (tmp_path / "gpu.md").read_text()
    assert "the times mean nothing" in text and "| a training step, lstm | minpy" in text
    assert "| a training step, cnn | minpy" in text
    assert "| a training step on 2 cards | one card" in text


def test_without_a_gpu_it_says_so(tmp_path) -> None:
    done = run(tmp_path, "--only", "copies", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2 and done.stderr.startswith("no GPU to measure: gpu(0)"), done.stderr
    assert not (tmp_path / "gpu.json").exists()
