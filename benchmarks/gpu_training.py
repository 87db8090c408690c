"""Steps of training on a GPU: an MLP, a CNN and an LSTM, beside PyTorch in eager mode."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np


def _mlp_loss(np: Any, p: list[Any], x: Any, t: Any) -> Any:
    h = np.maximum(np.dot(x, p[0]) + p[1], 0.0)
    h = np.maximum(np.dot(h, p[2]) + p[3], 0.0)
    s = np.dot(h, p[4]) + p[5]
    s = s - np.max(s, axis=1, keepdims=True)
    return -np.mean(np.sum(t * (s - np.log(np.sum(np.exp(s), axis=1, keepdims=True))), axis=1))


def _lstm_loss(np: Any, p: list[Any], x: Any, t: Any) -> Any:
    wx, wh, b, w = p
    units = wh.shape[0]
    h = np.zeros((x.shape[1], units), dtype=x.dtype)
    c = np.zeros((x.shape[1], units), dtype=x.dtype)
    for step in range(x.shape[0]):
        g = np.dot(x[step], wx) + np.dot(h, wh) + b
        i, f = 1 / (1 + np.exp(-g[:, :units])), 1 / (1 + np.exp(-g[:, units : 2 * units]))
        o, u = 1 / (1 + np.exp(-g[:, 2 * units : 3 * units])), np.tanh(g[:, 3 * units :])
        c = f * c + i * u
        h = o * np.tanh(c)
    return np.mean((np.dot(h, w) - t) ** 2)


def _cnn_loss(np: Any, p: list[Any], x: Any, t: Any) -> Any:
    from minpy.nn import layers

    for w, b in ((p[0], p[1]), (p[2], p[3])):
        x = layers.pooling(layers.relu(layers.convolution(x, w, b, pad=2)))
    return layers.softmax_loss(layers.affine(x, p[4], p[5]), t)


def training(run: Any, seconds: float) -> dict[str, Any]:
    """Steps of training: forward, gradient, update in place; MLP, CNN and LSTM, beside PyTorch in eager mode.

    PyTorch's convolutions are cuDNN's, in full single precision (no TF32), as MinPy's products are.
    """
    import minpy

    rng = np.random.default_rng(3)
    k = 8 if run.small else 1
    layers = [784 // k, 1024 // k, 1024 // k, 10]
    units, steps, batch = 256 // k, 20 // (3 if run.small else 1), 128 // k

    def drawn(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * 0.05).astype("float32")

    mlp = [drawn(*s) for m, n in itertools.pairwise(layers) for s in ((m, n), (n,))]
    lstm = [drawn(128 // k, 4 * units), drawn(units, 4 * units), drawn(4 * units), drawn(units, 8)]
    labels = np.eye(10, dtype="float32")[rng.integers(0, 10, batch)]
    side, filters = 32 // (4 if run.small else 1), (32 // k, 64 // k)
    cnn = [
        *(drawn(filters[0], 3, 5, 5), drawn(filters[0])),
        *(drawn(filters[1], filters[0], 5, 5), drawn(filters[1])),
        *(drawn(filters[1] * (side // 4) ** 2, 10), drawn(10)),
    ]
    cases = {
        "mlp": (_mlp_loss, mlp, drawn(batch, layers[0]), labels),
        "cnn": (_cnn_loss, cnn, drawn(batch, 3, side, side), labels),
        "lstm": (_lstm_loss, lstm, drawn(steps, batch, 128 // k), drawn(batch, 8)),
    }
    found: dict[str, Any] = {}
    for name, (loss, start, x, t) in cases.items():
        with run.there():
            door = run.routed.np
            p = [door.negative(-w) for w in start]
            step = minpy.value_and_grad(lambda q, x, t, loss=loss: loss(run.routed.np, q, x, t))

            def ours(p: Any = p, step: Any = step, x: Any = x, t: Any = t) -> float:
                value, gradient = step(p, x, t)
                for w, g in zip(p, gradient, strict=True):
                    w -= 0.01 * g
                return float(value)

            first = ours()
            calls: dict[str, Any] = {"minpy": run.finished(ours)}
            if run.torch is not None:
                calls["torch"] = _torch_step(run, name, start, x, t)
            times = run.time(calls, seconds / len(cases))
        want = float(loss(np, start, x, t))
        found[name] = {
            "ms": {each: 1e3 * s for each, s in times.items()},
            "right": abs(first - want) < 1e-3 * abs(want) + 1e-4,
        }
        if "torch" in calls:
            found[name]["peer"] = "PyTorch eager, no TF32"
    return found


def _torch_step(
    run: Any, name: str, start: list[np.ndarray], x: np.ndarray, t: np.ndarray
) -> Callable[[], Any]:
    torch = run.torch
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    p = [torch.asarray(w.copy()).cuda().requires_grad_() for w in start]
    x, t = torch.asarray(x).cuda(), torch.asarray(t).cuda()

    def loss() -> Any:
        if name == "mlp":
            h = torch.relu(x @ p[0] + p[1])
            h = torch.relu(h @ p[2] + p[3])
            return -torch.mean(torch.sum(t * torch.log_softmax(h @ p[4] + p[5], 1), 1))
        if name == "cnn":
            h, functions = x, torch.nn.functional
            for w, b in ((p[0], p[1]), (p[2], p[3])):
                h = functions.max_pool2d(torch.relu(functions.conv2d(h, w, b, padding=2)), 2)
            return -torch.mean(torch.sum(t * torch.log_softmax(h.flatten(1) @ p[4] + p[5], 1), 1))
        units = p[1].shape[0]
        h = c = torch.zeros(x.shape[1], units, device=x.device)
        for step in range(x.shape[0]):
            i, f, o, u = (x[step] @ p[0] + h @ p[1] + p[2]).split(units, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(u)
            h = torch.sigmoid(o) * torch.tanh(c)
        return torch.mean((h @ p[3] - t) ** 2)

    def step() -> float:
        value = loss()
        gradient = torch.autograd.grad(value, p)
        with torch.no_grad():
            for w, g in zip(p, gradient, strict=True):
                w -= 0.01 * g
        torch.cuda.synchronize()
        return float(value.detach())

    return step
