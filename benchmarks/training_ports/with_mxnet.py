"""The networks as symbols of MXNet, bound to an executor of its own and updated by its own fused operators."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.training_ports import data


def _mlp(mx: Any) -> Any:
    x = mx.sym.var("x")
    for k, outputs in enumerate((512, 256, data.CLASSES)):
        x = mx.sym.FullyConnected(x, mx.sym.var(f"w{k}"), mx.sym.var(f"b{k}"), num_hidden=outputs)
        if k < 2:
            x = mx.sym.Activation(x, act_type="relu")
    return x


def _cnn(mx: Any) -> Any:
    x = mx.sym.var("x")
    for k, filters in enumerate(data.FILTERS):
        x = mx.sym.Convolution(
            x, mx.sym.var(f"w{k}"), mx.sym.var(f"b{k}"), kernel=(3, 3), pad=(1, 1), num_filter=filters
        )
        x = mx.sym.Activation(x, act_type="relu")
        x = mx.sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max")
    x = mx.sym.FullyConnected(x, mx.sym.var("w2"), mx.sym.var("b2"), num_hidden=128)
    x = mx.sym.Activation(x, act_type="relu")
    return mx.sym.FullyConnected(x, mx.sym.var("w3"), mx.sym.var("b3"), num_hidden=data.CLASSES)


def _lstm(mx: Any) -> Any:
    by_time = mx.sym.swapaxes(mx.sym.var("x"), 0, 1)
    states = mx.sym.RNN(
        by_time,
        mx.sym.var("lstm"),
        mx.sym.var("h0"),
        mx.sym.var("c0"),
        state_size=data.HIDDEN,
        num_layers=1,
        mode="lstm",
    )
    last = mx.sym.reshape(mx.sym.slice_axis(states, axis=0, begin=-1, end=None), (-1, data.HIDDEN))
    return mx.sym.FullyConnected(last, mx.sym.var("w"), mx.sym.var("b1"), num_hidden=data.CLASSES)


SYMBOLS: dict[str, Callable[[Any], Any]] = {"mlp": _mlp, "mlp_adam": _mlp, "cnn": _cnn, "lstm": _lstm}
_LSTM = ("wx", "wh", "b")


def _exchanged(value: np.ndarray) -> np.ndarray:
    """Rows of gates, in the order input, forget, output, candidate, with the last two exchanged."""
    i, f, third, fourth = np.split(value, 4)
    return np.concatenate([i, f, fourth, third])


def _theirs(name: str, parameters: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The parameters as MXNet has them: transposed, and those of the LSTM in one vector, with a second bias."""
    found = {
        key: value.T if value.ndim == 2 else value
        for key, value in parameters.items()
        if name != "lstm" or key not in _LSTM
    }
    if name == "lstm":
        wx, wh, b = (_exchanged(parameters[key].T) for key in _LSTM)
        found["lstm"] = np.concatenate([wx.ravel(), wh.ravel(), b, np.zeros_like(b)])
    return found


def _ours(name: str, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    ours = {key: value.T if value.ndim == 2 else value for key, value in found.items() if key != "lstm"}
    if name == "lstm":
        gates = 4 * data.HIDDEN
        ends = np.cumsum([gates * data.INPUTS, gates * data.HIDDEN, gates])
        wx, wh, b, _ = np.split(found["lstm"], ends)
        ours["wx"] = _exchanged(wx.reshape(gates, -1)).T
        ours["wh"] = _exchanged(wh.reshape(gates, -1)).T
        ours["b"] = _exchanged(b)
    return ours


def gradient(
    name: str, parameters: dict[str, np.ndarray], constants: dict[str, np.ndarray], threads: int, how: str
) -> Callable[[], Any]:
    """A call that makes one step and gives the loss before it."""
    os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")
    np.bool = np.bool_  # type: ignore[attr-defined]  # a name that MXNet wants
    import mxnet as mx

    x, labels = constants["x"], constants["labels"]
    first = _theirs(name, parameters)
    # As `SoftmaxOutput` normalises by the batch, its gradient is that of the mean loss.
    symbol = mx.sym.SoftmaxOutput(SYMBOLS[name](mx), mx.sym.var("labels"), normalization="batch")
    given = {"x": x, "labels": labels.astype(x.dtype)}
    if name == "lstm":
        given |= {key: np.zeros((1, len(x), data.HIDDEN), x.dtype) for key in ("h0", "c0")}
    executor = symbol.simple_bind(
        mx.cpu(),
        grad_req={key: "write" if key in first else "null" for key in symbol.list_arguments()},
        type_dict=dict.fromkeys(symbol.list_arguments(), x.dtype),
        **{key: value.shape for key, value in given.items()},
    )
    batch = {key: mx.nd.array(value, dtype=x.dtype) for key, value in given.items()}
    for key, value in first.items():
        executor.arg_dict[key][:] = value
    if name in data.BY_ADAM:
        optimizer = mx.optimizer.Adam(learning_rate=data.LEARNING_RATE)
    else:
        optimizer = mx.optimizer.SGD(momentum=data.MOMENTUM, learning_rate=data.LEARNING_RATE)
    update = mx.optimizer.get_updater(optimizer)
    done = 0
    rows = np.arange(len(labels))

    def run() -> float:
        nonlocal done
        done += 1
        if name in data.BY_ADAM:
            # It adds epsilon before it corrects for the start at zero; the others after.
            optimizer.epsilon = 1e-8 * math.sqrt(1 - 0.999**done)
        for key in ("x", "labels"):
            executor.arg_dict[key][:] = batch[key]
        executor.forward(is_train=True)
        executor.backward()
        if name == "lstm":
            executor.grad_dict["lstm"][-4 * data.HIDDEN :] = 0  # of the second bias
        for k, key in enumerate(first):
            update(k, executor.grad_dict[key], executor.arg_dict[key])
        loss = float(-np.log(executor.outputs[0].asnumpy()[rows, labels]).mean())
        mx.nd.waitall()
        return loss

    def read(loss: float) -> Any:
        now = _ours(name, {key: executor.arg_dict[key].asnumpy() for key in first})
        return loss, [now[key] - parameters[key] for key in parameters]

    run.read, run.first = read, 3  # type: ignore[attr-defined]
    return run
