"""The solver while it runs: what it prints, callbacks, how it ends and goes on."""

from __future__ import annotations

import re

from solver_models import Net, make

from minpy.nn.callbacks import Callback
from minpy.nn.io import DataIter

# ----- what is printed


def test_lines(capsys):
    solver = make(num_epochs=2, print_every=3, verbose=True)
    solver.train()
    lines = capsys.readouterr().out.splitlines()
    steps = [line for line in lines if line.startswith("(Iter")]
    assert [int(re.match(r"\(Iteration (\d+) / 10\) loss: \d+\.\d{6}$", s)[1]) for s in steps] == [
        1,
        4,
        7,
        10,
    ]
    epochs = [line for line in lines if line.startswith("(Epoch")]
    number = r"\d\.\d{6}"
    for i, line in enumerate(epochs, 1):
        assert re.fullmatch(
            rf"\(Epoch {i} / 2\) train acc: {number}, val acc: {number}, time: \d+\.\d{{6}}\.", line
        )
    assert len(epochs) == 2 and len(lines) == 6
    assert f"val acc: {solver.val_acc_history[1]:f}" in epochs[1]


def test_silence_and_the_bar(capsys):
    make(num_epochs=1).train()
    assert capsys.readouterr().out == ""
    make(num_epochs=2, progress=True).train()
    assert "10/10" in capsys.readouterr().out


def test_an_iterator_that_does_not_know_its_length(capsys):
    class Bare(DataIter):
        def __init__(self, it):
            self.it, self.next = it, it.next

        def reset(self):
            self.it.reset()

    solver = make(verbose=True, num_epochs=1)
    solver.train_dataiter = Bare(solver.train_dataiter)
    solver.train()
    assert "(Iteration 1) loss: " in capsys.readouterr().out


# ----- callbacks, stopping


def test_callbacks():
    calls = []

    class Count(Callback):
        def on_begin(self, solver):
            calls.append("begin")

        def on_step(self, solver, loss):
            calls.append(loss)

        def on_epoch(self, solver):
            calls.append(solver.epoch)

        def on_end(self, solver):
            calls.append("end")

    solver = make(num_epochs=2, callbacks=[Count()])
    solver.train()
    losses = solver.loss_history
    assert calls == ["begin", *losses[:5], 1, *losses[5:], 2, "end"]


def test_stop():
    class Stop(Callback):
        def on_step(self, solver, loss):
            if solver.iteration == 7:
                solver.stop()

    solver = make(callbacks=[Stop()])
    solver.train()
    assert solver.iteration == 7 and len(solver.val_acc_history) == 1


def test_early_stop():
    solver = make(num_epochs=50, early_stop=2, optim_config={"learning_rate": 0.0}, model=Net(prob=0.0))
    solver.model.add_param("unused", (1,))
    solver.train()
    history = solver.val_acc_history
    assert solver.epoch == len(history) < 50
    assert max(history[-2:]) <= max(history[:-2])


def test_training_again_goes_on():
    solver = make(num_epochs=2)
    solver.train()
    solver.train()
    assert solver.epoch == 4 and solver.iteration == 20
    solver.init()
    assert solver.epoch == 0 and solver.loss_history == []


def test_loaded_parameters_are_kept_unless_init_is_called(tmp_path):
    make(num_epochs=1).train()
    solver = make(num_epochs=1, optim_config={"learning_rate": 0.0})
    solver.init()
    solver.model.params["w1"][:] = 5
    solver.model.save(tmp_path / "m")
    other = make(num_epochs=1, optim_config={"learning_rate": 0.0})
    other.model.load(tmp_path / "m")
    other.train()
    assert (other.model.params["w1"] == 5).all()
    other.init()
    assert (other.model.params["w1"] != 5).any()
