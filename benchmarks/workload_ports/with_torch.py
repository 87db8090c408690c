"""The workloads for PyTorch: operators as in the plain programs, and its own layers where it has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

Tensor = torch.Tensor


def logistic(w: Tensor, b: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(x @ w + b, labels)


def mlp(w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(torch.relu(x @ w1 + b1) @ w2 + b2, labels)


def rnn(wx: Tensor, wh: Tensor, b: Tensor, x: Tensor) -> Tensor:
    h = x.new_zeros(x.shape[1], wh.shape[0])
    for step in x:
        h = torch.tanh(step @ wx + h @ wh + b)
    return torch.mean(h**2)


def lstm(wx: Tensor, wh: Tensor, b: Tensor, x: Tensor) -> Tensor:
    h = x.new_zeros(x.shape[1], wh.shape[0])
    c = x.new_zeros(x.shape[1], wh.shape[0])
    for step in x:
        i, f, o, g = (step @ wx + h @ wh + b).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
    return torch.mean(h**2)


def small(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    for _ in range(125):
        x = torch.sin(x)
        x = x * a
        x = x + b
        x = x * x
    return torch.sum(x)


def jacobi_2d(u: Tensor) -> Tensor:
    a, b = u.clone(), u.clone()
    for _ in range(25):
        b[1:-1, 1:-1] = 0.2 * (a[1:-1, 1:-1] + a[:-2, 1:-1] + a[2:, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:])
        a[1:-1, 1:-1] = 0.2 * (b[1:-1, 1:-1] + b[:-2, 1:-1] + b[2:, 1:-1] + b[1:-1, :-2] + b[1:-1, 2:])
    return torch.mean(a**2)


def heat_1d(u: Tensor) -> Tensor:
    u = u.clone()
    for _ in range(50):
        u[1:-1] += 0.2 * (u[2:] - 2 * u[1:-1] + u[:-2])
    return torch.mean(u**2)


def gauss_seidel(f: Tensor) -> Tensor:
    # PyTorch does not differentiate what is written into in place and read again: a number is a tensor of its own.
    rows, columns = f.shape
    given = [list(row.unbind()) for row in f.unbind()]
    u = [[f.new_zeros(()) for _ in range(columns)] for _ in range(rows)]
    for _ in range(3):
        for i in range(1, rows - 1):
            for j in range(1, columns - 1):
                u[i][j] = 0.25 * (u[i - 1][j] + u[i + 1][j] + u[i][j - 1] + u[i][j + 1] - given[i][j])
    return torch.mean(torch.stack([torch.stack(row) for row in u]) ** 2)


def _layer(kind: Any, gates: int, order: tuple[int, ...]) -> Callable[..., Any]:
    """A recurrent layer of PyTorch's own, whose weights are transposed and whose gates are in another order."""

    def make(wx: Tensor, wh: Tensor, b: Tensor) -> tuple[list[Tensor], Callable[..., Tensor], Any]:
        def theirs(w: Tensor) -> Tensor:
            parts = w.detach().T.chunk(gates, 0)
            return torch.cat([parts[k] for k in order], 0)

        layer = kind(wx.shape[0], wh.shape[0], dtype=wx.dtype)
        with torch.no_grad():
            layer.weight_ih_l0.copy_(theirs(wx))
            layer.weight_hh_l0.copy_(theirs(wh))
            layer.bias_ih_l0.copy_(theirs(b[None])[:, 0])
            layer.bias_hh_l0.zero_()

        def ours(g: np.ndarray) -> np.ndarray:
            parts = np.split(g, gates)
            return np.concatenate([parts[order.index(k)] for k in range(gates)]).T

        parameters = [layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0]
        return parameters, lambda *args: torch.mean(layer(args[-1])[0][-1] ** 2), ours

    return make


PROGRAMS = {f.__name__: f for f in (logistic, mlp, rnn, lstm, small, jacobi_2d, heat_1d, gauss_seidel)}
# Gates in the order i, f, o, g here, and i, f, g, o there.
LAYERS = {"rnn": _layer(torch.nn.RNN, 1, (0,)), "lstm": _layer(torch.nn.LSTM, 4, (0, 1, 3, 2))}


def gradient(
    name: str, parameters: dict[str, np.ndarray], constants: dict[str, np.ndarray], threads: int, how: str
) -> Callable[[], Any] | None:
    """A call that gives value and gradients; None if the workload is not there in this form."""
    torch.set_num_threads(threads)
    leaves = [torch.from_numpy(p.copy()).requires_grad_() for p in parameters.values()]
    fixed = [torch.from_numpy(c) for c in constants.values()]
    function: Callable[..., Tensor] = PROGRAMS[name]
    fit: Any = np.asarray
    if how == "layers":
        if name not in LAYERS:
            return None
        leaves, function, fit = LAYERS[name](*leaves)
    elif how == "compile":
        if name == "gauss_seidel":
            return None  # each of its thirty thousand operations would be compiled on its own, for hours
        function = torch.compile(function)

    def run() -> Any:
        for leaf in leaves:
            leaf.grad = None
        value = function(*leaves, *fixed)
        value.backward()
        return value.item(), leaves

    run.read = lambda found: (found[0], [fit(leaf.grad.numpy()) for leaf in found[1]])  # type: ignore[attr-defined]
    return run
