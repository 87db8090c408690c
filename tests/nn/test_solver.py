"""The model and the solver: what is learned, printed, kept and refused; resuming bit for bit."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import minpy.numpy
from minpy.errors import ArgumentError, CheckpointError, DivergenceError
from minpy.nn import layers, optim
from minpy.nn.callbacks import Callback
from minpy.nn.io import DataIter, NDArrayIter
from minpy.nn.model import ModelBase
from minpy.nn.solver import Solver


class Net(ModelBase):
    """Two layers with batch normalisation and dropout."""

    def __init__(self, inputs=4, hidden=8, classes=3, prob=0.2):
        super().__init__()
        self.prob = prob
        (
            self.add_param("w1", (inputs, hidden))
            .add_param("b1", (hidden,), init_rule="constant")
            .add_param("gamma", hidden, init_rule="constant", init_config={"value": 1.0})
            .add_param("beta", hidden, init_rule="constant")
            .add_param("w2", (hidden, classes))
            .add_param("b2", (classes,), init_rule="constant")
            .add_aux_param("mean", None)
            .add_aux_param("var", None)
        )

    def forward(self, X, mode):
        p, aux = self.params, self.aux_params
        out = layers.affine(X, p["w1"], p["b1"])
        out, aux["mean"], aux["var"] = layers.batchnorm(
            out, p["gamma"], p["beta"], mode, running_mean=aux["mean"], running_var=aux["var"]
        )
        out = layers.dropout(layers.relu(out), self.prob, mode)
        return layers.affine(out, p["w2"], p["b2"])

    def loss(self, predict, y):
        return layers.softmax_loss(predict, y)


class Line(ModelBase):
    def __init__(self, inputs=3):
        super().__init__()
        self.add_param("w", (inputs, 1)).add_param("b", (1,), init_rule="constant")

    def forward(self, X, mode):
        return layers.affine(X, self.params["w"], self.params["b"])

    def loss(self, predict, y):
        return layers.l2_loss(predict, y)


def clusters(n=120, seed=0):
    rng = np.random.RandomState(seed)
    y = rng.randint(3, size=n)
    return np.eye(4)[y] * 3 + rng.randn(n, 4) * 0.7, y


def make(seed=0, shuffle=True, handle="pad", model=None, **options):
    np.random.seed(seed)
    x, y = clusters()
    options = {"update_rule": "adam", "num_epochs": 4, "verbose": False, "lr_decay": 0.9, **options}
    train = NDArrayIter(x, y, batch_size=25, shuffle=shuffle, last_batch_handle=handle)
    return Solver(model or Net(), train, NDArrayIter(*clusters(50, 1), batch_size=20), **options)


def line_data(n=50):
    rng = np.random.RandomState(0)
    x = rng.randn(n, 3)
    return x, x @ [1.0, -2.0, 0.5] + 0.25


# ----- learning


def test_a_net_learns():
    solver = make(num_epochs=15, optim_config={"learning_rate": 2e-2})
    solver.init()
    solver.train()
    assert solver.best_val_acc == max(solver.val_acc_history) > 0.95
    assert len(solver.loss_history) == 15 * 5 and len(solver.train_acc_history) == 15
    assert solver.epoch == 15 and solver.iteration == 75
    assert solver.check_accuracy(solver.test_dataiter) == solver.best_val_acc  # with the best parameters
    assert all(
        type(v) is np.ndarray for v in (*solver.model.params.values(), *solver.model.aux_params.values())
    )


def test_regression_keeps_the_smallest_loss():
    x, y = line_data()
    losses = []
    solver = Solver(
        Line(),
        NDArrayIter(x, y, batch_size=10, shuffle=True),
        NDArrayIter(x, y, batch_size=20),
        task_type="regression",
        num_epochs=30,
        optim_config={"learning_rate": 0.05},
        verbose=False,
        callbacks=[
            lambda s: losses.append(np.mean((x @ s.model.params["w"][:, 0] + s.model.params["b"] - y) ** 2))
        ],
    )
    solver.init()
    solver.train()
    np.testing.assert_allclose(solver.val_acc_history, losses, rtol=1e-6)
    assert solver.best_val_acc == min(solver.val_acc_history) < 1e-3
    np.testing.assert_allclose(solver.model.params["w"][:, 0], [1, -2, 0.5], atol=0.05)


def test_the_best_parameters_are_restored_although_later_ones_are_worse():
    x, y = line_data()
    kept = {}

    def spoil(solver):
        if solver.epoch == 1:
            kept.update({k: v.copy() for k, v in solver.model.params.items()})
        solver.model.params["w"] += 100.0

    solver = Solver(
        Line(),
        NDArrayIter(x, y, batch_size=10),
        NDArrayIter(x, y, batch_size=10),
        task_type="regression",
        num_epochs=3,
        optim_config={"learning_rate": 1e-6},
        verbose=False,
        callbacks=[spoil],
    )
    solver.train()
    assert solver.val_acc_history[1] > solver.val_acc_history[0]
    assert all((solver.model.params[k] == v).all() for k, v in kept.items())


def test_parameters_stay_when_nothing_is_ever_right():
    """Their accuracy is 0 throughout; there are parameters in the end all the same."""
    x = np.zeros((20, 4))
    net = Net(prob=0.0)
    solver = Solver(
        net, NDArrayIter(x, np.zeros(20, int), 10), NDArrayIter(x, np.full(20, 2), 10), verbose=False
    )
    solver.num_epochs = 1
    solver.train()
    assert solver.val_acc_history == [0.0] and set(net.params) == set(net.param_configs)


def test_steps_follow_the_rule():
    x, y = line_data(10)
    solver = Solver(
        Line(), NDArrayIter(x, y, 10), NDArrayIter(x, y, 10), verbose=False, task_type="regression"
    )
    solver.init()
    w, b = solver.model.params["w"].copy(), solver.model.params["b"].copy()
    batch = next(solver.train_dataiter)
    error = x @ w[:, 0] + b - y
    assert solver.step(batch) == pytest.approx(np.sum(error**2) / 10)
    np.testing.assert_allclose(solver.model.params["w"][:, 0], w[:, 0] - 0.01 * 2 * x.T @ error / 10)
    np.testing.assert_allclose(solver.model.params["b"], b - 0.01 * 2 * error.sum() / 10)
    assert solver.iteration == 1 and len(solver.loss_history) == 1
    grads, loss = solver.grad_and_loss(batch)
    assert solver.iteration == 1 and set(grads) == {"w", "b"} and isinstance(loss, float)


def test_rules_of_single_parameters():
    class Mixed(Line):
        def __init__(self):
            ModelBase.__init__(self)
            self.add_param("w", (3, 1), update_rule="sgd_momentum", optim_config={"learning_rate": 0.5})
            self.add_param("b", (1,), optim_config={"learning_rate": 0.0})

    x, y = line_data(10)
    solver = Solver(
        Mixed(),
        NDArrayIter(x, y, 10),
        NDArrayIter(x, y, 10),
        update_rule="adam",
        optim_config={"beta1": 0.5},
        verbose=False,
    )
    solver.init()
    b = solver.model.params["b"].copy()
    solver.step(next(solver.train_dataiter))
    assert set(solver.optim_configs["w"]) == {"learning_rate", "momentum", "velocity"}
    assert solver.optim_configs["b"]["beta1"] == 0.5 and solver.optim_configs["b"]["t"] == 1
    assert (solver.model.params["b"] == b).all()


def test_initial_values_and_their_precision():
    np.random.seed(0)
    x, y = line_data()
    model = Line()
    model.add_param("eye", (3, 3), init_rule="constant", init_config={"value": np.eye(3)})
    model.add_param("mine", (2,), init_rule=lambda shape, config: np.full(shape, config["level"]),
                    init_config={"level": 7.0})  # fmt: skip
    for dtype in ("float32", "float64"):
        it = NDArrayIter(x.astype(dtype), y, 10)
        solver = Solver(model, it, it, init_rule="gaussian", init_config={"mu": 5.0, "stdvar": 0.1})
        solver.init()
        assert {v.dtype.name for v in model.params.values()} == {dtype}
        assert abs(model.params["w"].mean() - 5) < 0.5 and model.params["b"] == 0
        assert (model.params["eye"] == np.eye(3)).all() and (model.params["mine"] == 7).all()
    it = NDArrayIter(x.astype("u1"), y, 10)
    assert Solver(model, it, it).dtype == np.float32 and Solver(model, it, it, dtype="f8").dtype == np.float64


def test_learning_rates_decay_after_each_epoch():
    solver = make(num_epochs=3, lr_decay=0.5, optim_config={"learning_rate": 0.08})
    solver.train()
    assert {c["learning_rate"] for c in solver.optim_configs.values()} == {0.01}
    assert solver.optim_config == {"learning_rate": 0.08}


def test_the_model_may_write_into_its_parameters_and_replace_them():
    class State(Line):
        def __init__(self):
            super().__init__()
            self.add_param("h", (1,), init_rule="constant", init_config={"value": 3.0})

        def forward(self, X, mode):
            self.params["h"][:] = 0  # the manual's way to forget
            return super().forward(X, mode) + self.params["h"]

    x, y = line_data(10)
    solver = Solver(
        State(), NDArrayIter(x, y, 10), NDArrayIter(x, y, 10), task_type="regression", verbose=False
    )
    solver.init()
    held = solver.model.params
    solver.step(next(solver.train_dataiter))
    assert solver.model.params is held and solver.model.params["h"] == 0
    assert all(type(v) is np.ndarray for v in held.values())


def test_what_the_model_stores_is_plain_afterwards():
    class Stores(Line):
        def forward(self, X, mode):
            self.seen = [super().forward(X, mode)]
            self.aux_params["sum"] = np.sum(self.seen[0])
            return self.seen[0]

    x, y = line_data(10)
    it = NDArrayIter(x, y, 10)
    solver = Solver(Stores(), it, it, task_type="regression", verbose=False)
    solver.step(next(it))
    assert type(solver.model.seen[0]) is np.ndarray and type(solver.model.aux_params["sum"]) is np.float64


def test_parameters_are_as_before_when_the_model_fails():
    class Fails(Line):
        def loss(self, predict, y):
            raise RuntimeError("no")

    x, y = line_data(10)
    solver = Solver(Fails(), NDArrayIter(x, y, 10), NDArrayIter(x, y, 10), verbose=False)
    solver.init()
    before = dict(solver.model.params)
    with pytest.raises(RuntimeError, match=r"^no$"):
        solver.step(next(solver.train_dataiter))
    assert all(solver.model.params[k] is v for k, v in before.items())


def test_own_losses():
    for loss in ("softmax_loss", lambda predict, y: 3 * layers.softmax_loss(predict, y)):
        solver = make(loss=loss, num_epochs=1)
        solver.model.loss = None  # it is not asked
        solver.train()
        assert len(solver.loss_history) == 5

    class Own(Solver):
        def loss(self, batch):
            return super().loss(batch) + minpy.numpy.sum(self.model.params["w1"] ** 2)

    np.random.seed(0)
    it = NDArrayIter(*clusters(), batch_size=30)
    solver = Own(Net(prob=0.0), it, it, verbose=False)
    solver.init()
    batch = next(it)
    plain = float(Solver.loss(solver, batch))
    assert solver.step(batch) > plain


# ----- evaluation


class Fixed(ModelBase):
    """Its scores are its input."""

    def forward(self, X, mode):
        assert mode == "test" and len(X) == 4
        return X

    def loss(self, predict, y):
        return layers.l2_loss(predict, y)


@pytest.mark.parametrize(
    "form", [lambda y: y, lambda y: y[:, None], lambda y: np.eye(3)[y], lambda y: y.astype("f4")]
)
def test_accuracy_does_not_count_padding_and_takes_every_form_of_label(form):
    scores = np.eye(3)[[0, 1, 2, 0, 1, 2, 0]]
    y = np.array([1, 1, 2, 0, 1, 2, 2])  # the first, which also fills the last batch, is wrong
    it = NDArrayIter(scores, form(y), batch_size=4)
    solver = Solver(Fixed(), it, it)
    assert solver.check_accuracy(it) == 5 / 7
    assert solver.check_accuracy(it, num_samples=100) == 5 / 7


def test_mean_loss_does_not_count_padding():
    x, y = np.arange(7.0)[:, None], np.zeros(7)
    it = NDArrayIter(x, y, batch_size=4)
    solver = Solver(Fixed(), it, it, task_type="regression")
    assert solver.check_accuracy(it) == pytest.approx(np.mean(x**2))


def test_evaluation_of_fewer_samples():
    np.random.seed(0)
    scores, y = np.eye(2)[np.zeros(40, int)], np.repeat([0, 1], 20)
    it = NDArrayIter(scores, y, batch_size=4)
    found = [Solver(Fixed(), it, it).check_accuracy(it, num_samples=6) for _ in range(40)]
    assert all(round(6 * f) == pytest.approx(6 * f) for f in found) and 0.4 < np.mean(found) < 0.6

    class Bare(DataIter):  # knows no choice
        def __init__(self):
            self.wrapped, self.reset, self.next = it, it.reset, it.next

    assert Solver(Fixed(), it, it).check_accuracy(Bare(), num_samples=6) == 1.0


def test_labels_that_fit_nothing_are_an_error():
    it = NDArrayIter(np.eye(3), np.zeros((3, 2)), batch_size=1)
    model = Fixed()
    model.forward = lambda X, mode: X
    with pytest.raises(ArgumentError, match="check_accuracy: label has the shape"):
        Solver(model, it, it).check_accuracy(it)


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


PROGRAM = """
import sys
sys.path[:0] = [{tests!r}]
from test_solver import make, everything
import time

def slow(solver):
    print(solver.epoch, flush=True)
    if {slow} and solver.epoch > 2:
        time.sleep(60)

solver = make(num_epochs=5, checkpoint={path!r}, resume=True, callbacks=[slow])
solver.train()
print(hash(str(sorted(everything(solver).items()))) and len(solver.loss_history), solver.loss_history[-1].hex())
"""


def test_a_process_that_was_killed_loses_nothing_that_a_checkpoint_held(tmp_path):
    here = os.path.dirname(__file__)

    def start(path, slow):
        code = PROGRAM.format(tests=here, path=str(tmp_path / path), slow=slow)
        return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)

    child = start("a", True)
    seen = [child.stdout.readline().strip() for _ in range(3)]
    assert seen == ["1", "2", "3"]
    deadline = time.monotonic() + 30
    while not (tmp_path / "a").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    outputs = []
    for path in ("a", "b"):
        child = start(path, False)
        outputs.append(child.communicate(timeout=120)[0].split("\n"))
    assert outputs[0][:3] == ["3", "4", "5"]  # epochs 1 and 2 were held
    assert outputs[0][-2] == outputs[1][-2]


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


# ----- bad input


def test_a_loss_that_is_not_finite_names_the_iteration():
    solver = make(optim_config={"learning_rate": 0.01}, num_epochs=3)
    solver.init()
    solver.train_dataiter.data[0][1][7] = np.nan
    with pytest.raises(DivergenceError, match=r"the loss is nan at iteration \d \(epoch 1\)") as caught:
        solver.train()
    assert isinstance(caught.value, ArithmeticError)
    assert all(np.isfinite(v).all() for v in solver.model.params.values())


BAD = [
    ({"num_epoch": 3}, "there is no option 'num_epoch': did you mean 'num_epochs'"),
    ({"whatever": 3}, "there is no option 'whatever': it takes task_type, init_rule"),
    ({"task_type": "clustering"}, "task_type must be one of 'classification', 'regression'"),
    ({"update_rule": "sdg"}, "update_rule must be one of"),
    ({"init_rule": "xaviar"}, "init_rule must be one of"),
    ({"update_rule": "sgd", "optim_config": {"momentum": 0.9}}, "optim.sgd: config has no option 'momentum'"),
    ({"num_epochs": 0}, "num_epochs must be a whole number above 0"),
    ({"print_every": None}, "print_every"),
    ({"loss": "hinge"}, "loss must be one of"),
    ({"loss": 3}, "loss must be a function or the name of one"),
    ({"resume": True}, "resume needs a file"),
    ({"checkpoint_every": 5}, "checkpoint_every needs a file"),
]


@pytest.mark.parametrize("options, text", BAD, ids=[next(iter(o)) for o, _ in BAD])
def test_bad_options_are_named(options, text):
    with pytest.raises(ArgumentError, match=text) as caught:
        make(**options)
    assert isinstance(caught.value, ValueError)


def test_bad_models_are_named():
    model = Line()
    for call, text in (
        (lambda: model.add_param("w", (2,)), "there is a parameter 'w' already"),
        (lambda: model.add_aux_param("w", None), "there is a parameter 'w' already"),
        (
            lambda: model.add_param("v", (2,), init_rul="xavier"),
            "a setting of 'v' must be one of 'init_rule'",
        ),
        (lambda: model.add_param("v", (2, -1)), "shape of 'v'"),
        (lambda: model.add_param(3, (2, 1)), "name must be a string"),
        (lambda: model.add_params({"v": (2, 1)}), "'v' must be a dict with a shape"),
        (lambda: model.loss_batch(next(NDArrayIter(np.ones(2))), 1), "the batch has no label"),
    ):
        with pytest.raises(ArgumentError, match=text):
            call()
    assert set(model.param_configs) == {"w", "b"}
    with pytest.raises(NotImplementedError, match=r"ModelBase must define forward"):
        ModelBase().forward(1, "train")


def test_bad_settings_of_parameters_are_named():
    x, y = line_data(10)
    it = NDArrayIter(x, y, 10)
    for settings, text in (
        ({"init_rule": "xaver"}, "init_rule must be one of"),
        ({"update_rule": "sdg"}, "update_rule must be one of"),
        ({"optim_config": {"lerning_rate": 1}}, "no option 'lerning_rate'"),
        ({"init_rule": lambda shape, config: np.ones(7)}, r"shape \(7,\) for 'v', whose shape is \(2,\)"),
    ):
        model = Line()
        model.add_param("v", (2,), **settings)
        with pytest.raises(ArgumentError, match=text):
            Solver(model, it, it).init()

    class Many(Line):
        def loss(self, predict, y):
            return predict

    solver = Solver(Many(), it, it)
    with pytest.raises(ArgumentError, match="the loss must be one number"):
        solver.step(next(it))


def test_own_update_rule():
    def half(w, dw, config):
        config["calls"] = config.get("calls", 0) + 1
        return w * 0.5, config

    solver = make(update_rule=half, num_epochs=1)
    solver.init()
    w = solver.model.params["w1"].copy()
    solver.step(next(solver.train_dataiter))
    assert (solver.model.params["w1"] == w * 0.5).all() and solver.optim_configs["w1"] == {"calls": 1}
    assert half not in optim.RULES.values()
