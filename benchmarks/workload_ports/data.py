"""What the workloads work on: the same numbers for every framework.

Of each: the arguments that are differentiated, and those that are not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

STEPS = 50
Arrays = dict[str, np.ndarray]


def _normal(rng: Any, *shape: int, scale: float = 1.0) -> np.ndarray:
    return scale * rng.normal(size=shape)


def _logistic(rng: Any) -> tuple[Arrays, Arrays]:
    parameters = {"w": _normal(rng, 500, 5, scale=0.05), "b": _normal(rng, 5)}
    return parameters, {"x": _normal(rng, 10_000, 500), "labels": rng.integers(0, 5, 10_000)}


def _mlp(rng: Any) -> tuple[Arrays, Arrays]:
    parameters = {
        "w1": _normal(rng, 3072, 512, scale=0.02),
        "b1": np.zeros(512),
        "w2": _normal(rng, 512, 10, scale=0.05),
        "b2": np.zeros(10),
    }
    return parameters, {"x": _normal(rng, 128, 3072), "labels": rng.integers(0, 10, 128)}


def _recurrent(gates: int) -> Any:
    def make(rng: Any) -> tuple[Arrays, Arrays]:
        parameters = {
            "wx": _normal(rng, 64, gates * 128, scale=0.1),
            "wh": _normal(rng, 128, gates * 128, scale=0.08),
            "b": np.zeros(gates * 128),
        }
        return parameters, {"x": _normal(rng, STEPS, 32, 64)}

    return make


def _small(rng: Any) -> tuple[Arrays, Arrays]:
    parameters = {"x": rng.uniform(0.5, 1.0, 10)}
    return parameters, {"a": rng.uniform(0.9, 0.99, 10), "b": rng.uniform(0.01, 0.02, 10)}


def _field(*shape: int) -> Any:
    def make(rng: Any) -> tuple[Arrays, Arrays]:
        return {"u": _normal(rng, *shape)}, {}

    return make


WORKLOADS: dict[str, Any] = {
    "logistic": _logistic,
    "mlp": _mlp,
    "rnn": _recurrent(1),
    "lstm": _recurrent(4),
    "small": _small,
    "jacobi_2d": _field(256, 256),
    "heat_1d": _field(65_536),
    "gauss_seidel": _field(34, 34),
}
WHAT = {
    "logistic": "logistic regression, 10000 by 500 by 5",
    "mlp": "two layers, 128 by 3072 by 512 by 10",
    "rnn": "RNN, 50 steps, batch 32, hidden 128",
    "lstm": "LSTM, 50 steps, batch 32, hidden 128",
    "small": "500 operations on 10 elements",
    "jacobi_2d": "stencil in place, 256 by 256, 50 steps",
    "heat_1d": "stencil in place, 65536, 50 steps",
    "gauss_seidel": "loops over elements, 32 by 32, 3 sweeps",
}


def make(name: str, dtype: str) -> tuple[Arrays, Arrays]:
    """The arguments that are differentiated, and the constants, in one precision."""
    parameters, constants = WORKLOADS[name](np.random.default_rng(1))
    fit = {key: value.astype(dtype) for key, value in parameters.items()}
    return fit, {
        key: value if value.dtype.kind == "i" else value.astype(dtype) for key, value in constants.items()
    }
