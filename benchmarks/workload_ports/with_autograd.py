"""The workloads for autograd: its own import of NumPy, values out of place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd
import autograd.numpy as np
import numpy

Array = Any


def cross_entropy(scores: Array, labels: Array) -> Array:
    scores = scores - np.max(scores, axis=1, keepdims=True)
    log_p = scores - np.log(np.sum(np.exp(scores), axis=1, keepdims=True))
    return -np.mean(log_p[np.arange(len(labels)), labels])


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def logistic(w: Array, b: Array, x: Array, labels: Array) -> Array:
    return cross_entropy(x @ w + b, labels)


def mlp(w1: Array, b1: Array, w2: Array, b2: Array, x: Array, labels: Array) -> Array:
    return cross_entropy(np.maximum(x @ w1 + b1, 0) @ w2 + b2, labels)


def rnn(wx: Array, wh: Array, b: Array, x: Array) -> Array:
    h = np.zeros((x.shape[1], wh.shape[0]), x.dtype)
    for step in x:
        h = np.tanh(step @ wx + h @ wh + b)
    return np.mean(h**2)


def lstm(wx: Array, wh: Array, b: Array, x: Array) -> Array:
    size = wh.shape[0]
    h = np.zeros((x.shape[1], size), x.dtype)
    c = np.zeros((x.shape[1], size), x.dtype)
    for step in x:
        gates = step @ wx + h @ wh + b
        i = sigmoid(gates[:, :size])
        f = sigmoid(gates[:, size : 2 * size])
        o = sigmoid(gates[:, 2 * size : 3 * size])
        g = np.tanh(gates[:, 3 * size :])
        c = f * c + i * g
        h = o * np.tanh(c)
    return np.mean(h**2)


def small(x: Array, a: Array, b: Array) -> Array:
    for _ in range(125):
        x = np.sin(x)
        x = x * a
        x = x + b
        x = x * x
    return np.sum(x)


def jacobi_2d(u: Array) -> Array:
    def half(a: Array, b: Array) -> Array:
        inner = 0.2 * (a[1:-1, 1:-1] + a[:-2, 1:-1] + a[2:, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:])
        middle = np.concatenate([b[1:-1, :1], inner, b[1:-1, -1:]], axis=1)
        return np.concatenate([b[:1], middle, b[-1:]])

    a, b = u, u
    for _ in range(25):
        b = half(a, b)
        a = half(b, a)
    return np.mean(a**2)


def heat_1d(u: Array) -> Array:
    for _ in range(50):
        u = np.concatenate([u[:1], u[1:-1] + 0.2 * (u[2:] - 2 * u[1:-1] + u[:-2]), u[-1:]])
    return np.mean(u**2)


def gauss_seidel(f: Array) -> Array:
    rows, columns = f.shape
    u: Any = [[0.0] * columns for _ in range(rows)]
    for _ in range(3):
        for i in range(1, rows - 1):
            for j in range(1, columns - 1):
                u[i][j] = 0.25 * (u[i - 1][j] + u[i + 1][j] + u[i][j - 1] + u[i][j + 1] - f[i, j])
    return np.mean(np.array([np.array(row) for row in u]) ** 2)


PROGRAMS = {f.__name__: f for f in (logistic, mlp, rnn, lstm, small, jacobi_2d, heat_1d, gauss_seidel)}


def gradient(
    name: str,
    parameters: dict[str, numpy.ndarray],
    constants: dict[str, numpy.ndarray],
    threads: int,
    how: str,
) -> Callable[[], Any] | None:
    """A call that gives value and gradients."""
    leaves, fixed = list(parameters.values()), list(constants.values())
    both = autograd.value_and_grad(PROGRAMS[name], tuple(range(len(leaves))))

    def run() -> Any:
        return both(*leaves, *fixed)

    run.read = lambda found: found  # type: ignore[attr-defined]
    return run
