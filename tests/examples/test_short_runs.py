"""Every example in its short mode, under the policies `auto` and `prefer_mxnet`; what it prints is checked.

Several run in one process, so that what they import is imported once. The full runs, and what comes out of them, are in
examples/README.md.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minpy.errors import DeviceError
from minpy.runtime.backends.mxnet import load

ROOT = Path(__file__).parents[2]

# Pattern -> the least and the largest of the numbers that it finds, or how often it must be found.


def accuracy(least: float) -> dict:
    """One line, at least so many percent: what a run of a few seconds learns, never what guessing gives."""
    return {r"^(?:\w+ +)?test accuracy: ([\d.]+)%": (least, 100)}


TOUR = {
    "autograd_tutorial": {r"^all as it should be$": 1, r"^f?.*= \[?80\.": 1},
    "numpy_under_minpy": {r"^f\(4\) = 90, f.\(4\) = 43.0$": 1, r"^(?:NumPy|MXNet on cpu\(0\)) +[\d.]+ s": 2},
    "transparent_fallback": {
        r"^Total Dispatch Proportion: ([\d.]+)% in MXNet": (40, 70),
        r"^ interp : 1$": 1,
        r"^PrimitivePolicyError: interp cannot run.*\[MP021\]$": 1,
    },
    "context": {
        r"^cpu\(0\): an array of shape \(32, 32\), in cpu\(0\)$": 1,
        r"^set_context: cpu\(1\)$": 1,
    },
    "op_statistics": {r"^at the end: accuracy ([\d.]+) %$": (99, 100), r"^ dot : (\d+)$": (12, 1000)},
    "data_iter": {r"pad 62$": 1, r"^discard +\[\[0, 1, 2, 3\], \[4, 5, 6, 7\]\]$": 1, r": True$": 2},
    "logistic": {r"accuracy: ([\d.]+)%": (90, 100), r"between the weights: (\S+)$": (0, 1e-6)},
    "custom_operator": {
        **accuracy(30),
        r"agrees with differences$": 1,
        r"losses of the two trainings: (\S+)$": (0, 1e-4),
    },
}
NETWORKS = {
    "mlp": accuracy(75),
    "mlp --builder": accuracy(75),
    "mlp_bn_dropout": accuracy(80),
    "layers_in_numpy": {**accuracy(25), r"values and gradients (\S+)$": (0, 1e-10)},
    "resnet": {**accuracy(35), r"^resnet: (\d+) arrays": (20, 40)},
}
STAGES = {f"cnn --stage {stage}": accuracy(70) for stage in ("minpy", "mixed", "symbol", "l2", "builder")}
SEQUENCES = {
    "adding_problem": {r"error: ([\d.]+)": (0, 0.1767)},
    "adding_problem --steps --cell gru": {r"error: ([\d.]+)": (0, 0.1767)},
    "rnn_patches": accuracy(60),
}
GAMES = {
    "actor_critic --steps 8192": {r"^mean reward of 1 episodes: ([\d.]+)$": (60, 100)},
    "policy_gradient --updates 20 --episodes 10": {
        r"^mean reward of the last 100 episodes: ([\d.]+)$": (40, 500)
    },
    "actor_critic --env pong": {r"^mean reward of 1 episodes: (-?[\d.]+)$": (-21, 21)},
}
# On the device each operation takes a tenth of a millisecond, so the same is done less often there.
SHORTER = {
    "adding_problem --cell rnn": {r"error: ([\d.]+)": (0, 0.1767)},
    "rnn_patches": SEQUENCES["rnn_patches"],
    "actor_critic": {r"^mean reward of 1 episodes: ([\d.]+)$": (8, 100)},
    "policy_gradient": {r"^mean reward of the last 12 episodes: ([\d.]+)$": (10, 100)},
}
RUNS = {
    "tour-auto": TOUR,
    "networks-auto": NETWORKS | STAGES,
    "sequences-auto": SEQUENCES | GAMES,
    "tour-prefer_mxnet": TOUR,
    "networks-prefer_mxnet": {name: NETWORKS[name] for name in NETWORKS if "--" not in name},
    "stages-prefer_mxnet": {name: STAGES[name] for name in ("cnn --stage mixed", "cnn --stage builder")}
    | SHORTER,
}


# Where MXNet cannot be imported, what is not about it runs all the same.
HOST = ("networks-auto", "sequences-auto")
SYMBOLS = {f"cnn --stage {stage}" for stage in ("mixed", "symbol", "l2")}


def loads() -> bool:
    """Whether MXNet can be imported."""
    try:
        return bool(load())
    except DeviceError:
        return False


def wrong(text: str, checks: dict) -> list[str]:
    """What is not as it should be in what an example printed."""
    found = []
    for pattern, wanted in checks.items():
        matches = re.findall(pattern, text, re.MULTILINE)
        if isinstance(wanted, int):
            if len(matches) != wanted:
                found.append(f"{pattern!r} is there {len(matches)} times, not {wanted}")
            continue
        numbers = [float(n) for match in matches for n in ([match] if isinstance(match, str) else match)]
        if not numbers:
            found.append(f"{pattern!r} is not there")
        found += [
            f"{pattern!r} has {n}, outside {wanted}" for n in numbers if not wanted[0] <= n <= wanted[1]
        ]
    return found


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in HOST else pytest.mark.mxnet) for name in RUNS]
)
def test_short_runs(name, tmp_path):
    """Each example ends without an error and prints what it should."""
    run = {command: checks for command, checks in RUNS[name].items() if command not in SYMBOLS or loads()}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MINPY_")} | {
        "OMP_NUM_THREADS": "1"
    }
    results, policy = tmp_path / "results.json", name.partition("-")[2]
    command = [
        sys.executable,
        "-m",
        "minpy",
        "run",
        "--policy",
        policy,
        ROOT / "tests/examples/driver.py",
        results,
    ]
    done = subprocess.run(
        [*map(str, command), *run], cwd=tmp_path, env=environment, capture_output=True, timeout=500
    )
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(results.read_text())
    failures = []
    for example, checks in run.items():
        out, error = found[example]["out"], found[example]["error"]
        failures += [f"{example}: {text}\n{out}" for text in ([error] if error else wrong(out, checks))]
    assert not failures, "\n".join(failures)


def test_every_example_is_run():
    """None is left out, here or in the tests beside this one; each has its row in the list."""
    files = {path.stem for path in (ROOT / "examples").glob("*.py")}
    here = {command.split()[0] for run in RUNS.values() for command in run}
    beside = [path for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__)]
    elsewhere = "".join(path.read_text() for path in beside)
    missing = {name for name in files - here if name not in elsewhere}
    assert not missing
    readme = (ROOT / "examples/README.md").read_text()
    assert not {name for name in files if f"{name}.py" not in readme}
