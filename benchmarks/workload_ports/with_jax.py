"""The workloads for JAX: loops as `scan`, all of it compiled; values out of place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Array = Any


def cross_entropy(scores: Array, labels: Array) -> Array:
    log_p = jax.nn.log_softmax(scores)
    return -jnp.mean(log_p[jnp.arange(len(labels)), labels])


def logistic(w: Array, b: Array, x: Array, labels: Array) -> Array:
    return cross_entropy(x @ w + b, labels)


def mlp(w1: Array, b1: Array, w2: Array, b2: Array, x: Array, labels: Array) -> Array:
    return cross_entropy(jax.nn.relu(x @ w1 + b1) @ w2 + b2, labels)


def rnn(wx: Array, wh: Array, b: Array, x: Array) -> Array:
    def step(h: Array, each: Array) -> Any:
        return jnp.tanh(each @ wx + h @ wh + b), None

    h, _ = jax.lax.scan(step, jnp.zeros((x.shape[1], wh.shape[0]), x.dtype), x)
    return jnp.mean(h**2)


def lstm(wx: Array, wh: Array, b: Array, x: Array) -> Array:
    def step(carry: Any, each: Array) -> Any:
        h, c = carry
        i, f, o, g = jnp.split(each @ wx + h @ wh + b, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    zero = jnp.zeros((x.shape[1], wh.shape[0]), x.dtype)
    (h, _), _ = jax.lax.scan(step, (zero, zero), x)
    return jnp.mean(h**2)


def small(x: Array, a: Array, b: Array) -> Array:
    def step(x: Array, _: Any) -> Any:
        x = jnp.sin(x)
        x = x * a
        x = x + b
        return x * x, None

    return jnp.sum(jax.lax.scan(step, x, None, 125)[0])


def jacobi_2d(u: Array) -> Array:
    def half(a: Array, b: Array) -> Array:
        inner = 0.2 * (a[1:-1, 1:-1] + a[:-2, 1:-1] + a[2:, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:])
        return b.at[1:-1, 1:-1].set(inner)

    def step(carry: Any, _: Any) -> Any:
        a, b = carry
        b = half(a, b)
        return (half(b, a), b), None

    (a, _), _ = jax.lax.scan(step, (u, u), None, 25)
    return jnp.mean(a**2)


def heat_1d(u: Array) -> Array:
    def step(u: Array, _: Any) -> Any:
        return u.at[1:-1].add(0.2 * (u[2:] - 2 * u[1:-1] + u[:-2])), None

    return jnp.mean(jax.lax.scan(step, u, None, 50)[0] ** 2)


def gauss_seidel(f: Array) -> Array:
    rows, columns = f.shape

    def step(k: Array, u: Array) -> Array:
        inside = k % ((rows - 2) * (columns - 2))
        i, j = 1 + inside // (columns - 2), 1 + inside % (columns - 2)
        return u.at[i, j].set(0.25 * (u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1] - f[i, j]))

    count = 3 * (rows - 2) * (columns - 2)
    u, _ = jax.lax.scan(lambda u, k: (step(k, u), None), jnp.zeros_like(f), jnp.arange(count))
    return jnp.mean(u**2)


PROGRAMS = {f.__name__: f for f in (logistic, mlp, rnn, lstm, small, jacobi_2d, heat_1d, gauss_seidel)}


def gradient(
    name: str, parameters: dict[str, np.ndarray], constants: dict[str, np.ndarray], threads: int, how: str
) -> Callable[[], Any] | None:
    """A call that gives value and gradients. (The number of threads is the process's affinity.)"""
    jax.config.update("jax_enable_x64", True)
    leaves = [jnp.asarray(p) for p in parameters.values()]
    fixed = [jnp.asarray(c) for c in constants.values()]
    both = jax.jit(jax.value_and_grad(PROGRAMS[name], tuple(range(len(leaves)))))

    def run() -> Any:
        return jax.block_until_ready(both(*leaves, *fixed))

    run.read = lambda found: (float(found[0]), [np.asarray(g) for g in found[1]])  # type: ignore[attr-defined]
    return run
