"""The networks in MinPy's library: a model, and the step of a `Solver`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import minpy.numpy as np
from benchmarks.training_ports import data
from minpy.nn import layers
from minpy.nn.io import NDArrayIter
from minpy.nn.model import ModelBase
from minpy.nn.solver import Solver


class MLP(ModelBase):
    """Three layers."""

    def forward(self, X, mode):
        p = self.params
        h = layers.relu(layers.affine(X, p["w0"], p["b0"]))
        h = layers.relu(layers.affine(h, p["w1"], p["b1"]))
        return layers.affine(h, p["w2"], p["b2"])

    def loss(self, predict, y):
        return layers.softmax_loss(predict, y)


class CNN(MLP):
    """Two convolutions with pooling, and two layers."""

    def forward(self, X, mode):
        p = self.params
        h = layers.pooling(layers.relu(layers.convolution(X, p["w0"], p["b0"], pad=1)))
        h = layers.pooling(layers.relu(layers.convolution(h, p["w1"], p["b1"], pad=1)))
        h = layers.relu(layers.affine(h, p["w2"], p["b2"]))
        return layers.affine(h, p["w3"], p["b3"])


class LSTM(MLP):
    """A recurrent layer, and one that reads its last state."""

    def forward(self, X, mode):
        p = self.params
        h0 = np.zeros((X.shape[0], p["wh"].shape[0]), X.dtype)
        h = layers.lstm_temporal(X, h0, p["wx"], p["wh"], p["b"])
        return layers.affine(h[:, -1], p["w"], p["b1"])


MODELS = {"mlp": MLP, "mlp_adam": MLP, "cnn": CNN, "lstm": LSTM}


def gradient(
    name: str, parameters: dict[str, Any], constants: dict[str, Any], threads: int, how: str
) -> Callable[[], Any]:
    """A call that makes one step and gives the loss before it."""
    model = MODELS[name]()
    for key, value in parameters.items():
        model.add_param(key, value.shape)
        model.params[key] = value.copy()
    batches = NDArrayIter(constants["x"], constants["labels"], batch_size=len(constants["labels"]))
    options: dict[str, Any] = {"learning_rate": data.LEARNING_RATE}
    rule = "adam" if name in data.BY_ADAM else "sgd_momentum"
    if rule == "sgd_momentum":
        options["momentum"] = data.MOMENTUM
    solver = Solver(model, batches, batches, update_rule=rule, optim_config=options, verbose=False)
    batch = next(iter(batches))

    def run() -> float:
        return solver.step(batch)

    run.read = lambda loss: (loss, [model.params[key] - parameters[key] for key in parameters])  # type: ignore[attr-defined]
    run.first = 3  # type: ignore[attr-defined]
    return run
