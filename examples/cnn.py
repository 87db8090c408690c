"""A convolutional network in five stages, from plain arrays to symbols and back.

    minpy     layers of MinPy: convolution, pooling, affine, in plain NumPy
    mixed     the convolution as an MXNet symbol, the rest in NumPy: one gradient through both
    symbol    everything as one MXNet symbol, with MXNet's own loss
    l2        the same, with a term added to the loss in NumPy: what is easy to say needs no symbol
    builder   put together from modules, one of them written here

The solver trains each in the same way. Run one (`--stage`), or all in turn; without MXNet, `minpy` and `builder` run.

    minpy run examples/cnn.py [--stage minpy] [--data FOLDER]

Expected: a test accuracy above 98 % in every stage, 6 seconds each.
"""

import argparse
import importlib.util

import numpy as np

from minpy.core import Function
from minpy.nn import layers
from minpy.nn import model_builder as builder
from minpy.nn.io import NDArrayIter
from minpy.nn.model import ModelBase
from minpy.nn.solver import Solver
from minpy.utils.data import images

BATCH, FILTERS, HIDDEN, DECAY = 32, 48, 64, 1e-4


class PureMinPy(ModelBase):
    def __init__(self, shape, kernel, classes):
        super().__init__()
        channels, height, width = shape
        size = FILTERS * (height // 2) * (width // 2)
        self.pad = kernel // 2
        self.add_param("w0", (FILTERS, channels, kernel, kernel))
        self.add_param("b0", (FILTERS,), init_rule="constant")
        self.add_param("w1", (size, HIDDEN)).add_param("b1", (HIDDEN,), init_rule="constant")
        self.add_param("w2", (HIDDEN, classes)).add_param("b2", (classes,), init_rule="constant")

    def forward(self, X, mode):
        p = self.params
        h = layers.relu(layers.convolution(X, p["w0"], p["b0"], pad=self.pad))
        h = layers.pooling(h, "max", 2)
        h = layers.relu(layers.affine(h, p["w1"], p["b1"]))
        return layers.affine(h, p["w2"], p["b2"])

    def loss(self, predict, y):
        return layers.softmax_loss(predict, y)


def convolution_symbol(kernel):
    import mxnet as mx

    net = mx.sym.Variable("X")
    net = mx.sym.Convolution(
        net, name="conv", kernel=(kernel, kernel), num_filter=FILTERS, pad=(kernel // 2, kernel // 2)
    )
    net = mx.sym.Activation(net, act_type="relu")
    net = mx.sym.Pooling(net, pool_type="max", kernel=(2, 2), stride=(2, 2))
    return mx.sym.Flatten(net)


class Mixed(ModelBase):
    def __init__(self, shape, kernel, classes):
        super().__init__()
        self.convolution = Function(convolution_symbol(kernel), {"X": (BATCH, *shape)}, "convolution")
        self.add_params(self.convolution.get_params())
        size = self.convolution.get_one_output_shape()[1]
        self.add_param("w1", (size, HIDDEN)).add_param("b1", (HIDDEN,), init_rule="constant")
        self.add_param("w2", (HIDDEN, classes)).add_param("b2", (classes,), init_rule="constant")

    def forward(self, X, mode):
        p = self.params
        h = self.convolution(X=X, **p)
        h = layers.relu(layers.affine(h, p["w1"], p["b1"]))
        return layers.affine(h, p["w2"], p["b2"])

    def loss(self, predict, y):
        return layers.softmax_loss(predict, y)


class PureSymbol(ModelBase):
    def __init__(self, shape, kernel, classes):
        import mxnet as mx

        super().__init__()
        net = convolution_symbol(kernel)
        net = mx.sym.FullyConnected(net, name="fc1", num_hidden=HIDDEN)
        net = mx.sym.Activation(net, act_type="relu")
        net = mx.sym.FullyConnected(net, name="fc2", num_hidden=classes)
        # The derivative of this one is that of the cross entropy, whatever comes from above: it needs the labels.
        net = mx.sym.SoftmaxOutput(net, name="softmax", normalization="batch")
        self.net = Function(net, {"X": (BATCH, *shape), "softmax_label": (BATCH,)}, "net")
        self.add_params(self.net.get_params())

    def forward_batch(self, batch, mode):
        return self.net(X=batch.data[0], softmax_label=batch.label[0], **self.params)

    def loss(self, predict, y):
        return layers.softmax_cross_entropy(predict, y)


class Regularised(PureSymbol):
    def loss(self, predict, y):
        squares = sum(np.sum(weight**2) for weight in self.params.values())
        return super().loss(predict, y) + 0.5 * DECAY * squares


class Standardise(builder.Module):
    """A module of one's own: a scale and a shift for each channel, which are learned."""

    def parameter_shape(self, input_shape):
        return {"scale": input_shape[:1], "shift": input_shape[:1]}

    def parameter_settings(self):
        return {
            "scale": {"init_rule": "constant", "init_config": {"value": 1.0}},
            "shift": {"init_rule": "constant"},
        }

    def forward(self, inputs, params):
        return inputs * params["scale"][:, None, None] + params["shift"][:, None, None]


def built(shape, kernel, classes):
    net = builder.Sequential(
        Standardise(),
        builder.Convolution((kernel, kernel), FILTERS, pad=(kernel // 2, kernel // 2)),
        builder.ReLU(),
        builder.Pooling("max", (2, 2), (2, 2)),
        builder.Affine(HIDDEN),
        builder.ReLU(),
        builder.Affine(classes),
    )
    return builder.Model(net, "softmax", shape)


STAGES = {"minpy": PureMinPy, "mixed": Mixed, "symbol": PureSymbol, "l2": Regularised, "builder": built}


def train(stage, data, held_out, options):
    np.random.seed(options.seed)
    kernel = 3 if data.shape[1] < 28 else 5
    solver = Solver(
        STAGES[stage](data.shape, kernel, len(data.classes)),
        NDArrayIter(data.x_train, data.y_train, BATCH, shuffle=True),
        NDArrayIter(*held_out, BATCH),
        init_rule="xavier",
        update_rule="adam",
        optim_config={"learning_rate": 2e-3},
        lr_decay=0.88,
        num_epochs=2 if options.short else 20,
        print_every=200,
        verbose=not options.short,
    )
    solver.init()
    solver.train()
    accuracy = solver.check_accuracy(NDArrayIter(data.x_test, data.y_test, BATCH))
    print(f"{stage:8s} test accuracy: {accuracy:.2%}", flush=True)


def main(arguments=None):
    parser = argparse.ArgumentParser(description="a convolutional network in five stages")
    parser.add_argument("--stage", choices=STAGES, help="one stage, not all")
    parser.add_argument("--data", metavar="FOLDER", help="MNIST or CIFAR-10 instead of the digits")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--short", action="store_true", help="a few images, two epochs")
    options = parser.parse_args(arguments)

    data, held_out = images(options.data).hold_out(0.2)
    if options.short:
        data = data.first(480, 200)
    stages = [options.stage] if options.stage else list(STAGES)
    if importlib.util.find_spec("mxnet") is None and not options.stage:
        print("MXNet is not installed (pip install 'minpy[cpu]'): the stages with symbols are left out")
        stages = ["minpy", "builder"]
    for stage in stages:
        train(stage, data, held_out, options)


if __name__ == "__main__":
    main()
