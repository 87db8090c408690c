"""The models of the original's manual, as it writes them, under the policies it knows."""

from __future__ import annotations

import subprocess
import sys

import numpy
import pytest

import minpy.numpy as np
from minpy import AutoPolicy, OnlyNumPyPolicy, PreferMXNetPolicy
from minpy.core import Function
from minpy.errors import DeviceError
from minpy.nn import layers
from minpy.nn.io import NDArrayIter
from minpy.nn.model import ModelBase
from minpy.nn.solver import Solver
from minpy.runtime.backends.mxnet import load

try:
    mx = load()
    POLICIES = [AutoPolicy, OnlyNumPyPolicy, PreferMXNetPolicy]
except DeviceError:
    mx = None
    POLICIES = [AutoPolicy, OnlyNumPyPolicy]

BATCH = 20
with_mxnet = pytest.mark.skipif(mx is None, reason="needs the extra cpu")


@pytest.fixture(params=POLICIES[:2], ids=lambda kind: kind.name)
def host_policy(request):
    """Without the device, which takes its time for the many small operations of some models."""
    with request.param():
        yield


@pytest.fixture(params=POLICIES, ids=lambda kind: kind.name)
def policy(request):
    with request.param():
        yield


def train(model, data, label, **options):
    numpy.random.seed(0)
    train_iter = NDArrayIter(data=data, label=label, batch_size=BATCH, shuffle=True)
    test_iter = NDArrayIter(data=data, label=label, batch_size=BATCH, shuffle=False)
    solver = Solver(model, train_iter, test_iter, verbose=False, **options)
    solver.init()
    solver.train()
    assert all(type(value) is numpy.ndarray for value in solver.model.params.values())
    return solver


def pictures(classes=3, n=60, size=6):
    rng = numpy.random.RandomState(0)
    y = numpy.arange(n) % classes
    kinds = rng.standard_normal((classes, 2, size, size))
    return (kinds[y] + 0.3 * rng.standard_normal((n, 2, size, size))).astype("f4"), y


class TwoLayerNet(ModelBase):
    def __init__(self):
        super(TwoLayerNet, self).__init__()  # noqa: UP008
        self.add_param(name="w1", shape=(72, 16)).add_param(name="b1", shape=(16,)).add_param(
            name="w2", shape=(16, 3)
        ).add_param(name="b2", shape=(3,))

    def forward(self, X, mode):
        X = np.reshape(X, (BATCH, 72))
        y1 = layers.affine(X, self.params["w1"], self.params["b1"])
        y2 = layers.relu(y1)
        return layers.affine(y2, self.params["w2"], self.params["b2"])

    def loss(self, predict, y):
        return layers.softmax_loss(predict, y)


MOMENTUM = {
    "num_epochs": 6,
    "init_rule": "gaussian",
    "init_config": {"stdvar": 0.1},
    "update_rule": "sgd_momentum",
    "optim_config": {"learning_rate": 1e-2, "momentum": 0.9},
}


def test_two_layers(host_policy):
    assert train(TwoLayerNet(), *pictures(), **MOMENTUM).best_val_acc > 0.95


@with_mxnet
def test_the_device_learns_the_same():
    solvers = []
    for kind in (OnlyNumPyPolicy, PreferMXNetPolicy):
        with kind():
            solvers.append(train(TwoLayerNet(), *pictures(n=40), **{**MOMENTUM, "num_epochs": 1}))
    numpy.testing.assert_allclose(solvers[0].loss_history, solvers[1].loss_history, rtol=1e-4)
    for name, value in solvers[0].model.params.items():
        numpy.testing.assert_allclose(solvers[1].model.params[name], value, rtol=1e-3, atol=1e-5)


def test_regularised(host_policy):
    class Regularised(TwoLayerNet):
        def loss(self, predict, y):
            reg_loss = 0.0
            for _, weight in self.params.items():
                reg_loss += np.sum(weight**2) * 0.5
            return layers.softmax_loss(predict, y) + 2.0 * reg_loss

    free, bound = (train(kind(), *pictures(), **MOMENTUM) for kind in (TwoLayerNet, Regularised))
    assert numpy.abs(bound.model.params["w1"]).mean() < 0.8 * numpy.abs(free.model.params["w1"]).mean()


@with_mxnet
def test_symbol_and_layers(policy):
    class ConvolutionNet(ModelBase):
        def __init__(self):
            super().__init__()
            net = mx.sym.Variable(name="X")
            net = mx.sym.Convolution(data=net, name="conv", kernel=(3, 3), num_filter=8)
            net = mx.sym.Activation(data=net, act_type="relu")
            net = mx.sym.Pooling(data=net, name="pool", pool_type="max", kernel=(2, 2), stride=(2, 2))
            net = mx.sym.Flatten(data=net)
            self.conv = Function(net, input_shapes={"X": (BATCH, 2, 6, 6)}, name="conv")
            self.add_params(self.conv.get_params())
            size = self.conv.get_one_output_shape()[1]
            self.add_param(name="w1", shape=(size, 3)).add_param(name="b1", shape=(3,))

        def forward(self, X, mode):
            out = self.conv(X=X, **self.params)
            return layers.affine(out, self.params["w1"], self.params["b1"])

        def loss(self, predict, y):
            return layers.softmax_loss(predict, y)

    solver = train(
        ConvolutionNet(), *pictures(), **{**MOMENTUM, "num_epochs": 2, "optim_config": {"learning_rate": 0.1}}
    )
    assert numpy.mean(solver.loss_history[-3:]) < 0.8 * solver.loss_history[0]


@with_mxnet
def test_symbol_alone(policy):
    class SymbolNet(ModelBase):
        def __init__(self):
            super().__init__()
            net = mx.sym.Flatten(mx.sym.Variable(name="X"))
            net = mx.sym.FullyConnected(data=net, name="fc", num_hidden=3)
            net = mx.sym.SoftmaxOutput(data=net, name="softmax", normalization="batch")
            shapes = {"X": (BATCH, 2, 6, 6), "softmax_label": (BATCH,)}
            self.net = Function(net, input_shapes=shapes, name="net")
            self.add_params(self.net.get_params())

        def forward_batch(self, batch, mode):
            return self.net(X=batch.data[0], softmax_label=batch.label[0], **self.params)

        def loss(self, predict, y):
            return layers.softmax_cross_entropy(predict, y)

    solver = train(SymbolNet(), *pictures(), **{**MOMENTUM, "num_epochs": 2})
    assert numpy.mean(solver.loss_history[-3:]) < 0.8 * solver.loss_history[0]


def sums(n=60, steps=5):
    x = numpy.random.RandomState(0).random_sample((n, steps, 2)).astype("f4")
    return x, x[:, :, 0].mean(axis=1)


class RNNNet(ModelBase):
    gates = 1

    def __init__(self, input_size=2, hidden_size=8, num_classes=1):
        super().__init__()
        self.add_param(name="Wx", shape=(input_size, self.gates * hidden_size)).add_param(
            name="Wh", shape=(hidden_size, self.gates * hidden_size)
        ).add_param(name="b", shape=(self.gates * hidden_size,), init_rule="constant").add_param(
            name="Wa", shape=(hidden_size, num_classes)
        ).add_param(name="ba", shape=(num_classes,), init_rule="constant")

    def forward(self, X, mode):
        h = np.zeros((X.shape[0], self.params["Wh"].shape[0]))
        for t in range(X.shape[1]):
            h = layers.rnn_step(X[:, t, :], h, self.params["Wx"], self.params["Wh"], self.params["b"])
        return layers.affine(h, self.params["Wa"], self.params["ba"])

    def loss(self, predict, y):
        return layers.l2_loss(predict, y)


class LSTMNet(RNNNet):
    gates = 4

    def forward(self, X, mode):
        h = np.zeros((X.shape[0], self.params["Wh"].shape[0]))
        c = np.zeros((X.shape[0], self.params["Wh"].shape[0]))
        for t in range(X.shape[1]):
            h, c = layers.lstm_step(X[:, t, :], h, c, self.params["Wx"], self.params["Wh"], self.params["b"])
        return layers.affine(h, self.params["Wa"], self.params["ba"])


@pytest.mark.parametrize("kind", [RNNNet, LSTMNet])
def test_recurrent(host_policy, kind):
    options = {"task_type": "regression", "update_rule": "adam", "num_epochs": 8}
    solver = train(kind(), *sums(), optim_config={"learning_rate": 2e-2}, **options)
    assert solver.best_val_acc < 0.5 * numpy.mean(solver.loss_history[:3])


PROGRAM = """
import numpy as np
from minpy.nn import layers
from minpy.nn.io import NDArrayIter
from minpy.nn.model import ModelBase
from minpy.nn.solver import Solver

class Net(ModelBase):
    def __init__(self):
        super().__init__()
        self.add_param("w", (4, 3)).add_param("b", (3,), init_rule="constant")

    def forward(self, X, mode):
        out = np.zeros((len(X), 3))
        for j in range(3):
            out[:, j] = X @ self.params["w"][:, j] + self.params["b"][j]
        out[out < -5] *= 0.5
        return out

    def loss(self, predict, y):
        return layers.softmax_loss(predict, y)

np.random.seed(0)
y = np.arange(60) % 3
x = np.eye(4)[y] + 0.1 * np.random.randn(60, 4)
it = NDArrayIter(x, y, 20, shuffle=True)
solver = Solver(Net(), it, it, num_epochs=20, optim_config={"learning_rate": 0.5}, verbose=False)
solver.init()
solver.train()
print(solver.best_val_acc)
"""


def test_plain_numpy_that_writes_into_arrays(tmp_path):
    (tmp_path / "train.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "minpy", "run", "train.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == 1.0
