import jax.numpy as jnp
from jax import jit, lax


@jit
def run(a, steps):
    def step(_, state):
        x = state[1]
        y = a @ x
        return x @ y, y / jnp.sqrt(jnp.sum(y**2))

    return lax.fori_loop(0, steps, step, (0.0, jnp.ones(len(a))))
