"""Layers as pure functions of arrays.

Samples come first (N). Results have the precision of the operands: float32 stays float32. Everything can be
differentiated, to any order and in both modes.
"""

from minpy.nn.kernels.rectifier import relu
from minpy.nn.layers.dense import affine, dropout, sigmoid, tanh
from minpy.nn.layers.images import convolution, pooling
from minpy.nn.layers.losses import (
    l2_loss,
    softmax_cross_entropy,
    softmax_loss,
    svm_loss,
    temporal_softmax_loss,
)
from minpy.nn.layers.normalization import batchnorm, spatial_batchnorm
from minpy.nn.layers.recurrent import (
    gru_step,
    gru_temporal,
    lstm_step,
    lstm_temporal,
    rnn_step,
    rnn_temporal,
)
from minpy.nn.layers.sequences import embedding, temporal_affine

__all__ = [
    "affine",
    "batchnorm",
    "convolution",
    "dropout",
    "embedding",
    "gru_step",
    "gru_temporal",
    "l2_loss",
    "lstm_step",
    "lstm_temporal",
    "pooling",
    "relu",
    "rnn_step",
    "rnn_temporal",
    "sigmoid",
    "softmax_cross_entropy",
    "softmax_loss",
    "spatial_batchnorm",
    "svm_loss",
    "tanh",
    "temporal_affine",
    "temporal_softmax_loss",
]
