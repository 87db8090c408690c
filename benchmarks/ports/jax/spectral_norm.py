from functools import partial

import jax.numpy as jnp
from jax import jit, lax


@partial(jit, static_argnames="n")
def run(n):
    i, j = jnp.arange(n)[:, None], jnp.arange(n)
    a = 1.0 / ((i + j) * (i + j + 1) // 2 + i + 1)

    def step(_, state):
        v = a.T @ (a @ state[0])
        return a.T @ (a @ v), v

    u, v = lax.fori_loop(0, 3, step, (jnp.ones(n), jnp.ones(n)))
    return jnp.sqrt(u @ v / (v @ v))
