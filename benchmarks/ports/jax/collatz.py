from functools import partial

import jax.numpy as jnp
from jax import jit, lax


@partial(jit, static_argnames="n")
def run(n):
    # All numbers at once, until the last has come to one.
    def step(state):
        x, lengths = state
        going = x > 1
        return jnp.where(going, jnp.where(x % 2 == 0, x // 2, 3 * x + 1), x), lengths + going

    start = jnp.arange(n + 1), jnp.zeros(n + 1, dtype=jnp.int64)
    return lax.while_loop(lambda state: jnp.any(state[0] > 1), step, start)[1]
