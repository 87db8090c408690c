from functools import partial

import jax.numpy as jnp
from jax import jit, lax
from jax.nn import log_softmax


@partial(jit, static_argnames="steps")
def run(x, labels, w1, b1, w2, b2, steps):
    n = len(x)
    rows = jnp.arange(n)

    def step(state, _):
        w1, b1, w2, b2 = state
        h = jnp.maximum(0, x @ w1 + b1)
        logs = log_softmax(h @ w2 + b2, axis=1)
        p = jnp.exp(logs).at[rows, labels].add(-1) / n
        dh = jnp.where(h <= 0, 0, p @ w2.T)
        new = (
            w1 - 0.1 * (x.T @ dh),
            b1 - 0.1 * dh.sum(axis=0),
            w2 - 0.1 * (h.T @ p),
            b2 - 0.1 * p.sum(axis=0),
        )
        return new, -jnp.mean(logs[rows, labels])

    (w1, _, w2, _), losses = lax.scan(step, (w1, b1, w2, b2), length=steps)
    return losses, w1, w2
