"""Networks put together from modules, and cast to a model that `Solver` trains.

    net = Sequential(Convolution((3, 3), 32, pad=(1, 1)), ReLU(), Pooling("max", (2, 2), (2, 2)), Affine(10))
    model = Model(net, "softmax", (3, 32, 32))

Shapes are those of one sample. A module of one's own derives from `Module`.
"""

from minpy.nn.model_builder.containers import Add, Sequential, StochasticDepth
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

__all__ = [
    "Add",
    "Affine",
    "BatchNormalization",
    "Convolution",
    "Dropout",
    "Export",
    "Flatten",
    "GlobalPooling",
    "Identity",
    "Model",
    "Module",
    "Pooling",
    "ReLU",
    "Reshape",
    "Sequential",
    "Sigmoid",
    "SpatialBatchNormalization",
    "StochasticDepth",
    "Tanh",
]
