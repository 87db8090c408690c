from functools import partial

import jax.numpy as jnp
from jax import jit, lax


@partial(jit, static_argnames=("n", "steps"))
def run(n, steps, rule):
    def step(line, _):
        place = 4 * jnp.roll(line, 1) + 2 * line + jnp.roll(line, -1)
        new = ((rule >> place) & 1).astype(jnp.uint8)
        return new, new

    first = jnp.zeros(n, dtype=jnp.uint8).at[n // 2].set(1)
    return jnp.concatenate([first[None], lax.scan(step, first, length=steps - 1)[1]])
