"""What the solver refuses, and how it says so."""

from __future__ import annotations

import numpy as np
import pytest
from solver_models import Line, clusters, line_data, make

from minpy.errors import ArgumentError, CheckpointError, DivergenceError
from minpy.nn import optim
from minpy.nn.io import NDArrayIter
from minpy.nn.model import ModelBase
from minpy.nn.solver import Solver

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
    ({"num_epochs": "3"}, "num_epochs must be a whole number above 0, not '3'"),
    ({"lr_decay": "0.9"}, "lr_decay must be a finite number, not '0.9'"),
    ({"optim_config": [0.1]}, r"optim_config must be a dict of options, not \[0.1\]"),
    ({"init_config": "a"}, "init_config must be a dict of options"),
    (
        {"update_rule": "sgd", "optim_config": {"learning_rate": "0.1"}},
        "learning_rate must be a finite number",
    ),
    ({"optim_config": {"beta1": float("nan")}}, "optim.adam: beta1 must be a finite number, not nan"),
    ({"checkpoint": "."}, r"checkpoint must be a file, but \. is a folder"),
]


@pytest.mark.parametrize("options, text", BAD, ids=[text[:30] for _, text in BAD])
def test_bad_options_are_named(options, text):
    with pytest.raises(ArgumentError, match=text) as caught:
        make(**options)
    assert isinstance(caught.value, ValueError)


def test_parts_of_the_wrong_kind_are_named(tmp_path):
    x, y = line_data(10)
    it = NDArrayIter(x, y, 5)
    for call, text in (
        (lambda: Solver(None, it, it), r"model must be a model \(ModelBase\), not NoneType"),
        (lambda: Solver(Line, it, it), "not the class Line"),
        (lambda: Solver(Line(), x, it), "train_dataiter must be an iterator over batches, .* not ndarray"),
        (lambda: Solver(Line(), it, [x, y]), "test_dataiter must be an iterator over batches, .* not list"),
        (lambda: Solver(ModelBase(), it, it, verbose=False).train(), "model has no parameters"),
    ):
        with pytest.raises(ArgumentError, match=text):
            call()


def test_a_checkpoint_that_cannot_be_written_is_said_before_anything_is_trained(tmp_path):
    (tmp_path / "file").write_text("")
    solver = make(checkpoint=tmp_path / "file" / "state")
    with pytest.raises(CheckpointError, match="state cannot be written"):
        solver.train()
    assert solver.iteration == 0


def test_data_of_the_wrong_shape_and_labels_out_of_range_are_named():
    x, y = clusters(20)
    for data, label, text in (
        (x[:, :3], y, r"affine: x must have the shape .* with 4 elements in each sample"),
        (x, y + 2, r"softmax_loss: label\[\d+\] is \d, outside of the classes 0 to 2"),
        (x, y - 1, r"softmax_loss: label\[\d+\] is -1, outside of the classes 0 to 2"),
        (x, y + 0.5, "softmax_loss: label holds .*5, which is no class number"),
        (x, None, "loss_batch: the batch has no label"),
    ):
        solver = make()
        solver.train_dataiter = NDArrayIter(data, label, 20)
        with pytest.raises(ArgumentError, match=text):
            solver.train()
        assert solver.iteration == 0


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
