"""Networks put together from modules, and cast to a model that `Solver` trains.

    net = Sequential(Convolution((3, 3), 32, pad=(1, 1)), ReLU(), Pooling("max", (2, 2), (2, 2)), Affine(10))
    model = Model(net, "softmax", (3, 32, 32))

Shapes are those of one sample. A module of one's own derives from `Module`.

Modules can be called too (``net(x)``), and put into a class derived from `Model` as attributes, whose `forward` calls
them; `Updater` then applies what ``model.backward()`` gives. `minpy.nn.modules` has those that go with it.
"""

from minpy.nn.model_builder.containers import (
    Add,
    Binary,
    Container,
    Mul,
    Parallel,
    Sequential,
    StochasticDepth,
    Sub,
)
from minpy.nn.model_builder.layer import Layer
from minpy.nn.model_builder.layers import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    Export,
    Flatten,
    GlobalPooling,
    Identity,
    Pooling,
    ReLU,
    Reshape,
    Sigmoid,
    SpatialBatchNormalization,
    Tanh,
)
from minpy.nn.model_builder.model import Model
from minpy.nn.model_builder.module import Module
from minpy.nn.model_builder.updater import Updater

__all__ = [
    "Add",
    "Affine",
    "BatchNormalization",
    "Binary",
    "Container",
    "Convolution",
    "Dropout",
    "Export",
    "Flatten",
    "GlobalPooling",
    "Identity",
    "Layer",
    "Model",
    "Module",
    "Mul",
    "Parallel",
    "Pooling",
    "ReLU",
    "Reshape",
    "Sequential",
    "Sigmoid",
    "SpatialBatchNormalization",
    "StochasticDepth",
    "Sub",
    "Tanh",
    "Updater",
]
