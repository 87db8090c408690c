import jax.numpy as jnp
from jax import jit, lax


@jit
def run(a):
    n = len(a)
    rows = jnp.arange(n)

    def column(j, lower):
        # Columns from j on are still zero, so whole rows can be multiplied.
        rest = a[:, j] - lower @ lower[j]
        return lower.at[:, j].set(jnp.where(rows >= j, rest / jnp.sqrt(rest[j]), 0.0))

    return lax.fori_loop(0, n, column, jnp.zeros((n, n)))
