import jax.numpy as jnp
from jax import jit, lax


@jit
def run(a):
    m, n = a.shape
    rows = jnp.arange(m)

    def step(k, state):
        q, r = state
        x = jnp.where(rows >= k, r[:, k], 0.0)
        x = x.at[k].add(jnp.copysign(jnp.linalg.norm(x), x[k]))
        length = jnp.linalg.norm(x)
        x = x / jnp.where(length == 0, 1.0, length)
        return q - 2.0 * jnp.outer(q @ x, x), r - 2.0 * jnp.outer(x, x @ r)

    return lax.fori_loop(0, min(m - 1, n), step, (jnp.eye(m), a))
