"""The solver: what is learned, and how it is evaluated."""

from __future__ import annotations

import numpy as np
import pytest
from solver_models import Line, Net, clusters, line_data, make

import minpy.numpy
from minpy.errors import ArgumentError
from minpy.nn import layers
from minpy.nn.io import DataIter, NDArrayIter
from minpy.nn.model import ModelBase
from minpy.nn.solver import Solver

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
