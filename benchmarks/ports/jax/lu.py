import jax.numpy as jnp
from jax import jit, lax


@jit
def run(a):
    places = jnp.arange(len(a))

    def step(k, a):
        column = jnp.where(places > k, a[:, k] / a[k, k], 0.0)
        row = jnp.where(places > k, a[k], 0.0)
        return (a - column[:, None] * row).at[:, k].set(jnp.where(places > k, column, a[:, k]))

    return lax.fori_loop(0, len(a), step, a)
