"""Files of models, and checkpoints: resuming bit for bit, also after the process was killed."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from solver_models import Line, Net, clusters, make

from minpy.errors import ArgumentError, CheckpointError
from minpy.nn import files
from minpy.nn.callbacks import Callback
from minpy.nn.io import NDArrayIter

# ----- files


def test_models_come_back(tmp_path):
    solver = make(num_epochs=1)
    solver.train()
    solver.model.aux_params["mean"] = None
    solver.model.save(tmp_path / "deep" / "m")
    assert os.listdir(tmp_path / "deep") == ["m.params"]
    model = Net()
    model.load(tmp_path / "deep" / "m")
    for name, value in solver.model.params.items():
        assert (model.params[name] == value).all() and model.params[name].dtype == value.dtype
    assert list(model.params) == list(model.param_configs)
    assert (
        model.aux_params["mean"] is None and (model.aux_params["var"] == solver.model.aux_params["var"]).all()
    )


def test_wrong_files_change_nothing(tmp_path):
    solver = make(num_epochs=1)
    solver.train()
    solver.model.save(tmp_path / "m")
    line = Line(4)
    line.save(tmp_path / "line")
    net = Net(hidden=9)
    for path, model, text in (
        ("m", net, r"holds 'w1' of shape \(4, 8\), but the model's is \(4, 9\)"),
        ("m", line, "has no parameter 'b', which Line has"),
        ("line", net, "has no parameter 'b1'"),
    ):
        with pytest.raises(CheckpointError, match=text):
            model.load(tmp_path / path)
        assert model.params == {}
    for damage in (lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:300] + b"!!!" + b[303:]):
        (tmp_path / "bad.params").write_bytes(damage((tmp_path / "m.params").read_bytes()))
        with pytest.raises(CheckpointError, match=r"bad\.params"):
            Net().load(tmp_path / "bad")
    with pytest.raises(FileNotFoundError):
        Net().load(tmp_path / "none")
    (tmp_path / "h.params").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(CheckpointError, match=r"HDF5|damaged"):
        Net().load(tmp_path / "h")


def test_files_of_the_original(tmp_path):
    h5py = pytest.importorskip("h5py", reason="the original's files are HDF5")
    with h5py.File(tmp_path / "old.params", "w") as file:
        file["param_w"], file["param_b"] = np.ones((3, 1)), np.zeros(1)
    model = Line()
    model.load(tmp_path / "old")
    assert (model.params["w"] == 1).all()


# ----- checkpoints


def everything(solver):
    """All that a training comes to, bit for bit."""
    found = {
        "losses": np.array(solver.loss_history),
        "train": np.array(solver.train_acc_history),
        "val": np.array(solver.val_acc_history),
        "best": np.array(solver.best_val_acc),
        "place": np.array([solver.epoch, solver.iteration, np.random.rand()]),
    }
    for what in ("params", "aux_params"):
        found |= {f"{what}.{k}": np.asarray(v) for k, v in getattr(solver.model, what).items()}
    for name, config in solver.optim_configs.items():
        found |= {f"{name}.{k}": np.asarray(v) for k, v in config.items()}
    return {k: (v.dtype.str, v.shape, v.tobytes()) for k, v in found.items()}


class Killed(Exception):
    pass


class Kill(Callback):
    def __init__(self, iteration):
        self.iteration = iteration

    def on_step(self, solver, loss):
        if solver.iteration == self.iteration:
            raise Killed


@pytest.mark.parametrize("handle", ["pad", "roll_over", "discard"])
@pytest.mark.parametrize("every, at", [(None, 12), (3, 8), (1, 10), (None, 6), (7, 15)])
def test_resuming_is_as_if_nothing_had_happened(tmp_path, handle, every, at):
    x, y = clusters(110)

    def options(path, **more):
        solver = make(checkpoint=path, checkpoint_every=every, early_stop=3, **more)
        solver.train_dataiter = NDArrayIter(x, y, 25, shuffle=True, last_batch_handle=handle)
        return solver

    straight = options(tmp_path / "a")
    straight.train()
    expected = everything(straight)
    with pytest.raises(Killed):
        options(tmp_path / "b", callbacks=[Kill(at)]).train()
    again = options(tmp_path / "b", resume=True)
    np.random.seed(99)
    again.train()
    assert everything(again) == expected
    # A training that was finished is finished.
    finished = options(tmp_path / "b", resume=True)
    finished.train()
    assert finished.iteration == straight.iteration
    assert os.listdir(tmp_path) and not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]


# Where the process stops and waits to be killed: "writing" is when the bytes of a checkpoint are there, and its name is
# not.
PROGRAM = """
import hashlib, os, sys, time
sys.path[:0] = [{tests!r}]
from test_checkpoints import everything
from solver_models import make
from minpy.nn import files
from minpy.nn import files
from minpy.nn.callbacks import Callback

place, number = {place!r}, {number}

def wait():
    print(place, flush=True)
    time.sleep(60)

class Steps(Callback):
    def on_step(self, solver, loss):
        if place == "step" and solver.iteration == number:
            wait()

written, fsync = [], os.fsync
def watched(handle):
    fsync(handle)
    written.append(handle)
    if place == "writing" and len(written) == number:
        wait()
files.os.fsync = watched

solver = make(num_epochs=4, checkpoint={path!r}, checkpoint_every=2, resume=True, callbacks=[Steps()])
solver.train()
print(hashlib.sha256(repr(sorted(everything(solver).items())).encode()).hexdigest(), flush=True)
"""


def test_a_process_that_was_killed_loses_nothing_that_a_checkpoint_held(tmp_path):
    path = tmp_path / "state"

    def start(place, number):
        code = PROGRAM.format(tests=os.path.dirname(__file__), path=str(path), place=place, number=number)
        return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)

    held = []
    # (Each checkpoint takes two calls: of the file, and of its folder.)
    for place, number in (("writing", 3), ("step", 11), ("writing", 1)):
        child = start(place, number)
        assert child.stdout.readline().strip() == place
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        solver = make(checkpoint=path)
        solver.load_checkpoint()
        held.append(solver.iteration)
    # What was being written is lost, and all before it is there.
    assert held == [2, 10, 10]
    found = start("nowhere", 0).communicate(timeout=120)[0].strip()
    straight = make(num_epochs=4, checkpoint=tmp_path / "other", checkpoint_every=2)
    straight.train()
    assert found == hashlib.sha256(repr(sorted(everything(straight).items())).encode()).hexdigest()


def test_what_a_killed_process_left_half_written_is_cleared_away(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    old, young, mine = (tmp_path / f"m.params.{pid}-0.tmp" for pid in (dead.pid, dead.pid, os.getpid()))
    young = tmp_path / f"m.params.{dead.pid}-1.tmp"
    other = tmp_path / "m.params.mine.tmp"
    for path in (old, young, mine, other):
        path.write_bytes(b"half")
    for path in (old, mine, other):
        os.utime(path, (0, 0))
    model = Line()
    model.params = {"w": np.zeros((3, 1)), "b": np.zeros(1)}
    model.save(tmp_path / "m")
    assert not old.exists() and young.exists() and mine.exists() and other.exists()


def test_wrong_checkpoints_change_nothing(tmp_path):
    path = tmp_path / "c"
    solver = make(checkpoint=path, num_epochs=1)
    solver.train()
    whole = path.read_bytes()
    other = make(model=Net(hidden=9), checkpoint=path)
    before = np.random.get_state()[1].copy()
    with pytest.raises(CheckpointError, match="'w1' of shape"):
        other.load_checkpoint()
    assert other.model.params == {} and other.iteration == 0
    solver.model.save(tmp_path / "m")
    with pytest.raises(CheckpointError, match="not a checkpoint of a solver"):
        solver.load_checkpoint(tmp_path / "m.params")
    path.write_bytes(whole[:-100])
    with pytest.raises(CheckpointError, match="not a checkpoint, or it is damaged"):
        solver.load_checkpoint()
    assert (np.random.get_state()[1] == before).all()
    with pytest.raises(ArgumentError, match="path must be given"):
        make().save_checkpoint()
    with pytest.raises(ArgumentError, match="over 120 samples, not 50"):
        path.write_bytes(whole)
        other = make(checkpoint=path)
        other.train_dataiter = NDArrayIter(*clusters(50), batch_size=25)
        other.load_checkpoint()


def test_no_damage_goes_unnoticed(tmp_path):
    """A file with a wrong byte, or cut off anywhere, is an error, or it holds what it held."""
    path = tmp_path / "c"
    solver = make(checkpoint=path, num_epochs=1)
    solver.train()
    whole = path.read_bytes()
    expected, notes = files.load(path)

    def holds_what_it_held():
        try:
            arrays, found = files.load(path)
        except CheckpointError as error:
            assert str(path) in str(error)
            return False
        same = {k: v.tobytes() for k, v in arrays.items()} == {k: v.tobytes() for k, v in expected.items()}
        assert same and found == notes
        return True

    kept = 0
    for place in range(0, len(whole), 61):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        path.write_bytes(damaged)
        kept += holds_what_it_held()
    assert kept < 0.2 * len(range(0, len(whole), 61))  # times and attributes of the archive
    for length in range(0, len(whole), 997):
        path.write_bytes(whole[:length])
        assert not holds_what_it_held()
