"""The networks' first parameters and their batch: the same numbers for every framework.

Weights are as MinPy's layers have them: (inputs, outputs), gates in the order input, forget, output, candidate.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]

CLASSES = 10
BATCH = 128
# Of the networks of images and of sequences.
IMAGES, FILTERS = 64, (32, 64)
SEQUENCES, STEPS, INPUTS, HIDDEN = 64, 32, 64, 128

LEARNING_RATE, MOMENTUM = 1e-3, 0.9
# Which networks learn by Adam; the others by gradient descent with momentum.
BY_ADAM = ("mlp_adam",)


def _layer(rng: Any, inputs: int, outputs: int) -> np.ndarray:
    return rng.normal(size=(inputs, outputs)) * np.sqrt(2 / inputs)


def _mlp(rng: Any) -> tuple[Arrays, Arrays]:
    sizes = (3072, 512, 256, CLASSES)
    parameters: Arrays = {}
    for k, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        parameters[f"w{k}"] = _layer(rng, inputs, outputs)
        parameters[f"b{k}"] = np.zeros(outputs)
    return parameters, {
        "x": rng.normal(size=(BATCH, sizes[0])),
        "labels": rng.integers(0, CLASSES, BATCH),
    }


def _cnn(rng: Any) -> tuple[Arrays, Arrays]:
    first, second = FILTERS
    parameters = {
        "w0": rng.normal(size=(first, 3, 3, 3)) * np.sqrt(2 / 27),
        "b0": np.zeros(first),
        "w1": rng.normal(size=(second, first, 3, 3)) * np.sqrt(2 / (9 * first)),
        "b1": np.zeros(second),
        "w2": _layer(rng, second * 8 * 8, 128),
        "b2": np.zeros(128),
        "w3": _layer(rng, 128, CLASSES),
        "b3": np.zeros(CLASSES),
    }
    return parameters, {
        "x": rng.normal(size=(IMAGES, 3, 32, 32)),
        "labels": rng.integers(0, CLASSES, IMAGES),
    }


def _lstm(rng: Any) -> tuple[Arrays, Arrays]:
    parameters = {
        "wx": rng.normal(size=(INPUTS, 4 * HIDDEN)) * 0.1,
        "wh": rng.normal(size=(HIDDEN, 4 * HIDDEN)) * 0.08,
        "b": np.zeros(4 * HIDDEN),
        "w": _layer(rng, HIDDEN, CLASSES),
        "b1": np.zeros(CLASSES),
    }
    return parameters, {
        "x": rng.normal(size=(SEQUENCES, STEPS, INPUTS)),
        "labels": rng.integers(0, CLASSES, SEQUENCES),
    }


WORKLOADS: dict[str, Any] = {"mlp": _mlp, "mlp_adam": _mlp, "cnn": _cnn, "lstm": _lstm}
WHAT = {
    "mlp": "three layers, 128 by 3072 by 512 by 256 by 10, momentum",
    "mlp_adam": "the same, Adam",
    "cnn": "two convolutions with pooling and two layers, 64 images of 3 by 32 by 32, momentum",
    "lstm": "LSTM and a layer, 64 sequences of 32 steps by 64, hidden 128, momentum",
}


def make(name: str, dtype: str) -> tuple[Arrays, Arrays]:
    """The first parameters, and the batch, in one precision."""
    parameters, constants = WORKLOADS[name](np.random.default_rng(1))
    fit = {key: value.astype(dtype) for key, value in parameters.items()}
    return fit, {
        key: value if value.dtype.kind == "i" else value.astype(dtype) for key, value in constants.items()
    }
