"""The examples that write for TensorBoard, and that train in several processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(folder: Path, *words: str) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MINPY_")}
    environ |= {"PYTHONPATH": str(ROOT), "MINPY_CACHE_DIR": str(folder / "cache")}
    command = [sys.executable, "-m", "minpy", "run", *words]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("policy", ["auto", pytest.param("prefer_mxnet", marks=pytest.mark.mxnet)])
def test_logistic_regression_for_tensorboard(policy, tmp_path):
    """The curve in the file is the one that is printed, and it falls."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    words = (str(ROOT / "examples" / "logistic_tensorboard.py"), "--short", "--log", "log")
    printed = run(tmp_path, "--policy", policy, *words)
    losses = [float(text) for text in re.findall(r"training loss ([\d.]+)", printed)]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.5 * losses[0]
    events = EventAccumulator(str(tmp_path / "log" / "train")).Reload()
    written = [event.value for event in events.Scalars("loss")]
    assert len(written) == 30 and [round(value, 4) for value in written[::10]] == [
        round(v, 4) for v in losses
    ]
    assert events.Tags()["tensors"] == ["weights"]


@pytest.mark.mxnet
def test_two_workers_print_what_one_prints(tmp_path):
    """All but the times."""
    program = str(ROOT / "examples" / "train_workers.py")
    one = re.sub(r", time: .*", "", run(tmp_path, program, "--short"))
    two = re.sub(r", time: .*", "", run(tmp_path, "--workers", "2", program, "--short"))
    assert "test accuracy" in one and two.replace("[worker 0] ", "") == one
