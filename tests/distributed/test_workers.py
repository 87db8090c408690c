"""Training in several processes over MXNet's store: the same as in one, and clean ends when something dies."""

from __future__ import annotations

import os
import signal
import sys
import textwrap

import numpy as np
import pytest
from launched import Run, environment

pytestmark = [
    pytest.mark.mxnet,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are watched through /proc"),
]

PROGRAM = textwrap.dedent(
    """
    import argparse, time
    import numpy as np
    from minpy import distributed
    from minpy.nn import layers
    from minpy.nn.callbacks import Callback
    from minpy.nn.io import NDArrayIter
    from minpy.nn.model import ModelBase
    from minpy.nn.solver import Solver

    parser = argparse.ArgumentParser()
    add = parser.add_argument
    add("--kvstore"), add("--epochs", type=int, default=4), add("--norm", action="store_true")
    add("--state"), add("--every", type=int), add("--resume", action="store_true"), add("--result")
    add("--slow", type=float, default=0.0), add("--patience", type=float), add("--hold", type=int)
    given = parser.parse_args()
    rank = distributed.rank()


    class Net(ModelBase):
        def __init__(self):
            super().__init__()
            self.add_param("w1", (6, 8)).add_param("b1", (8,)).add_param("w2", (8, 3)).add_param("b2", (3,))
            self.add_param("gamma", (8,), init_rule="constant", init_config={"value": 1.0}).add_param("beta", (8,))
            if given.norm:
                self.add_aux_param("mean", None).add_aux_param("var", None)

        def forward(self, X, mode):
            p, aux = self.params, self.aux_params
            hidden = layers.affine(X, p["w1"], p["b1"])
            if given.norm:
                hidden, aux["mean"], aux["var"] = layers.batchnorm(
                    hidden, p["gamma"], p["beta"], mode, running_mean=aux["mean"], running_var=aux["var"]
                )
            return layers.affine(layers.relu(hidden), p["w2"], p["b2"])

        def loss(self, predict, y):
            return layers.softmax_loss(predict, y)


    data = np.random.RandomState(0)
    y = data.randint(3, size=107)
    x = np.eye(6)[y] * 2 + data.randn(107, 6)
    np.random.seed(rank)  # each worker on its own, until worker 0 says where they begin
    train = distributed.shard(NDArrayIter(x, y, batch_size=25, shuffle=True))


    class AfterStep(Callback):
        def on_step(self, solver, loss):
            time.sleep(200 if rank == 1 and given.hold == solver.iteration else given.slow)
            if given.patience and solver.iteration == 7:
                watch = solver.team.exchange._watch
                print("patience", watch.limit)
                watch.limit = given.patience  # not before: on a busy machine the others are late to join


    solver = Solver(
        Net(), train, NDArrayIter(x, y, 40), kvstore=given.kvstore, num_epochs=given.epochs, update_rule="adam",
        optim_config={"learning_rate": 0.02}, lr_decay=0.9, train_acc_num_samples=None, print_every=1,
        checkpoint=given.state, checkpoint_every=given.every, resume=given.resume,
        callbacks=[AfterStep()],
        visualize=given.state is not None, summaries_dir=f"{given.state}.log",
    )
    solver.train()
    if given.result:
        np.savez(
            f"{given.result}-{rank}.npz", loss=solver.loss_history, val=solver.val_acc_history,
            train=solver.train_acc_history, **solver.model.params,
            **{k: v for k, v in solver.model.aux_params.items() if v is not None},
        )
    """
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    (folder / "program.py").write_text(PROGRAM)
    return folder


@pytest.fixture
def start(folder, tmp_path_factory):
    cache = tmp_path_factory.getbasetemp() / "cache"
    runs = []

    def begin(*words, launcher=(), workers=2, **environ):
        words = ("--workers", workers, *launcher, "program.py", *words)
        runs.append(Run(*words, cwd=folder, environ=environment(cache, **environ)))
        return runs[-1]

    yield begin
    for run in runs:
        run.popen.kill()


@pytest.fixture(scope="module")
def alone(folder, tmp_path_factory):
    """What one process learns."""
    import subprocess

    words = ["program.py", "--kvstore", "dist_sync", "--result", "alone"]
    environ = environment(tmp_path_factory.getbasetemp() / "cache")
    done = subprocess.run([sys.executable, *words], cwd=folder, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return np.load(folder / "alone-0.npz"), done.stdout


def assert_same(found, wanted):
    assert set(found.files) == set(wanted.files)
    for name in wanted.files:
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_two_workers_learn_what_one_learns(start, folder, alone):
    """Batches of 25 in shares of 12 and 13: losses, evaluations and parameters agree to rounding; so does the print."""
    run = start("--kvstore", "dist_sync", "--result", "two", "--state", "two.npz")
    assert run.end() == 0, run.err
    wanted, printed = alone
    first, second = np.load(folder / "two-0.npz"), np.load(folder / "two-1.npz")
    assert_same(first, wanted)
    for name in first.files:
        assert np.array_equal(first[name], second[name]), name
    # Worker 0 alone prints, and writes files.
    losses = [line.replace("[worker 0] ", "") for line in run.out if "loss" in line]
    assert losses == [line for line in printed.splitlines() if "loss" in line]
    assert all(line.startswith("[worker 0] ") for line in run.out)
    assert sorted(os.listdir(folder / "two.npz.log")) == ["test", "train"]
    for run_name in ("train", "test"):
        assert len(os.listdir(folder / "two.npz.log" / run_name)) == 1


def test_workers_at_their_own_pace(start, folder):
    """They end with the same parameters and statistics; they learn."""
    run = start("--kvstore", "dist_async", "--result", "async", "--norm", "--epochs", "6")
    assert run.end() == 0, run.err
    first, second = np.load(folder / "async-0.npz"), np.load(folder / "async-1.npz")
    for name in set(first.files) - {"loss"}:
        assert np.array_equal(first[name], second[name]), name
    assert {"mean", "var"} <= set(first.files)
    # Each worker's own losses are of its own shares.
    assert len(first["loss"]) == len(second["loss"]) == 30
    assert not np.array_equal(first["loss"], second["loss"])
    assert np.mean(first["loss"][-5:]) < 0.8 * np.mean(first["loss"][:5])


def test_a_killed_worker_and_what_comes_after(start, folder, alone):
    """The others end with it; the same command goes on from the checkpoint, over ssh: as if nothing had been."""
    state = ("--kvstore", "dist_sync", "--state", "killed.npz", "--every", 3)
    run = start(*state, "--hold", 9)  # while the other waits for it in MXNet
    run.wait_for(r"\(Iteration 9 /")
    os.kill(run.pid("worker 1"), signal.SIGKILL)
    assert run.end() == 137
    assert run.error == (
        "minpy: error: worker 1 was killed by SIGKILL. The others were stopped. "
        "With Solver(checkpoint=…, resume=True), the same command goes on from the last checkpoint [MP061]"
    )

    # A stand-in for ssh: it runs the command here, as a shell on the other machine would.
    tools = folder / "tools"
    tools.mkdir()
    (tools / "ssh").write_text(
        '#!/bin/sh\nwhile [ $# -gt 2 ]; do shift; done\necho "$1" >> hosts.used\nexec sh -c "$2"\n'
    )
    (tools / "ssh").chmod(0o755)
    (folder / "hosts").write_text("127.0.0.1\nme@localhost  # the same machine\n")
    path = os.pathsep.join([str(tools), os.environ["PATH"]])
    run = start(*state, "--resume", "--result", "resumed", launcher=("--hosts", "hosts"), PATH=path)
    assert run.end() == 0, run.err
    assert sorted((folder / "hosts.used").read_text().split()) == ["127.0.0.1", "me@localhost"]
    wanted, _ = alone
    for rank in range(2):
        assert_same(np.load(folder / f"resumed-{rank}.npz"), wanted)
    numbers = [line for line in run.out if "(Iteration" in line]
    assert int(numbers[0].split()[3]) in (7, 10)  # it did not begin anew


def test_a_store_that_dies_ends_the_training(start):
    """Whoever waits for it is ended, and it is said who died. (The scheduler is watched as a server is.)"""
    run = start("--kvstore", "dist_sync", "--epochs", 1000, "--slow", "0.05")
    run.wait_for(r"\(Iteration 7 /")
    os.kill(run.pid("server 0"), signal.SIGKILL)
    assert run.end() == 137
    assert run.error.startswith("minpy: error: server 0 was killed by SIGKILL. The others were stopped. ")


def test_waiting_has_an_end(start):
    """A store that no longer answers, without having died."""
    words = ("--kvstore", "dist_sync", "--epochs", 1000, "--slow", "0.05", "--patience", 3)
    run = start(*words, launcher=("--timeout", "300"))
    run.wait_for(r"patience 300\.0$")
    os.kill(run.pid("server 0"), signal.SIGSTOP)
    assert run.end() == 1
    assert any("waited 3 s for the others at iteration" in line and "[MP060]" in line for line in run.err)
