"""Models, data and a solver for the tests of training."""

from __future__ import annotations

import numpy as np

from minpy.nn import layers
from minpy.nn.io import NDArrayIter
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
